"""Auto-PGD: projected gradient ascent with momentum that halves its own step.

Croce, Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
attacks", ICML 2020, arXiv 2003.01690, algorithm 1 and section 3. At checkpoints, which come closer and
closer, an image whose objective rose too seldom, or whose best stood still, halves its step and goes on from
its best point. Different from the authors' code: random starts fill the ball (theirs lie on its surface), a
restart counts as the paper writes it, from the best point's objective on, and what comes back is the
misclassified iterate with the highest objective, not the last one.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ..models.about import About
from .core.attack import ATTACKS, Attack, targets_of
from .core.losses import Objective, OwnLoss, check_loss, objective
from .core.norms import NORMS, column
from .core.randomness import SampleRandom
from .core.threat import ThreatModel
from .core.victim import Victim
from .pgd import Best

__all__ = ["APGD"]

FIRST_STEP = 2.0  # of the step, in units of eps
MOMENTUM = 0.75  # share of the step's end in the next iterate; the rest follows the last move
RISES = 0.75  # the objective must rise in at least this share of the steps between two checkpoints
# of the steps, in percent: the first checkpoint, by how much each interval is shorter than the last, and
# the shortest
FIRST_CHECK, SHORTER, SHORTEST = 22, 3, 6


@ATTACKS.register("apgd")
@dataclass(frozen=True)
class APGD(Attack):
    """Ascend a loss; no step length is to be chosen.

    Args:
        loss: What to ascend, a name of `LOSSES` or, untargeted, an `OwnLoss`.
        steps: Gradients per run, > 0; the authors' 100.
        restarts: Runs from different random starts (per target), > 0.
        targets: 0 attacks untargeted; n > 0 runs once for each of the n likeliest wrong classes, of all where
            there are fewer.
        stop: Whether an image that is fooled is attacked no more, as in AutoAttack. It then lies just across
            the boundary: right for robust accuracy, too easy for a detector.
    """

    about = About(title="APGD", citation="Croce, Hein 2020", paper="arXiv 2003.01690")

    loss: str | OwnLoss = "dlr"
    steps: int = 100
    restarts: int = 1
    targets: int = 0
    stop: bool = False

    def __post_init__(self) -> None:
        check_loss(self.loss, self.targets)
        for name, least in (("steps", 1), ("restarts", 1), ("targets", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"expected {name} to be at least {least}, got {getattr(self, name)}")

    def passes(self) -> tuple[int, int]:
        runs = self.restarts * max(1, self.targets)
        return runs * (self.steps + 1) + min(1, self.targets), runs * self.steps

    def __call__(
        self, victim: Victim, x: Tensor, y: Tensor, threat: ThreatModel, /, *, random: SampleRandom
    ) -> Tensor:
        norm = NORMS[threat.norm]
        best = Best(x, y)
        for target in targets_of(victim, x, y, self.targets):
            for _ in range(self.restarts):
                start = norm.perturb(x, norm.sample(x, threat.eps, random), threat.eps)
                left = ~best.fooled if self.stop else torch.ones_like(best.fooled)
                rows = left.nonzero().squeeze(1)
                climb = _Climb.begin(rows, x[rows], start[rows], threat.eps)
                self._run(victim, climb, threat, best, self._objective_of(y, target))
        return best.x

    def _objective_of(self, y: Tensor, target: Tensor | None) -> Callable[[Tensor], Objective]:
        """Give what fixes the loss's labels for some of the images, (b,) -> objective."""
        return lambda rows: objective(self.loss, y[rows], None if target is None else target[rows])

    def _run(
        self,
        victim: Victim,
        climb: "_Climb",
        threat: ThreatModel,
        best: Best,
        objective_of: Callable[[Tensor], Objective],
    ) -> None:
        """Climb from one start, and show every iterate to ``best``."""
        checks = _checkpoints(self.steps)
        for step in range(self.steps):
            if len(climb.rows) == 0:
                return
            value, gradient, outputs = victim.gradient(climb.x_adv, objective_of(climb.rows), climb.rows)
            best.update(climb.x_adv, value, outputs, climb.rows)
            climb.note(value, gradient)
            if self.stop:
                left = ~best.fooled[climb.rows]
                climb, gradient = climb[left], gradient[left]
            if step in checks:
                gradient = climb.check(gradient, checks[step])
            climb.move(gradient, threat, 1.0 if step == 0 else MOMENTUM)
        outputs = victim.outputs(climb.x_adv, climb.rows)
        best.update(climb.x_adv, objective_of(climb.rows)(outputs), outputs, climb.rows)


def _checkpoints(steps: int) -> dict[int, int]:
    """Give the steps at which progress is looked at, each with how many steps it looks back.

    w_j = ceil(p_j steps), in hundredths so that no rounding moves one.
    """
    found: dict[int, int] = {}
    place, interval, last = FIRST_CHECK, FIRST_CHECK, 0
    while place <= 100:
        check = -(-place * steps // 100)
        if check > last:
            found[check] = check - last
        last = check
        interval = max(interval - SHORTER, SHORTEST)
        place += interval
    return found


@dataclass
class _Climb:
    """The images that are climbing, b of them; no row depends on another.

    Args:
        rows: Place in the batch, (b,).
        x: Clean images, (b, *S).
        x_adv: Iterate, (b, *S).
        before: The iterate before it, (b, *S).
        step: Length of a step, (b,).
        value: The iterate's objective, (b,).
        peak: The iterate with the highest objective of this run, (b, *S).
        slope: The gradient there, (b, *S).
        highest: The objective there, (b,).
        rises: Steps since the last checkpoint that raised the objective, (b,).
        reached: `highest` at the last checkpoint, (b,).
        halved: Whether the last checkpoint halved the step, (b,).
    """

    rows: Tensor
    x: Tensor
    x_adv: Tensor
    before: Tensor
    step: Tensor
    value: Tensor
    peak: Tensor
    slope: Tensor
    highest: Tensor
    rises: Tensor
    reached: Tensor
    halved: Tensor

    @classmethod
    def begin(cls, rows: Tensor, x: Tensor, start: Tensor, eps: float) -> "_Climb":
        """Set out from ``start``, (b, *S)."""
        lowest = torch.full((len(x),), -torch.inf, dtype=x.dtype, device=x.device)
        return cls(
            rows=rows,
            x=x,
            x_adv=start,
            before=start,
            step=torch.full_like(lowest, FIRST_STEP * eps),
            value=lowest.clone().fill_(torch.inf),  # the start is no rise
            peak=start,
            slope=torch.zeros_like(start),
            highest=lowest.clone(),
            rises=torch.zeros_like(rows),
            reached=lowest.clone(),
            # of what came before the first checkpoint nothing is known
            halved=torch.ones_like(rows, dtype=torch.bool),
        )

    def __getitem__(self, rows: Tensor) -> "_Climb":
        return _Climb(*(getattr(self, field.name)[rows] for field in fields(self)))

    def note(self, value: Tensor, gradient: Tensor) -> None:
        """Note what the victim says of the iterate, (b,), (b, *S)."""
        self.rises = self.rises + (value > self.value)
        self.value = value
        higher = value > self.highest
        place = column(higher, self.x)
        self.peak = torch.where(place, self.x_adv, self.peak)
        self.slope = torch.where(place, gradient, self.slope)
        self.highest = torch.where(higher, value, self.highest)

    def check(self, gradient: Tensor, interval: int) -> Tensor:
        """Halve the step where the last ``interval`` steps led nowhere, and go back to the peak there.

        Gives the gradient to go on with, (b, *S) -> (b, *S).
        """
        stands = ~self.halved & (self.highest <= self.reached)
        self.halved = (self.rises < RISES * interval) | stands
        self.reached, self.rises = self.highest, torch.zeros_like(self.rises)
        self.step = torch.where(self.halved, self.step / 2, self.step)
        self.value = torch.where(self.halved, self.highest, self.value)
        place = column(self.halved, self.x)
        self.x_adv = torch.where(place, self.peak, self.x_adv)
        return torch.where(place, self.slope, gradient)

    def move(self, gradient: Tensor, threat: ThreatModel, share: float) -> None:
        """Step along the gradient, (b, *S); then go ``share`` of that way and the rest of the last move's."""
        norm, delta = NORMS[threat.norm], self.x_adv - self.x
        end = norm.perturb(self.x, delta + column(self.step, self.x) * norm.steepest(gradient), threat.eps)
        move = (end - self.x_adv) * share + (self.x_adv - self.before) * (1 - share)
        self.before = self.x_adv
        self.x_adv = norm.perturb(self.x, delta + move, threat.eps)
