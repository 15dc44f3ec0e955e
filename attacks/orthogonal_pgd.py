"""Orthogonal projected gradient descent: attack classifier and detector in turn, neither against the other.

Bryniarski, Hussein, Rosenfeld, Goldblum, "Evading adversarial example detection defenses with orthogonal
projected gradient descent", ICLR 2022, arXiv 2106.15023, section 4: selective PGD whose gradient loses its
component along the other one's. Written from the paper: the authors' code shadows its step counter, fails at
target 0 and climbs the detector's score where it should descend. Different from it: see `selective_pgd`; in
Linf, the step is the sign of what the projection leaves, which is no longer exactly orthogonal; where the two
gradients are parallel, so that nothing is left, there is no projection.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..models.about import About
from ..models.classifier import Outputs
from .core.attack import ATTACKS
from .core.known import KnownDetector
from .core.losses import objective
from .core.norms import NORMS, column
from .core.stealth import acceptance
from .core.victim import Victim
from .selective_pgd import SelectivePGD

__all__ = ["OrthogonalPGD"]

PARALLEL = 1e-3
"""Sine of the angle within which two gradients count as parallel; MSP's and the margin's often are."""


@ATTACKS.register("orthogonal-pgd")
@dataclass(frozen=True)
class OrthogonalPGD(SelectivePGD):
    """Step as selective PGD does, orthogonally to the gradient that it leaves alone.

    A step takes two passes, one for each gradient.

    Args:
        steps, step, restarts, targets: As in `SelectivePGD`.
    """

    about = About(title="orthogonal PGD", citation="Bryniarski et al. 2022", paper="arXiv 2106.15023")

    def passes(self) -> tuple[int, int]:
        gradients = 2 * self.restarts * max(1, self.targets) * self.steps
        return gradients + min(1, self.targets), gradients

    def ascent(
        self, victim: Victim, known: KnownDetector, x: Tensor, y: Tensor, target: Tensor | None
    ) -> tuple[Tensor, Outputs]:
        lead, to_wrong, _ = victim.gradient(x, objective("margin", y, target))
        _, to_accepted, outputs = victim.gradient(x, lambda outputs: acceptance(outputs, known))
        gradient = torch.where(
            column(lead > 0, x), orthogonal(to_accepted, to_wrong), orthogonal(to_wrong, to_accepted)
        )
        return gradient, outputs


def orthogonal(gradient: Tensor, other: Tensor) -> Tensor:
    """Take away from each gradient its component along the other, and give the direction of what is left.

    (B, *S), (B, *S) -> (B, *S). Where they are parallel within `PARALLEL`, what is left is rounding: the
    gradient stays as it is.
    """
    norm = NORMS["L2"]
    direction, along = norm.steepest(gradient), norm.steepest(other)
    rest = direction - column((direction * along).flatten(1).sum(1), along) * along
    return torch.where(column(norm.size(rest) > PARALLEL, rest), rest, direction)
