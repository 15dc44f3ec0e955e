"""Max-Mahalanobis linear discriminant analysis (MMLDA).

cross-entropy on distances to fixed means, the vertices of a simplex.

Pang, Du, Zhu, "Max-Mahalanobis linear discriminant analysis networks", ICML 2018, arXiv 1802.09308.

Features are to follow sum_k 1/K N(mu_k, I), the mixture whose means, all of length ``scale``, are as far
apart as can be. The logits are -|f - mu_k|^2, without the 1/2 of that density; the likelihood has it.
"""

from torch import Tensor
from torch.nn import functional

from ..about import About
from .head import HEADS, Head
from .lgm import half_squared_distances
from .simplex import simplex

__all__ = ["MMLDA"]


@HEADS.register("mmlda")
class MMLDA(Head):
    """Fixed means as the classifier; no parameters.

    Args:
        features: D, at least K - 1.
        classes: K, at least 2.
        scale: Length of every mean, > 0; the authors have 10.
    """

    about = About(
        title="MMLDA",
        citation="Pang et al. 2018 (ICML)",
        paper="arXiv 1802.09308",
        family="class means",
        place=90,
    )

    means: Tensor

    def __init__(self, features: int, classes: int, scale: float = 10.0) -> None:
        super().__init__()
        if scale <= 0:
            raise ValueError(f"expected scale to be > 0, got {scale}")
        self.register_buffer("means", (scale * simplex(classes, features)).float(), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        return -2 * half_squared_distances(features, self.means)

    def log_likelihood(self, features: Tensor) -> Tensor:
        """Compute log N(f; mu_k, I) up to a constant, (B, D) -> (B, K)."""
        return -half_squared_distances(features, self.means)

    def loss(self, features: Tensor, y: Tensor, progress: float) -> Tensor:
        return functional.cross_entropy(self(features), y)
