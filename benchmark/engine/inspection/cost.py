"""What an inspection costs, in passes of one image: for estimates only."""

from collections.abc import Sequence
from typing import NamedTuple

from ....attacks.core.threat import ThreatModel
from ....attacks.pgd import PGD
from . import gradients, outputs, planted, strength
from .detectors import CALLS, IMAGES

__all__ = ["InspectionCost", "inspection_cost"]

LEFT = 0.7
"""How much of what an attack has cost the next one costs, about: fewer images, but in smaller batches."""

OUTPUTS = 40
"""Passes of `outputs.IMAGES` images of all checks of outputs together, about."""

TWINS = 8
"""Passes of every test and validation image, about."""


class InspectionCost(NamedTuple):
    """Passes of one image: forward alone, with a backward one; and scores of each detector."""

    forwards: float
    gradients: float
    scores: float


def inspection_cost(threats: Sequence[ThreatModel], images: int) -> InspectionCost:
    """Count what an inspection asks of a model, about.

    Args:
        threats: See `inspect.middle_threats`.
        images: Of the test and the validation split together that are looked at.
    """
    attacked = 0.0
    if threats:
        attacked += len(threats) * strength.IMAGES * _one_after_the_other(strength.STRONGER)
        attacked += planted.GROUP * planted.GROUPS * planted.BY.passes()[1]
    attacked += strength.FEW * _one_after_the_other(strength.UNBOUNDED)
    asked = gradients.IMAGES * gradients.DIRECTIONS * 2 * len(gradients.STEPS)
    asked += planted.GROUP * planted.GROUPS * (planted.INNER + 1)
    return InspectionCost(asked + OUTPUTS * outputs.IMAGES + TWINS * images, attacked, 3 * CALLS * IMAGES)


def _one_after_the_other(attacks: Sequence[PGD]) -> float:
    """Count backward passes an image where each attack gets what those before it have left."""
    return sum(LEFT**place * by.passes()[1] for place, by in enumerate(attacks))
