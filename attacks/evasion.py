"""Per-target evasion: for every wrong class, become that class, then be accepted by the detector.

The attacker that defeats (L-)GM's likelihood, for any detector with gradients: for each target t it mends one
violation at a time, as selective PGD does (Bryniarski, Hussein, Rosenfeld, Goldblum, 2021, arXiv 2106.15023):
the class (max_{k != t} z_k - z_t, in logits, which do not saturate), then the score, which it goes on
lowering once the image is accepted. Different from theirs: every target has runs of its own, the first from
the image itself and the others from random points; steps have momentum and shrink along a cosine; what counts
is the image on the 8-bit grid.

A target that an image has come no nearer to after `LOOK` steps is dropped for it: that makes attacking all of
them affordable. `Victim.dropped` counts those.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import ClassVar

import torch
from torch import Tensor

from ..models.about import About
from ..models.classifier import Outputs
from .core.attack import ATTACKS, Attack, likeliest_targets
from .core.grid import on_grid
from .core.known import KnownDetector
from .core.losses import Objective, class_log_likelihood, margin
from .core.norms import NORMS, size_one
from .core.randomness import SampleRandom
from .core.stealth import Stealthiest, known_detector, wrong_then_accepted
from .core.threat import ThreatModel
from .core.victim import Victim

__all__ = ["Evasion", "Goal"]

LOOK = 20
"""Steps after which targets are dropped."""

MOMENTUM = 0.75
"""Share of the running sum of gradients that the next step keeps; that of APGD (Croce, Hein 2020)."""


Goal = Callable[[Tensor], Objective]
"""What to climb towards a target, for the images in some rows of the batch, (b,)."""


@ATTACKS.register("evasion")
@dataclass(frozen=True)
class Evasion(Attack):
    """Turn an image into each of the wrong classes, and lower the score under each.

    Args:
        steps: Gradients per run, > 0.
        step: Length of a run's first step in units of eps, > 0.
        targets: How many of the likeliest wrong classes are tried, > 0.
        restarts: Runs for each target that is not dropped, > 0.
        near: Share of the way to a target, as the logits measure it, that an image must have gone after
            `LOOK` steps, in [0, 1]; else the target is dropped for it. 0 drops none.
        stop: Whether an image that is wrong and accepted is attacked no more: right for robust accuracy with
            detection. Without it, its score is lowered until the steps are spent: right for every other
            threshold, too.
    """

    about = About(title="evasion")

    reads_score: ClassVar[bool] = True
    needs_score_gradients: ClassVar[bool] = True

    steps: int = 100
    step: float = 0.25
    targets: int = 9
    restarts: int = 2
    near: float = 0.8
    stop: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "targets", "restarts"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} to be at least 1, got {getattr(self, name)}")
        if not 0 < self.step < math.inf:
            raise ValueError(f"expected step to be > 0 and finite, got {self.step}")
        if not 0 <= self.near <= 1:
            raise ValueError(f"expected near to be in [0, 1], got {self.near}")

    def passes(self) -> tuple[int, int]:
        gradients = self.targets * self.restarts * self.steps
        return gradients + 1, gradients

    def __call__(
        self, victim: Victim, x: Tensor, y: Tensor, threat: ThreatModel, /, *, random: SampleRandom
    ) -> Tensor:
        known, norm, kept = known_detector(victim, self), NORMS[threat.norm], Stealthiest(x, y)
        outputs = victim.outputs(x)
        for target in likeliest_targets(class_log_likelihood(outputs), y, self.targets):
            way, goal = -margin(outputs, target, target), self.goal(known, outputs, target)
            rows = torch.arange(len(x), device=x.device)
            for restart in range(self.restarts):
                start = norm.perturb(x, norm.sample(x, threat.eps, random), threat.eps) if restart else x
                run = _Run.begin(rows, x, start, target, way)
                rows = self._run(victim, known, goal, threat, run, kept, drops=restart == 0)
        return kept.x

    def goal(self, known: KnownDetector, clean: Outputs, target: Tensor) -> Goal:
        """Begin a target: give what to climb in any rows of the batch.

        Args:
            known: The detector.
            clean: Outputs of the B clean images.
            target: Class to become, (B,).
        """
        return lambda rows: wrong_then_accepted(known, target[rows], target[rows])

    def _run(
        self,
        victim: Victim,
        known: KnownDetector,
        goal: Goal,
        threat: ThreatModel,
        run: "_Run",
        kept: Stealthiest,
        *,
        drops: bool,
    ) -> Tensor:
        """Take one run's steps, and tell which images are still worth another, (b,)."""
        norm = NORMS[threat.norm]
        for step in range(self.steps):
            if not len(run.rows):
                break
            candidate = on_grid(run.x, run.x_adv, threat)
            _, gradient, outputs = victim.gradient(candidate, goal(run.rows), run.rows)
            kept.update(candidate, outputs, run.rows)
            run.note(gradient, margin(outputs, run.target, run.target))
            length = self.step * threat.eps * (1 + math.cos(math.pi * step / self.steps)) / 2
            run.x_adv = norm.perturb(run.x, run.x_adv - run.x + length * norm.steepest(run.total), threat.eps)
            stays = torch.ones_like(run.rows, dtype=torch.bool)
            if drops and step + 1 == LOOK:
                stays = run.near(self.near)
                victim.dropped[run.rows[~stays].cpu()] += 1
            if self.stop:
                stays &= ~kept.accepted(known)[run.rows]
            if not stays.all():
                run = run[stays]
        return run.rows


@dataclass
class _Run:
    """The images that one run moves towards one target, b of them.

    One row of every field is one image, and no row depends on another.

    Args:
        rows: Place in the batch, (b,).
        x: Clean images, (b, *S).
        x_adv: Iterate, not rounded, (b, *S).
        target: Class to become, (b,).
        way: How far the clean image is from it, in logits, (b,).
        lead: Largest lead of the target's logit so far, (b,).
        total: Running sum of gradients, each of size one, (b, *S).
    """

    rows: Tensor
    x: Tensor
    x_adv: Tensor
    target: Tensor
    way: Tensor
    lead: Tensor
    total: Tensor

    @classmethod
    def begin(cls, rows: Tensor, x: Tensor, start: Tensor, target: Tensor, way: Tensor) -> "_Run":
        """Set out with these rows of the batch."""
        x = x[rows]
        lead = torch.full_like(way[rows], -torch.inf)
        return cls(rows, x, start[rows], target[rows], way[rows], lead, torch.zeros_like(x))

    def __getitem__(self, rows: Tensor) -> "_Run":
        return _Run(*(getattr(self, field.name)[rows] for field in fields(self)))

    def note(self, gradient: Tensor, lead: Tensor) -> None:
        """Add a step's gradient to the sum, and remember the largest lead."""
        self.total = MOMENTUM * self.total + size_one(gradient)
        self.lead = torch.maximum(self.lead, lead)

    def near(self, share: float) -> Tensor:
        """Tell which have gone this share of the way to the target, (b,)."""
        return self.lead >= (share - 1) * self.way
