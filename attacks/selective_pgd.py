"""Selective projected gradient descent: attack the classifier until it is wrong, from then on the detector.

Bryniarski, Hussein, Rosenfeld, Goldblum, "Evading adversarial example detection defenses with orthogonal
projected gradient descent", ICLR 2022, arXiv 2106.15023, section 4. Different from it: the class is attacked
by the margin, since cross-entropy saturates; what counts, and is kept, is the image on the 8-bit grid; 100
steps by default, where the authors take 1 000.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..models.about import About
from ..models.classifier import Outputs
from .core.attack import ATTACKS, Attack, targets_of
from .core.grid import on_grid
from .core.known import KnownDetector
from .core.norms import NORMS
from .core.randomness import SampleRandom
from .core.stealth import Stealthiest, known_detector, wrong_then_accepted
from .core.threat import ThreatModel
from .core.victim import Victim

__all__ = ["SelectivePGD"]


@ATTACKS.register("selective-pgd")
@dataclass(frozen=True)
class SelectivePGD(Attack):
    """Step along the gradient of the classifier where the image is right, of the detector where it is wrong.

    Args:
        steps: Steps per run, > 0.
        step: Length of a step in units of eps, > 0; the paper's.
        restarts: Runs (per target), > 0; the first starts at the image, the others at random points.
        targets: 0 attacks untargeted; n > 0 runs once for each of the n likeliest wrong classes.
    """

    about = About(title="selective PGD", citation="Bryniarski et al. 2022", paper="arXiv 2106.15023")

    reads_score: ClassVar[bool] = True
    needs_score_gradients: ClassVar[bool] = True

    steps: int = 100
    step: float = 0.1
    restarts: int = 1
    targets: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "restarts"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} to be at least 1, got {getattr(self, name)}")
        if not 0 < self.step < math.inf:
            raise ValueError(f"expected step to be > 0 and finite, got {self.step}")
        if self.targets < 0:
            raise ValueError(f"expected targets to be at least 0, got {self.targets}")

    def passes(self) -> tuple[int, int]:
        gradients = self.restarts * max(1, self.targets) * self.steps
        return gradients + min(1, self.targets), gradients

    def __call__(
        self, victim: Victim, x: Tensor, y: Tensor, threat: ThreatModel, /, *, random: SampleRandom
    ) -> Tensor:
        known, norm, kept = known_detector(victim, self), NORMS[threat.norm], Stealthiest(x, y)
        for target in targets_of(victim, x, y, self.targets):
            for restart in range(self.restarts):
                start = norm.sample(x, threat.eps, random) if restart else torch.zeros_like(x)
                x_adv = norm.perturb(x, start, threat.eps)
                for _ in range(self.steps):
                    candidate = on_grid(x, x_adv, threat)
                    gradient, outputs = self.ascent(victim, known, candidate, y, target)
                    kept.update(candidate, outputs)
                    move = self.step * threat.eps * norm.steepest(gradient)
                    x_adv = norm.perturb(x, x_adv - x + move, threat.eps)
        return kept.x

    def ascent(
        self, victim: Victim, known: KnownDetector, x: Tensor, y: Tensor, target: Tensor | None
    ) -> tuple[Tensor, Outputs]:
        """Give what to climb at images, (B, *S) -> (B, *S), and their outputs."""
        _, gradient, outputs = victim.gradient(x, wrong_then_accepted(known, y, target))
        return gradient, outputs
