"""Gaussian class-conditional simplex loss (GCCS), a *reconstruction*.

Each class is to follow a Gaussian at a vertex of a simplex.

Ali, Migliorati, Bianchi, Magli, "Beyond cross-entropy: learning highly separable feature distributions for
robust and accurate classification", arXiv 2010.15487; EURASIP Journal on Information Security 2023:3.

What is public: features of class k are mapped to a Gaussian whose mean is vertex k of a simplex, and the loss
compares distributions over the batch, not single samples. The printed loss and its settings are not; here,
with the latent z (D = K) of class k having the batch's mean m_k and (unbiased) variances s_k:

* L = sum_k KL(N(m_k, diag s_k) || N(T e_k, sigma^2 I)), where each divergence is, with sums over the D
  features, 1/2 [sum s_k / sigma^2 + |m_k - T e_k|^2 / sigma^2 - D - sum log(s_k / sigma^2)];
* test: argmax_k z_k, which is the nearest vertex T e_k.

Our choices: T, sigma and the floor; L is divided by the number of classes in the sum and by D, so that its
scale depends neither on the batch nor on K; a class with fewer than two samples in the batch has no variance
and is left out, so batches must be much larger than K.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from ..about import About
from .head import HEADS, Head
from .lgm import half_squared_distances

__all__ = ["GCCS"]


@HEADS.register("gccs")
class GCCS(Head):
    """The features themselves as the logits, one for each class; no parameters.

    Args:
        features: D, which must be K.
        classes: K.
        target: T, the distance of the vertices from the origin, > 0; not public, ours.
        sigma: Standard deviation of the targets, > 0; not public, ours.
        floor: Variance below which the logarithm goes on as its tangent, > 0, so that its gradient stays
            bounded; not public, ours.
    """

    about = About(
        title="GCCS", citation="Ali et al. 2023", paper="arXiv 2010.15487", family="class means", place=50
    )

    vertices: Tensor

    def __init__(
        self, features: int, classes: int, target: float = 10.0, sigma: float = 1.0, floor: float = 0.001
    ) -> None:
        super().__init__()
        if features != classes:
            raise ValueError(
                f"expected features to be the number of classes, {classes}, for GCCS, got {features}"
            )
        for name, value in (("target", target), ("sigma", sigma), ("floor", floor)):
            if value <= 0:
                raise ValueError(f"expected {name} to be > 0, got {value}")
        self.target, self.sigma, self.floor = target, sigma, floor
        self.register_buffer("vertices", target * torch.eye(classes), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        return features

    def log_likelihood(self, features: Tensor) -> Tensor:
        """Compute log N(z; T e_k, sigma^2 I) up to a constant, the density that the loss aims at.

        (B, D) -> (B, K).
        """
        return -half_squared_distances(features, self.vertices) / self.sigma**2

    def loss(self, features: Tensor, y: Tensor, progress: float) -> Tensor:
        divergences = self._divergences(features, y)
        return divergences.sum() / max(len(divergences), 1) / features.shape[1]

    def _divergences(self, features: Tensor, y: Tensor) -> Tensor:
        """Compute KL(batch || target) for each class that has at least two samples.

        (B, D), (B,) -> (at most K,).
        """
        members = functional.one_hot(y, len(self.vertices)).to(features.dtype)  # (B, K)
        count = members.sum(0).unsqueeze(1)
        means = members.T @ features / count.clamp(min=1)
        variances = members.T @ (features - means[y]).square() / (count - 1).clamp(min=1)
        ratio = variances / self.sigma**2
        pull = (means - self.vertices).square() / self.sigma**2
        return (ratio + pull - 1 - self._log(ratio)).sum(1)[count.squeeze(1) >= 2] / 2

    def _log(self, ratio: Tensor) -> Tensor:
        """Compute the logarithm of s / sigma^2, and below the floor its tangent.

        A clamp would let a collapsed class stay collapsed.
        """
        floor = self.floor / self.sigma**2
        return torch.where(ratio > floor, ratio.clamp(min=floor).log(), math.log(floor) + ratio / floor - 1)
