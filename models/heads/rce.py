"""Reverse cross-entropy (RCE).

The wrong classes share the probability evenly, and the least probable class is the answer.

Pang, Du, Dong, Zhu, "Towards robust detection of adversarial examples", NeurIPS 2018, arXiv 1706.00633.

With p = softmax(z): L = -1/(K-1) sum_{k != y} log p_k, and the test takes argmin_k p_k. The logits here are
-z, so that argmax is right and their softmax is the reversed prediction that the paper tests with.
"""

from typing import cast

from torch import Tensor, nn

from ..about import About
from .head import HEADS, Head

__all__ = ["RCE"]


@HEADS.register("rce")
class RCE(Head):
    """Linear logits, negated for the test.

    Args:
        features: D.
        classes: K, at least 2.
    """

    about = About(
        title="RCE",
        citation="Pang et al. 2018 (NeurIPS)",
        paper="arXiv 1706.00633",
        family="softmax",
        place=80,
    )

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        if classes < 2:
            raise ValueError(f"expected classes to be at least 2, got {classes}")
        self.linear = nn.Linear(features, classes)

    def forward(self, features: Tensor) -> Tensor:
        return cast(Tensor, -self.linear(features))

    def loss(self, features: Tensor, y: Tensor, progress: float) -> Tensor:
        log_p: Tensor = (-self(features)).log_softmax(1)
        wrong = log_p.scatter(1, y.unsqueeze(1), 0.0)
        return -wrong.sum(1).mean() / (log_p.shape[1] - 1)
