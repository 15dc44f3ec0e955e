"""Distribution-restrained softmax (DR-softmax).

cross-entropy, and a penalty on the spread of the logits of the wrong classes.

Wang, Li, Jiang, Zhang, Zhao, Gong, arXiv 2303.12363; authors' code karlieswift/Mattack (``NewLoss``).

L = CE + weight * sum_{k != y} (z_k - mean_{k != y} z)^2, averaged over the batch. Different from the authors'
code: it *sums* the penalty over the batch, with b = .005, so that its weight grows with the batch; ours is
weight = b * (batch size), by default .005 * 128.
"""

from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from ..about import About
from .head import HEADS, Head

__all__ = ["DRSoftmax"]


@HEADS.register("dr_softmax")
class DRSoftmax(Head):
    """Linear logits whose wrong classes are to be alike.

    Args:
        features: D.
        classes: K, at least 2.
        weight: Of the penalty, >= 0: b of the authors' code times the batch size; the code has b = .005.
    """

    about = About(
        title="DR-softmax", citation="Wang et al. 2023", paper="arXiv 2303.12363", family="softmax", place=60
    )

    def __init__(self, features: int, classes: int, weight: float = 0.64) -> None:
        super().__init__()
        if classes < 2:
            raise ValueError(f"expected classes to be at least 2, got {classes}")
        if weight < 0:
            raise ValueError(f"expected weight to be >= 0, got {weight}")
        self.linear = nn.Linear(features, classes)
        self.weight = weight

    def forward(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.linear(features))

    def loss(self, features: Tensor, y: Tensor, progress: float) -> Tensor:
        logits: Tensor = self(features)
        batch, classes = logits.shape
        wrong = logits[~functional.one_hot(y, classes).bool()].view(batch, classes - 1)
        spread = (wrong - wrong.mean(1, keepdim=True)).square().sum(1).mean()
        return functional.cross_entropy(logits, y) + self.weight * spread
