"""The smallest L2 perturbation that is wrong and accepted.

Carlini, Wagner, "Adversarial examples are not easily detected: bypassing ten detection methods", AISec 2017,
arXiv 1705.07263, add the detector's violation to the class's in their minimal-norm attack, with one constant
for all. On Gaussian logits no constant serves class, score and size. So here there is none, and one of the
three is mended at a time: an image that is right is led to the class, one that is wrong to the detector's
acceptance, and the perturbation of one that is accepted shrinks. All three paces fall along a cosine.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..models.about import About
from .core.attack import ATTACKS, Attack, targets_of
from .core.grid import on_grid
from .core.norms import NORMS, column
from .core.randomness import SampleRandom
from .core.smallest import annealed
from .core.stealth import known_detector, score_of, wrong_then_accepted
from .core.threat import ThreatModel
from .core.victim import Victim

__all__ = ["MinimalEvasion"]

LAST = 0.01
"""The last pace, in units of the first; as in DDN."""


@ATTACKS.register("minimal-evasion")
@dataclass(frozen=True)
class MinimalEvasion(Attack):
    """Walk along the border of what is wrong and accepted, for each of the likeliest wrong classes.

    Where the smallest perturbation found is larger than a finite eps, the clean image comes back.

    Args:
        steps: Gradients per run, > 0.
        step: Length of the first step in input units, > 0.
        shrink: Share that a perturbation that evades loses at first, in (0, 1).
        targets: How many of the likeliest wrong classes are tried, > 0.
    """

    about = About(title="minimal evasion", citation="Carlini, Wagner 2017", paper="arXiv 1705.07263")

    norms = ("L2",)
    minimises = True
    reads_score: ClassVar[bool] = True
    needs_score_gradients: ClassVar[bool] = True

    steps: int = 100
    shrink: float = 0.3
    step: float = 0.3
    targets: int = 9

    def __post_init__(self) -> None:
        for name in ("steps", "targets"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} to be at least 1, got {getattr(self, name)}")
        if not 0 < self.shrink < 1:
            raise ValueError(f"expected shrink to be in (0, 1), got {self.shrink}")
        if not 0 < self.step < math.inf:
            raise ValueError(f"expected step to be > 0 and finite, got {self.step}")

    def passes(self) -> tuple[int, int]:
        return 1 + self.targets * self.steps, self.targets * self.steps

    def __call__(
        self, victim: Victim, x: Tensor, y: Tensor, threat: ThreatModel, /, *, random: SampleRandom
    ) -> Tensor:
        known, norm, anywhere = known_detector(victim, self), NORMS["L2"], ThreatModel("L2", math.inf)
        found, smallest = x.clone(), torch.full((len(x),), torch.inf, dtype=x.dtype, device=x.device)
        for target in targets_of(victim, x, y, self.targets):
            delta = torch.zeros_like(x)
            for step in range(self.steps):
                candidate = on_grid(x, x + delta, anywhere)
                _, gradient, outputs = victim.gradient(candidate, wrong_then_accepted(known, y, target))
                evades = (outputs.predicted != y) & ~known.rejects(score_of(outputs))
                size = norm.size(candidate - x)
                better = evades & (size < smallest)
                smallest = torch.where(better, size, smallest)
                found = torch.where(column(better, x), candidate, found)
                pace = annealed(1, LAST, step / self.steps)
                moved = (x + delta + self.step * pace * norm.steepest(gradient)).clamp(0, 1) - x
                shrunk = delta * (1 - self.shrink * pace)
                delta = torch.where(column(evades, x), shrunk, moved)
        return torch.where(column(smallest <= threat.eps, x), found, x)
