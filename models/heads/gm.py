"""Gaussian mixture loss (GM), the journal successor of L-GM.

Identity covariance, no 1/2 in the likelihood term.

Wan, Chen, Yu, Wu, Zhong, Yang, "Shaping deep feature space towards Gaussian mixture for visual
classification", IEEE TPAMI 45(2), 2023, arXiv 2011.09066; conventions as in the authors' released code.

* test: argmax_k of -d_k, d_k = 1/2 |f - mu_k|^2;
* L = CE(-d_k (1 + alpha 1(k = y))) + lambda |f - mu|^2, without the 1/2: a lambda here is half the lambda of
  `gmbench.models.heads.lgm`.

Which squared distance the last term takes differs between the authors' own scripts: CIFAR-10's the one to the
own class, MNIST's and the face code's the average over all classes. The latter is no likelihood: mean_k |f -
mu_k|^2 = |f - m|^2 + mean_k |mu_k - m|^2 with m the mean of the centres, so it pulls every feature and every
centre to one point, whatever the class.

Both alpha and lambda grow over the first tenth of the training, from .1 and .01 of their values; the authors'
code steps once an epoch, here the growth is continuous, so that it fits a recipe of any length.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..about import About
from .head import HEADS, Head
from .lgm import half_squared_distances

__all__ = ["GM"]


@HEADS.register("gm")
class GM(Head):
    """A Gaussian mixture with identity covariance as the classifier.

    Args:
        features: D.
        classes: K.
        alpha: Margin after its growth, >= 0; released code: 1 on MNIST, .3 on CIFAR-10.
        weight: Lambda after its growth, >= 0; released code: .1.
        likelihood: Whose squared distance the second term takes: "own", the true class's, or "all", the
            average over the classes.
        warm_up: Share of the training over which alpha and lambda grow, in [0, 1]; 0 is no growth. Released
            code: 5 of 50 epochs on MNIST, 30 of 300 on CIFAR-10.
    """

    about = About(
        title="GM", citation="Wan et al. 2023", paper="arXiv 2011.09066", family="class means", place=40
    )

    alpha_start: ClassVar[float] = 0.1
    """Share of alpha at the start."""

    weight_start: ClassVar[float] = 0.01
    """Share of lambda at the start."""

    def __init__(
        self,
        features: int,
        classes: int,
        alpha: float = 1.0,
        weight: float = 0.1,
        likelihood: str = "own",
        warm_up: float = 0.1,
    ) -> None:
        super().__init__()
        if alpha < 0 or weight < 0:
            raise ValueError(f"expected alpha and weight to be >= 0, got {alpha} and {weight}")
        if likelihood not in ("own", "all"):
            raise ValueError(f"expected likelihood to be 'own' or 'all', got '{likelihood}'")
        if not 0 <= warm_up <= 1:
            raise ValueError(f"expected warm_up to be in [0, 1], got {warm_up}")
        self.alpha, self.weight, self.likelihood, self.warm_up = alpha, weight, likelihood, warm_up
        # N(0, (2/3) / D) as in the authors' code; wider ones end in NaN in 100-D.
        self.means = nn.Parameter(torch.randn(classes, features) * (2 / 3 / features) ** 0.5)

    def forward(self, features: Tensor) -> Tensor:
        return -half_squared_distances(features, self.means)

    def log_likelihood(self, features: Tensor) -> Tensor:
        """Compute log N(f; mu_k, I) up to a constant, (B, D) -> (B, K)."""
        return self.forward(features)

    def loss(self, features: Tensor, y: Tensor, progress: float) -> Tensor:
        return self.losses(half_squared_distances(features, self.means), y, progress).mean()

    def losses(self, distances: Tensor, y: Tensor, progress: float) -> Tensor:
        """Compute each sample's loss from its half squared distances d_k, (B, K), (B,) -> (B,)."""
        true = functional.one_hot(y, distances.shape[1]).to(distances.dtype)
        alpha, weight = (
            self.grown(self.alpha, self.alpha_start, progress),
            self.grown(self.weight, self.weight_start, progress),
        )
        classification = functional.cross_entropy(-distances * (1 + alpha * true), y, reduction="none")
        likelihood = (
            distances.gather(1, y.unsqueeze(1)).squeeze(1) if self.likelihood == "own" else distances.mean(1)
        )
        return classification + weight * 2 * likelihood

    def grown(self, end: float, start: float, progress: float) -> float:
        """Tell how far a number has grown at this share of the training.

        In a straight line from ``start`` times ``end`` to ``end``.
        """
        done = min(1.0, progress / self.warm_up) if self.warm_up else 1.0
        return end * (start + (1 - start) * done)
