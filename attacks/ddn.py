"""Decoupled direction and norm: the smallest L2 perturbation that fools.

Rony, Hafemann, Oliveira, Ben Ayed, Sabourin, Granger, "Decoupling direction and norm for efficient
gradient-based L2 adversarial attacks and defenses", CVPR 2019, arXiv 1811.09600, algorithm 1: a step along
the gradient, then the perturbation is set to a length that shrinks by gamma where the image fools and grows
where it does not. Different from the original: it ascends the log odds, whose gradient points where
cross-entropy's does and never underflows (on Gaussian logits that one's is 0 at most images); where a
gradient is 0 nothing moves (the authors' code draws a direction); a tie within rounding does not fool.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..models.about import About
from .core.attack import ATTACKS, Attack
from .core.losses import OwnLoss, check_loss, objective
from .core.norms import NORMS
from .core.randomness import SampleRandom
from .core.smallest import Smallest, annealed, leads, of_length
from .core.threat import ThreatModel
from .core.victim import Victim

__all__ = ["DDN"]

LAST_STEP = 0.01
"""Length of the last step, in units of the first; the paper's."""


@ATTACKS.register("ddn")
@dataclass(frozen=True)
class DDN(Attack):
    """Walk along the boundary with a length that shrinks where the image fools and grows where it does not.

    Where the smallest perturbation found is larger than a finite eps, the clean image comes back.

    Args:
        loss: What to ascend, a name of `LOSSES` or, untargeted, an `OwnLoss`.
        steps: Gradients per run, > 0.
        gamma: Share by which the length changes in a step, in (0, 1); the paper's.
        init_norm: First length in input units, > 0; the paper's.
        levels: Grey levels that iterates are rounded to, as in the paper; 0 rounds none.
        targets: 0 attacks untargeted; n > 0 runs once for each of the n likeliest wrong classes.
    """

    about = About(title="DDN", citation="Rony et al. 2019", paper="arXiv 1811.09600")

    norms = ("L2",)
    minimises = True

    loss: str | OwnLoss = "log-odds"
    steps: int = 200
    gamma: float = 0.05
    init_norm: float = 1.0
    levels: int = 256
    targets: int = 0

    def __post_init__(self) -> None:
        check_loss(self.loss, self.targets)
        if self.steps < 1:
            raise ValueError(f"expected steps to be at least 1, got {self.steps}")
        if not 0 < self.gamma < 1:
            raise ValueError(f"expected gamma to be in (0, 1), got {self.gamma}")
        if not 0 < self.init_norm < math.inf:
            raise ValueError(f"expected init_norm to be > 0 and finite, got {self.init_norm}")
        if self.levels != 0 and self.levels < 2:
            raise ValueError(f"expected levels to be 0 or at least 2, got {self.levels}")
        if self.targets < 0:
            raise ValueError(f"expected targets to be at least 0, got {self.targets}")

    def passes(self) -> tuple[int, int]:
        gradients = max(1, self.targets) * self.steps
        return 1 + gradients, gradients

    def __call__(
        self, victim: Victim, x: Tensor, y: Tensor, threat: ThreatModel, /, *, random: SampleRandom
    ) -> Tensor:
        best = Smallest(x, y, NORMS["L2"])
        rows, aims = best.begin(victim, self.targets)
        for target in aims:
            self._walk(victim, x[rows], y[rows], target, rows, best)
        return best.within(threat.eps)

    def _walk(
        self, victim: Victim, x: Tensor, y: Tensor, target: Tensor | None, rows: Tensor, best: Smallest
    ) -> None:
        """Run once, towards a class if one is given, on the images in these rows of the batch."""
        norm, climb = NORMS["L2"], objective(self.loss, y, target)
        x_adv, length = x, torch.full((len(x),), self.init_norm, dtype=x.dtype, device=x.device)
        farthest = norm.size(torch.maximum(x, 1 - x))
        for step in range(self.steps):
            _, gradient, outputs = victim.gradient(x_adv, climb, rows)
            best.update(x_adv, outputs, rows)
            fools = leads(outputs, y, target)
            delta = x_adv - x + annealed(1, LAST_STEP, step / self.steps) * norm.steepest(gradient)
            length = torch.minimum(length * torch.where(fools, 1 - self.gamma, 1 + self.gamma), farthest)
            x_adv = self._rounded((x + of_length(delta, length)).clamp_(0, 1))

    def _rounded(self, x: Tensor) -> Tensor:
        return x if self.levels == 0 else (x * (self.levels - 1)).round_() / (self.levels - 1)
