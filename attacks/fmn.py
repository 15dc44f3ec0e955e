"""Fast minimum norm: the smallest perturbation that fools, in Linf or L2.

Pintor, Roli, Brendel, Biggio, "Fast minimum-norm adversarial attacks through adaptive norm constraints",
NeurIPS 2021, arXiv 2102.12827, algorithm 1: gradient steps inside a ball whose radius shrinks by gamma where
the image fools, grows where it does not, and is, before anything fools, what the model linearised at the
iterate asks for. Steps and gamma fall along a cosine. Different from the original: the radius of the
linearised model is taken 1 + gamma times, without which a fifth to a half of the images of the digits nets
never cross the boundary in L2 (they come ever closer from inside); a tie within rounding does not fool.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..models.about import About
from .core.attack import ATTACKS, Attack
from .core.losses import objective
from .core.norms import NORMS, Norm, column
from .core.randomness import SampleRandom
from .core.smallest import Smallest, annealed, leads
from .core.threat import ThreatModel
from .core.victim import Victim

__all__ = ["FMN"]

FLATTEST = 1e-12
"""A smaller norm of a gradient counts as this, so that the radius stays finite."""


@ATTACKS.register("fmn")
@dataclass(frozen=True)
class FMN(Attack):
    """Ascend the margin in a ball whose radius follows the boundary.

    Where the smallest perturbation found is larger than a finite eps, the clean image comes back.

    Args:
        steps: Gradients per run, > 0.
        step: L2 norm of the first step in input units, > 0; the authors'.
        last_step: Of the last, in units of the first, in (0, 1]; the authors'.
        gamma: Share by which the radius changes in the first step, in (0, 1); the authors'.
        last_gamma: In the last step, in (0, 1); the authors'.
        targets: 0 attacks untargeted; n > 0 runs once for each of the n likeliest wrong classes.
    """

    about = About(title="FMN", citation="Pintor et al. 2021", paper="arXiv 2102.12827")

    minimises = True

    steps: int = 100
    step: float = 1.0
    last_step: float = 0.01
    gamma: float = 0.05
    last_gamma: float = 0.001
    targets: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"expected steps to be at least 1, got {self.steps}")
        if not 0 < self.step < math.inf:
            raise ValueError(f"expected step to be > 0 and finite, got {self.step}")
        if not 0 < self.last_step <= 1:
            raise ValueError(f"expected last_step to be in (0, 1], got {self.last_step}")
        for name in ("gamma", "last_gamma"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"expected {name} to be in (0, 1), got {getattr(self, name)}")
        if self.targets < 0:
            raise ValueError(f"expected targets to be at least 0, got {self.targets}")

    def passes(self) -> tuple[int, int]:
        gradients = max(1, self.targets) * self.steps
        return 1 + gradients, gradients

    def __call__(
        self, victim: Victim, x: Tensor, y: Tensor, threat: ThreatModel, /, *, random: SampleRandom
    ) -> Tensor:
        norm = NORMS[threat.norm]
        best = Smallest(x, y, norm)
        rows, aims = best.begin(victim, self.targets)
        for target in aims:
            self._follow(victim, x[rows], y[rows], target, norm, rows, best)
        return best.within(threat.eps)

    def _follow(
        self,
        victim: Victim,
        x: Tensor,
        y: Tensor,
        target: Tensor | None,
        norm: Norm,
        rows: Tensor,
        best: Smallest,
    ) -> None:
        """Run once, towards a class if one is given, on the images in these rows of the batch."""
        climb, x_adv = objective("margin", y, target), x
        nearest = torch.full((len(x),), torch.inf, dtype=x.dtype, device=x.device)  # of this run
        farthest = norm.size(torch.maximum(x, 1 - x))
        radius = nearest.clone()
        for step in range(self.steps):
            margin, gradient, outputs = victim.gradient(x_adv, climb, rows)
            best.update(x_adv, outputs, rows)
            fools = leads(outputs, y, target)
            delta = x_adv - x
            size = norm.size(delta)
            nearest = torch.where(fools, torch.minimum(nearest, size), nearest)
            gamma = annealed(self.gamma, self.last_gamma, step / self.steps)
            linear = (1 + self.gamma) * (size + margin.abs() / norm.slope(gradient).clamp_min(FLATTEST))
            outside = torch.where(nearest.isinf(), linear, radius * (1 + gamma))
            radius = torch.where(fools, torch.minimum(radius * (1 - gamma), nearest), outside)
            radius = torch.minimum(radius, farthest)
            pace = annealed(self.step, self.step * self.last_step, step / self.steps)
            delta = delta + pace * NORMS["L2"].steepest(gradient)
            x_adv = norm.perturb(x, delta, column(radius, x))
