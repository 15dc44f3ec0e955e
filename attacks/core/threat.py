"""The threat model: how far an attack may go, what it may ask of the model, and what it knows."""

import math
from dataclasses import dataclass

from ...models.registry import check_known
from .norms import NORMS

__all__ = ["ACCESS", "AWARENESS", "ThreatModel"]

ACCESS = ("white-box", "transfer", "query", "decision")
"""White-box: gradients of the victim. Transfer: gradients of a surrogate only. Query: the victim's logits.

Decision: its labels.
"""

AWARENESS = ("oblivious", "adaptive")
"""Oblivious: knows the classifier only. Adaptive: knows how the detector scores, too."""


@dataclass(frozen=True)
class ThreatModel:
    """What an attack is allowed.

    Args:
        norm: A name of `NORMS`.
        eps: Largest norm of the perturbation in input units ([0, 1] pixels), > 0; infinity where the attack
            is to find the smallest.
        access: One of `ACCESS`.
        awareness: One of `AWARENESS`.

    Raises:
        ValueError: An unknown name, or an eps out of range.
    """

    norm: str
    eps: float
    access: str = "white-box"
    awareness: str = "oblivious"

    def __post_init__(self) -> None:
        check_known("norm", self.norm, NORMS)
        check_known("access", self.access, ACCESS)
        check_known("awareness", self.awareness, AWARENESS)
        if math.isnan(self.eps) or self.eps <= 0:
            raise ValueError(f"expected eps to be > 0, got {self.eps}")
        if self.norm == "Linf" and 1 < self.eps < math.inf:
            raise ValueError(
                f"expected eps to be at most 1 in Linf (images lie in [0, 1]), got {self.eps}; is it in "
                "units of 1/255?"
            )

    def __str__(self) -> str:
        size = f"{self.norm} {self.eps:g}" if math.isfinite(self.eps) else f"{self.norm} minimal"
        return f"{size}, {self.access}, {self.awareness}"
