"""The detector that an attacker knows: its score, and where it rejects."""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from ...models.classifier import Outputs

__all__ = ["KnownDetector"]


@dataclass(frozen=True, eq=False)
class KnownDetector:
    """A fitted detector as an attack may see it.

    Args:
        name: As the threat model calls it.
        score: Outputs of B images to (B,), the higher the more suspicious.
        threshold: Scores above it are rejected; at 5 % of the clean validation images.
        scale: Standard deviation of the clean validation images' scores, > 0: what makes violations of
            unlike detectors comparable.
        differentiable: Whether ``score`` passes gradients on.
        layers: The layers that ``score`` reads from ``Outputs.layers``.
        guides: Features of clean validation images that are right and accepted, of each class k, (n_k, D):
            what an attack without the score's gradients may take on.
    """

    name: str
    score: Callable[[Outputs], Tensor] = field(repr=False)
    threshold: float
    scale: float = 1.0
    differentiable: bool = True
    layers: tuple[str, ...] = ()
    guides: tuple[Tensor, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise ValueError(f"expected scale to be > 0, got {self.scale}")

    def rejects(self, score: Tensor) -> Tensor:
        """Tell which images are rejected, (B,) -> (B,)."""
        return score > self.threshold
