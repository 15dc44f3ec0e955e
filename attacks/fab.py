"""Fast adaptive boundary: the smallest perturbation that fools, towards each of several classes (FAB-T).

Croce, Hein, "Minimally distorted adversarial examples with a fast adaptive boundary attack", ICML 2020, arXiv
1907.02044, algorithm 1; towards one class at a time as in AutoAttack (arXiv 2003.01690), so that a step costs
one gradient whatever the number of classes. A step linearises the boundary between the true class and the
target, goes from the iterate and from the image to their nearest points of it inside the box, and takes a
mean of the two. Different from the authors' code: these points are found by fixing the pixels that reach the
border of the box, a few sums instead of a sort; other random starts fill the ball; a tie within rounding does
not fool.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..models.about import About
from ..models.classifier import Outputs
from .core.attack import ATTACKS, Attack
from .core.losses import Objective, margin
from .core.norms import NORMS, Norm, column
from .core.randomness import SampleRandom
from .core.smallest import Smallest, leads
from .core.threat import ThreatModel
from .core.victim import Victim

__all__ = ["FAB"]

REFINEMENTS = 3  # of the final search; the authors'
# of the lead of the image found, which the final search aims at: at 0 every second try would be a tie
LEAD = 0.1
TINY = 1e-30  # a smaller slope counts as this


@ATTACKS.register("fab")
@dataclass(frozen=True)
class FAB(Attack):
    """Step to the linearised boundary, and back towards the image wherever that fools.

    Where the smallest perturbation found is larger than a finite eps, the clean image comes back.

    Args:
        steps: Gradients per run, > 0; the authors' 100.
        restarts: Runs per target, > 0; the first starts at the image, others at random points half as far
            away as what is found by then, or as eps.
        targets: How many of the likeliest wrong classes are aimed at, of all where there are fewer, > 0.
        alpha_max: Largest share of the image's own nearest point in a step, in [0, 1]; the authors'.
        overshoot: How far beyond the linearised boundary a step goes, in its lengths, >= 1; the authors' eta.
        backward: Share of the perturbation that an image which fools keeps, in (0, 1]; the authors' beta.
        stop: Whether an image that is fooled within eps is attacked no more, as AutoAttack needs it.
    """

    about = About(title="FAB-T", citation="Croce, Hein 2020", paper="arXiv 1907.02044")

    minimises = True

    steps: int = 100
    restarts: int = 1
    targets: int = 9
    alpha_max: float = 0.1
    overshoot: float = 1.05
    backward: float = 0.9
    stop: bool = False

    def __post_init__(self) -> None:
        for name in ("steps", "restarts", "targets"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} to be at least 1, got {getattr(self, name)}")
        if not 0 <= self.alpha_max <= 1:
            raise ValueError(f"expected alpha_max to be in [0, 1], got {self.alpha_max}")
        if not 1 <= self.overshoot < math.inf:
            raise ValueError(f"expected overshoot to be >= 1 and finite, got {self.overshoot}")
        if not 0 < self.backward <= 1:
            raise ValueError(f"expected backward to be in (0, 1], got {self.backward}")

    def passes(self) -> tuple[int, int]:
        gradients = self.targets * self.restarts * self.steps
        return 1 + 2 * gradients + 2 + REFINEMENTS, gradients

    def __call__(
        self, victim: Victim, x: Tensor, y: Tensor, threat: ThreatModel, /, *, random: SampleRandom
    ) -> Tensor:
        norm = NORMS[threat.norm]
        best = Smallest(x, y, norm)
        rows, aims = best.begin(victim, self.targets)
        for target in aims:
            for restart in range(self.restarts):
                start = x
                if restart > 0:
                    farthest = norm.size(torch.ones_like(x)).clamp_max(threat.eps)
                    radius = torch.minimum(best.size, farthest) / 2
                    start = (x + column(radius, x) * norm.sample(x, 1.0, random)).clamp(0, 1)
                self._follow(victim, (x[rows], start[rows], y[rows], target), rows, threat, best)
        _refine(victim, x, y, rows, best)
        return best.within(threat.eps)

    def _follow(
        self,
        victim: Victim,
        images: tuple[Tensor, Tensor, Tensor, Tensor | None],
        rows: Tensor,
        threat: ThreatModel,
        best: Smallest,
    ) -> None:
        """Run once towards a class on the images in these rows of the batch.

        Args:
            victim: Whom to attack.
            images: Clean images and starts, (b, *S) each, true classes and targets, (b,) each.
            rows: Place of each in the batch, (b,).
            threat: Norm and eps.
            best: What is kept.
        """
        norm = NORMS[threat.norm]
        x, x_adv, y, target = images
        assert target is not None
        for _ in range(self.steps):
            if self.stop:
                left = best.size[rows] > threat.eps
                x, x_adv, y, target, rows = x[left], x_adv[left], y[left], target[left], rows[left]
            if len(rows) == 0:
                return
            lead, gradient, _ = victim.gradient(x_adv, _lead_over(y, target), rows)
            x_adv = self._step(x, x_adv, lead, gradient, norm)
            outputs = victim.outputs(x_adv, rows)
            best.update(x_adv, outputs, rows)
            back = column(leads(outputs, y), x)
            x_adv = torch.where(back, x + self.backward * (x_adv - x), x_adv)

    def _step(self, x: Tensor, x_adv: Tensor, lead: Tensor, gradient: Tensor, norm: Norm) -> Tensor:
        """Go to a mean of the points of the linearised boundary nearest to iterate and image, (b, *S)."""
        from_image = -lead + (gradient * (x_adv - x)).flatten(1).sum(1)
        moves = _onto_plane(
            torch.cat([x_adv, x]), torch.cat([gradient, gradient]), torch.cat([-lead, from_image]), norm
        )
        size, other = norm.size(moves).chunk(2)
        alpha = column((size / (size + other).clamp_min(TINY)).clamp_max(self.alpha_max), x)
        step, direct = moves.chunk(2)
        ahead, straight = x_adv + self.overshoot * step, x + self.overshoot * direct
        return torch.lerp(ahead, straight, alpha).clamp_(0, 1)


def _lead_over(y: Tensor, target: Tensor) -> Objective:
    """Give the target's lead over the true class, z_t - z_y."""

    def lead(outputs: Outputs) -> Tensor:
        z = outputs.logits
        return (z.gather(1, target.unsqueeze(1)) - z.gather(1, y.unsqueeze(1))).squeeze(1)

    return lead


def _onto_plane(x: Tensor, gradient: Tensor, rise: Tensor, norm: Norm) -> Tensor:
    """Find the shortest delta with gradient . delta = rise and x + delta in [0, 1].

    Along the norm's steepest direction every pixel moves at its own pace until it meets the border of the
    box; the length at which the rise is reached is found by fixing those that would cross it, again and
    again: each time the length grows, so none comes free again. Where the box has no such point, the delta
    that comes nearest.

    Args:
        x: Points in the box, (b, *S).
        gradient: Normal of the plane, (b, *S).
        rise: What is missing to the plane, (b,).
        norm: In which delta is short.
    """
    scale = gradient.abs().flatten(1).amax(1)
    scale = torch.where(scale == 0, 1, scale)
    way = norm.steepest(gradient) * column(rise.sign(), x)
    room, pace = torch.where(way > 0, 1 - x, x), way.abs()
    gain = (gradient / column(scale, x)).abs()
    # more than all of the box is no further away than all of it
    missing = (rise.abs() / scale).clamp_max(2 * x[0].numel())
    moving = pace > 0
    while True:
        speed = torch.where(moving, gain * pace, 0).flatten(1).sum(1)
        fixed = torch.where(moving, 0, gain * room).flatten(1).sum(1)
        length = column((missing - fixed).clamp_min(0) / speed.clamp_min(TINY), x)
        crosses = moving & (length * pace >= room)
        if not crosses.any():
            break
        moving &= ~crosses
    return way.sign() * torch.where(moving, length * pace, torch.where(pace > 0, room, 0))


def _refine(victim: Victim, x: Tensor, y: Tensor, rows: Tensor, best: Smallest) -> None:
    """Search between each image and what was found for it, by the margins at both ends: the final search."""
    rows = rows[best.size[rows].isfinite()]
    if len(rows) == 0:
        return
    x, y, end = x[rows], y[rows], best.within(math.inf)[rows]
    below, above = (margin(victim.outputs(images, rows), y) for images in (x, end))
    low, high = torch.zeros_like(above), torch.ones_like(above)
    for _ in range(REFINEMENTS):
        share = low + (high - low) * (LEAD * above - below) / (above - below).clamp_min(TINY)
        place = torch.lerp(x, end, column(share.clamp(0, 1), x))
        outputs = victim.outputs(place, rows)
        best.update(place, outputs, rows)
        value, fools = margin(outputs, y), leads(outputs, y)
        low, below = torch.where(fools, low, share), torch.where(fools, below, value)
        high, above = torch.where(fools, share, high), torch.where(fools, value, above)
