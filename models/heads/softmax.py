"""Softmax cross-entropy on a linear layer: the baseline of every paper here."""

from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from ..about import About
from .head import HEADS, Head

__all__ = ["Softmax"]


@HEADS.register("softmax")
class Softmax(Head):
    """Linear logits, cross-entropy."""

    about = About(title="softmax", family="softmax", detector="msp", place=30)

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, classes)

    def forward(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.linear(features))

    def loss(self, features: Tensor, y: Tensor, progress: float) -> Tensor:
        return functional.cross_entropy(self(features), y)
