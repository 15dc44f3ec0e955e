"""What every head is: logits for the test, a loss for the training, and perhaps a likelihood.

One paper, one file, one head.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from torch import Generator, Tensor, nn

from ..about import About
from ..registry import Registry

__all__ = ["HEADS", "Head"]

HEADS: Registry["Head"] = Registry("loss", given=("features", "classes"), group="gmbench.losses")
"""Every head by the name of its loss.

A factory takes ``features`` (D), ``classes`` (K) and the paper's options.
"""


class Head(nn.Module, ABC):
    """Turns features (B, D) into logits (B, K) and knows the loss that shapes the features.

    A head whose paper states a class-conditional density also has ``log_likelihood``: (B, D) -> (B, K), up to
    one constant.

    Attributes:
        about: What tables, figures and lists say of the loss.
    """

    about: ClassVar[About]

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """Compute the logits of the test, (B, D) -> (B, K)."""

    @abstractmethod
    def loss(self, features: Tensor, y: Tensor, progress: float) -> Tensor:
        """Compute the training loss, (B, D), (B,) -> scalar.

        Args:
            features: (B, D).
            y: True classes, (B,).
            progress: Share of the training that is done, in [0, 1]; schedules (a margin's growth, say) depend
                on it alone.
        """

    def training_loss(
        self,
        features: Callable[[Tensor], Tensor],
        x: Tensor,
        y: Tensor,
        progress: float,
        generator: Generator,
    ) -> Tensor:
        """Compute the loss of a batch of images.

        A head that trains on other images than the clean ones overrides this.

        Args:
            features: The network, (B, *S) -> (B, D); may be called more than once.
            x: Images in [0, 1], (B, *S).
            y: True classes, (B,).
            progress: See `loss`.
            generator: The source of every random number, on the CPU.
        """
        return self.loss(features(x), y, progress)

    def learning_rates(self) -> dict[str, float]:
        """Name the parameters whose learning rate differs, with its factor."""
        return {}
