"""The threat model: how far an attack may go, what it may ask of the model, and what it knows."""

import math
from dataclasses import dataclass
from typing import Any, Protocol, Self

from ...models.registry import check_known
from .norms import NORMS

__all__ = ["ACCESS", "LEVELS", "THREAT_COLUMNS", "ThreatModel", "grants"]

ACCESS = ("white-box", "transfer", "query", "decision")
"""White-box: gradients of the victim. Transfer: gradients of a surrogate only. Query: the victim's logits.

Decision: its labels.
"""

LEVELS = 255
"""Steps from black to white of the 8-bit grid, on which images lie."""

_GRANTS = {
    "white-box": ACCESS,  # who has gradients may use a surrogate or queries instead
    "transfer": ("transfer",),
    "query": ("query", "decision"),  # who sees logits sees labels
    "decision": ("decision",),
}


def grants(access: str, other: str) -> bool:
    """Tell whether who has one `ACCESS` may do what takes the other."""
    return other in _GRANTS[access]


class _Asking(Protocol):
    """Whatever says which access it needs: an attack, its class."""

    @property
    def access(self) -> str: ...

    @property
    def reads_score(self) -> bool: ...


@dataclass(frozen=True, order=True)
class ThreatModel:
    """What an attack is allowed; every rule of who may do what is asked here.

    Args:
        norm: A name of `NORMS`.
        eps: Largest norm of the perturbation in input units ([0, 1] pixels), > 0; infinity where the attack
            is to find the smallest.
        access: One of `ACCESS`.
        knows: The detector that it knows, by name; "" where it knows the classifier alone.

    Raises:
        ValueError: An unknown name, or an eps out of range.
    """

    norm: str
    eps: float
    access: str = "white-box"
    knows: str = ""

    def __post_init__(self) -> None:
        check_known("norm", self.norm, NORMS)
        check_known("access", self.access, ACCESS)
        if math.isnan(self.eps) or self.eps <= 0:
            raise ValueError(f"expected eps to be > 0, got {self.eps}")
        if self.norm == "Linf" and 1 < self.eps < math.inf:
            raise ValueError(
                f"expected eps to be at most 1 in Linf (images lie in [0, 1]), got {self.eps}; is it in "
                "units of 1/255?"
            )

    @classmethod
    def of_row(cls, row: Any) -> Self:
        """Read one from the row of a frame, which has its fields as attributes."""
        return cls(str(row.norm), float(row.eps), str(row.access), str(row.knows))

    def row(self) -> dict[str, Any]:
        """Write it as the `THREAT_COLUMNS` of a frame."""
        return {name: getattr(self, name) for name in THREAT_COLUMNS}

    @property
    def has_gradients(self) -> bool:
        """Whether the victim's own gradients are to be had."""
        return self.access == "white-box"

    @property
    def uses_surrogate(self) -> bool:
        """Whether another model is attacked in the victim's place, of which everything is known."""
        return self.access == "transfer"

    @property
    def knows_detector(self) -> bool:
        """Whether a detector's score is known, too."""
        return self.knows != ""

    @property
    def awareness(self) -> str:
        """Oblivious: knows the classifier alone. Adaptive: knows a detector, too, the one that it names."""
        return "adaptive" if self.knows_detector else "oblivious"

    @property
    def size(self) -> str:
        """Norm and eps for people: "Linf 0.3", "L2 minimal"."""
        return f"{self.norm} {self.eps:g}" if math.isfinite(self.eps) else f"{self.norm} minimal"

    def permits(self, other: "ThreatModel") -> bool:
        """Tell whether an attacker of this threat model may run an attack made under ``other``.

        Same norm, same eps; at least its access; who knows a detector may behave as if not.
        """
        return (
            (self.norm, self.eps) == (other.norm, other.eps)
            and grants(self.access, other.access)
            and other.knows in ("", self.knows)
        )

    def suffices_for(self, attack: _Asking) -> bool:
        """Tell whether an attack can be run under it.

        One that needs gradients may have a surrogate's; one that reads a detector's score must know one. A
        surrogate has other features than the victim, of which that score would say nothing.
        """
        if self.uses_surrogate and self.knows_detector:
            return False
        given = "white-box" if self.uses_surrogate and attack.access == "white-box" else self.access
        return grants(given, attack.access) and (self.knows_detector or not attack.reads_score)

    def __str__(self) -> str:
        knowledge = f"knows {self.knows}" if self.knows_detector else self.awareness
        return f"{self.size}, {self.access}, {knowledge}"


THREAT_COLUMNS = ("norm", "eps", "access", "awareness", "knows")
"""The columns of a frame that say under which threat model a row was made; awareness follows from knows."""
