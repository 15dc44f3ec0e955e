"""What every head is: logits for the test, a loss for the training, and perhaps a likelihood. One paper, one file, one head."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from .registry import Registry

__all__ = ["HEADS", "Head"]

HEADS: Registry["Head"] = Registry("loss")
"""Every head by the name of its loss; a factory takes ``features`` (D), ``classes`` (K) and the paper's options."""


class Head(nn.Module, ABC):
    """Turns features (B, D) into logits (B, K) and knows the loss that shapes the features.

    A head whose paper states a class-conditional density also has ``log_likelihood``: (B, D) -> (B, K), up to one constant.
    """

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Compute the logits of the test, (B, D) -> (B, K)."""

    @abstractmethod
    def loss(self, features: Tensor, y: Tensor, progress: float) -> Tensor:
        """Compute the training loss, (B, D), (B,) -> scalar.

        Args:
            features: (B, D).
            y: True classes, (B,).
            progress: Share of the training that is done, in [0, 1]; schedules (a margin's growth, say) depend on it alone.
        """

    def learning_rates(self) -> dict[str, float]:
        """Name the parameters whose learning rate differs, with its factor."""
        return {}
