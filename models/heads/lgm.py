"""Large-margin Gaussian mixture loss (L-GM).

Wan, Zhong, Li, Chen, "Rethinking feature distribution for loss functions in image classification", CVPR 2018,
arXiv 1803.02988.

Features follow sum_k p(k) N(mu_k, S_k) with equal priors. With d_k = 1/2 (f - mu_k)^T S_k^-1 (f - mu_k):

* test (equation 4): argmax_k of -d_k - 1/2 log|S_k|;
* L_cls (equations 11 to 13): cross-entropy of those logits after the true one is lowered by the margin m =
  alpha d_y;
* L_lkd (equation 6): d_y + 1/2 log|S_y|;
* L = L_cls + lambda L_lkd.

The authors' released Caffe layer keeps S at the identity and leaves the log-determinant out of the logits; so
do the defaults. Its margin grows by a factor every few thousand iterations; here the interval is a share of
the training, so that the schedule fits a recipe of any length.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..about import About
from .head import HEADS, Head

__all__ = ["LGM", "half_squared_distances"]

LARGEST_GROWTH = 300
"""Powers of ten by which a margin may grow before it is cut to alpha; a float has 308."""


@HEADS.register("lgm")
class LGM(Head):
    """A Gaussian mixture as the classifier.

    Args:
        features: D.
        classes: K.
        alpha: Margin at the end of its growth, >= 0; 0 is no margin. Released MNIST code: 1.
        alpha_start: Margin at the start; released MNIST code: .001.
        alpha_factor: Growth at each interval, >= 1; released MNIST code: 10.
        alpha_every: Interval as a share of the training, in (0, 1]; released MNIST code: 1500 of 20 000
            iterations.
        weight: Lambda, the weight of the likelihood term; released MNIST code: .03.
        centre_lr: Learning-rate factor of the means; released MNIST code: .3.
        covariance: "identity", or "diagonal" to learn one variance per class and feature.
        log_det: Whether -1/2 log|S_k| is part of the logits and of the likelihood term. With learned
            variances and no log-determinant nothing keeps the variances from growing, so "diagonal" needs it.
        variance_lr: Learning-rate factor of the log-variances; a large one drives them to 0 and the loss to
            NaN.
    """

    about = About(
        title="L-GM",
        citation="Wan et al. 2018",
        paper="arXiv 1803.02988",
        family="class means",
        detector="likelihood",
        place=10,
    )

    log_variances: Tensor

    def __init__(
        self,
        features: int,
        classes: int,
        alpha: float = 1.0,
        alpha_start: float = 0.001,
        alpha_factor: float = 10.0,
        alpha_every: float = 0.075,
        weight: float = 0.03,
        centre_lr: float = 0.3,
        covariance: str = "identity",
        log_det: bool = False,
        variance_lr: float = 0.01,
    ) -> None:
        super().__init__()
        if covariance not in ("identity", "diagonal"):
            raise ValueError(f"expected covariance to be 'identity' or 'diagonal', got '{covariance}'")
        if covariance == "diagonal" and not log_det:
            raise ValueError(
                "expected log_det to be true with covariance 'diagonal': without it the variances grow "
                "without bound"
            )
        if alpha < 0 or weight < 0 or alpha_start < 0:
            raise ValueError(
                f"expected alpha, alpha_start and weight to be >= 0, got {alpha}, {alpha_start} and {weight}"
            )
        if alpha_factor < 1:
            raise ValueError(f"expected alpha_factor to be >= 1, got {alpha_factor}")
        if not 0 < alpha_every <= 1:
            raise ValueError(f"expected alpha_every to be in (0, 1], got {alpha_every}")
        if alpha_start == 0 < alpha:
            raise ValueError(
                f"expected alpha_start to be > 0, or alpha 0, got alpha {alpha}: a margin of 0 never grows"
            )
        if math.log10(alpha_factor) / alpha_every > LARGEST_GROWTH:
            raise ValueError(
                f"expected the margin to stay a number, got a factor of {alpha_factor} every {alpha_every} "
                "of the training"
            )
        self.alpha, self.alpha_start, self.alpha_factor, self.alpha_every = (
            alpha,
            alpha_start,
            alpha_factor,
            alpha_every,
        )
        self.weight, self.centre_lr, self.variance_lr = weight, centre_lr, variance_lr
        self.covariance, self.log_det = covariance, log_det
        # N(0, (2/3) / D), the initial means of the authors' PyTorch code (GM loss, TPAMI 2023): wider ones
        # end in NaN in 100-D.
        self.means = nn.Parameter(torch.randn(classes, features) * (2 / 3 / features) ** 0.5)
        if covariance == "diagonal":
            self.log_variances = nn.Parameter(torch.zeros(classes, features))
        else:
            self.register_buffer("log_variances", torch.zeros(classes, features), persistent=False)

    def distances(self, features: Tensor) -> Tensor:
        """Compute d_k, half the squared Mahalanobis distance to each mean, (B, D) -> (B, K)."""
        return half_squared_distances(
            features, self.means, self.log_variances if self.covariance == "diagonal" else None
        )

    def forward(self, features: Tensor) -> Tensor:
        return -self.distances(features) - self._half_log_det()

    def log_likelihood(self, features: Tensor) -> Tensor:
        """Compute log N(f; mu_k, S_k) up to a constant, (B, D) -> (B, K)."""
        return self.forward(features)

    def loss(self, features: Tensor, y: Tensor, progress: float) -> Tensor:
        distances = self.distances(features)
        half_log_det = self._half_log_det().expand(len(self.means))
        true = functional.one_hot(y, len(self.means)).to(distances.dtype)
        logits = -distances * (1 + self.margin(progress) * true) - half_log_det
        likelihood = distances.gather(1, y.unsqueeze(1)).squeeze(1) + half_log_det[y]
        return functional.cross_entropy(logits, y) + self.weight * likelihood.mean()

    def margin(self, progress: float) -> float:
        """Tell the margin alpha at this share of the training."""
        grown = self.alpha_start * self.alpha_factor ** int(progress / self.alpha_every + 1e-9)
        return min(self.alpha, grown)

    def learning_rates(self) -> dict[str, float]:
        if self.covariance == "identity":
            return {"means": self.centre_lr}
        return {"means": self.centre_lr, "log_variances": self.variance_lr}

    def _half_log_det(self) -> Tensor:
        if not self.log_det:
            return self.means.new_zeros(1)
        return self.log_variances.sum(1) / 2


def half_squared_distances(features: Tensor, means: Tensor, log_variances: Tensor | None = None) -> Tensor:
    """Compute 1/2 (f - mu_k)^T S_k^-1 (f - mu_k) by differences, (B, D), (K, D) -> (B, K).

    The expansion |f|^2 - 2 f mu + |mu|^2 is faster but loses the small distances of tight classes to
    cancellation in float32.
    """
    difference = features.unsqueeze(1) - means
    squares = difference.square()
    if log_variances is not None:
        squares = squares * torch.exp(-log_variances)
    return squares.sum(2) / 2
