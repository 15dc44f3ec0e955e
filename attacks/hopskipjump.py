"""HopSkipJump: the smallest perturbation that fools, from the victim's decisions alone.

Chen, Jordan, Wainwright, "HopSkipJumpAttack: a query-efficient decision-based attack", IEEE S&P 2020, arXiv
1904.02144, algorithm 2, untargeted: at a point of the boundary the share of wrong answers around it tells the
gradient's direction; a step along it, halved until it is wrong, and a bisection back to the boundary.
Different from the authors' code: the nearest point of all iterations counts, not the last; an image has a
budget of queries, and an iteration that would go beyond it is not begun; it starts from the nearest of
several points, for a walk ends at the boundary where it began, and from darker and brighter noise as well,
since some nets take all even noise for one class, whose images then have no start.
"""

import math
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor

from ..models.about import About
from .core.attack import ATTACKS, Attack
from .core.norms import NORMS, Norm, column
from .core.randomness import SampleRandom
from .core.threat import ThreatModel
from .core.victim import Victim

__all__ = ["HopSkipJump"]

TRIES = 1000
"""Images of noise that are tried at most."""

STARTS, COARSE = 12, 5
"""Images of noise that are tried at least, and by how many halvings the way back from one is bisected."""

POWERS = (1.0, 3.0, 1 / 3)
"""Uniform noise is raised to these in turn."""

FIRST_RADIUS = 0.1
"""Of the probes of the first iteration, L2, in input units; the authors'."""

DRAWN = 2**14
"""Numbers that are drawn at once for an image: of these the memory is, and nothing else hangs on it."""


@ATTACKS.register("hopskipjump")
@dataclass(frozen=True)
class HopSkipJump(Attack):
    """Walk along the boundary towards the image, asking for labels alone.

    Where the smallest perturbation found is larger than a finite eps, the clean image comes back.

    Args:
        queries: Decisions about an image at most, > 0.
        probes: Of them, those around the boundary's point in the first iteration, > 0; the t-th has sqrt(t)
            times as many, as the authors'.
    """

    about = About(title="HopSkipJump", citation="Chen et al. 2020", paper="arXiv 1904.02144")

    access = "decision"
    minimises = True

    queries: int = 5000
    probes: int = 100

    def __post_init__(self) -> None:
        for name in ("queries", "probes"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} to be at least 1, got {getattr(self, name)}")

    def passes(self) -> tuple[int, int]:
        return self.queries, 0

    def __call__(
        self, victim: Victim, x: Tensor, y: Tensor, threat: ThreatModel, /, *, random: SampleRandom
    ) -> Tensor:
        norm, pixels = NORMS[threat.norm], x[0].numel()
        # of the way to the image, down to the authors' threshold: 1 / d^2 or 1 / d^1.5 of it
        halvings = math.ceil((2 if threat.norm == "Linf" else 1.5) * math.log2(pixels))
        asked = _Asked(victim, y, self.queries)
        x_adv, rows = _start(asked, norm, x, random)
        rows = rows[asked.left(rows) >= halvings]
        x_adv[rows] = _to_boundary(asked, norm, x[rows], x_adv[rows], rows, halvings)
        best = x_adv.clone()
        for iteration in count(1):
            probes = int(self.probes * math.sqrt(iteration))
            size = norm.size(x_adv - x)
            rows = rows[(asked.left(rows) > probes + halvings) & (size[rows] > 0)]
            if len(rows) == 0:
                break
            here, size = x_adv[rows], size[rows]
            radius = torch.full_like(size, FIRST_RADIUS) if iteration == 1 else size / pixels
            gradient = _gradient(asked, norm, here, radius, probes, rows, random)
            path = column(size / math.sqrt(iteration), here) * norm.steepest(gradient)
            here = _jump(asked, here, path, rows, halvings)
            x_adv[rows] = _to_boundary(asked, norm, x[rows], here, rows, halvings)
            better = rows[norm.size(x_adv[rows] - x[rows]) < norm.size(best[rows] - x[rows])]
            best[better] = x_adv[better]
        return torch.where(column(norm.size(best - x) <= threat.eps, x), best, x)


class _Asked:
    """What the victim was asked about each image, never more than its budget.

    Args:
        victim: Whom to ask.
        y: True classes, (B,).
        budget: Decisions an image.
    """

    def __init__(self, victim: Victim, y: Tensor, budget: int) -> None:
        self._victim, self._y = victim, y
        self._left = torch.full_like(y, budget)

    def left(self, rows: Tensor) -> Tensor:
        """Tell how many decisions are left for images, (b,) -> (b,)."""
        return self._left[rows]

    def wrong(self, x: Tensor, rows: Tensor) -> Tensor:
        """Tell which images, (n, *S), are misclassified, (n,); a row may be there several times."""
        if len(rows) == 0:
            return rows.bool()
        self._left -= torch.bincount(rows, minlength=len(self._left))
        return self._victim.outputs(x, rows).predicted != self._y[rows]


def _start(asked: _Asked, norm: Norm, x: Tensor, random: SampleRandom) -> tuple[Tensor, Tensor]:
    """Find noise that is misclassified, of several the one whose way back meets the boundary nearest.

    Returns:
        The image there, or the clean one where that is wrong or nothing else is, (B, *S); rows of those
        found, (b,).
    """
    x_adv, size = x.clone(), torch.full((len(x),), torch.inf, dtype=x.dtype, device=x.device)
    rows = torch.arange(len(x), device=x.device)
    rows = rows[~asked.wrong(x, rows)]
    numbers = random[rows]
    random.position += TRIES * x[0].numel()
    for attempt in range(TRIES):
        left = (asked.left(rows) > COARSE) & (size[rows].isinf() | (attempt < STARTS))
        rows, numbers = rows[left], numbers[left]
        if len(rows) == 0:
            break
        noise = numbers.uniform(*x.shape[1:], dtype=x.dtype) ** POWERS[attempt % len(POWERS)]
        wrong = asked.wrong(noise, rows)
        found = rows[wrong]
        there = _to_boundary(asked, norm, x[found], noise[wrong], found, COARSE)
        nearer = norm.size(there - x[found]) < size[found]
        x_adv[found[nearer]] = there[nearer]
        size[found] = torch.minimum(size[found], norm.size(there - x[found]))
    return x_adv, size.isfinite().nonzero().squeeze(1)


def _to_boundary(asked: _Asked, norm: Norm, x: Tensor, x_adv: Tensor, rows: Tensor, halvings: int) -> Tensor:
    """Bisect the way from wrong images to the clean ones, (b, *S), and give the nearest that are wrong."""
    delta = x_adv - x
    size = norm.size(delta)
    low, high = torch.zeros_like(size), torch.ones_like(size)
    for _ in range(halvings):
        middle = (low + high) / 2
        candidate = norm.perturb(x, delta, column(middle * size, x))
        wrong = asked.wrong(candidate, rows)
        x_adv = torch.where(column(wrong, x), candidate, x_adv)
        low, high = torch.where(wrong, low, middle), torch.where(wrong, middle, high)
    return x_adv


def _gradient(
    asked: _Asked,
    norm: Norm,
    x_adv: Tensor,
    radius: Tensor,
    probes: int,
    rows: Tensor,
    random: SampleRandom,
) -> Tensor:
    """Estimate the direction in which images become wrong, (b, *S), by probes on a sphere around them.

    The mean of the answers, +-1, is taken off first (the paper's equation 16), unless all are alike.

    Args:
        asked: Whom to ask.
        norm: Whose ball the probes' directions are drawn from.
        x_adv: Points of the boundary, (b, *S).
        radius: Of the spheres, L2, (b,).
        probes: For each image.
        rows: Their places in the batch, (b,).
        random: Of the whole batch.
    """
    agreed, moved = torch.zeros_like(x_adv), torch.zeros_like(x_adv)
    answers = torch.zeros_like(radius)
    numbers = random[rows]
    radius = column(radius, x_adv).unsqueeze(1)
    for first in range(0, probes, _at_once(x_adv)):
        some = min(_at_once(x_adv), probes - first)
        noise = _noise(norm, numbers, some, x_adv)
        probe = (x_adv.unsqueeze(1) + radius * noise).clamp_(0, 1)
        wrong = asked.wrong(probe.flatten(0, 1), rows.repeat_interleave(some)).view(-1, some)
        answer = wrong.to(x_adv.dtype).mul_(2).sub_(1)
        noise = (probe - x_adv.unsqueeze(1)) / radius  # what the box has left of it
        agreed += (noise * answer.view(*answer.shape, *[1] * (x_adv.ndim - 1))).sum(1)
        moved += noise.sum(1)
        answers += answer.sum(1)
    random.position = numbers.position
    mean = torch.where(answers.abs() == probes, 0, answers / probes)
    return agreed - column(mean, x_adv) * moved


def _at_once(x: Tensor) -> int:
    return max(1, DRAWN // x[0].numel())


def _noise(norm: Norm, numbers: SampleRandom, some: int, x: Tensor) -> Tensor:
    """Draw directions of L2 norm 1, (b, some, *S): Gaussian in L2, uniform in a cube in Linf."""
    shape = (some, *x.shape[1:])
    if norm is NORMS["L2"]:
        noise = numbers.normal(*shape, dtype=x.dtype)
    else:
        noise = numbers.uniform(*shape, dtype=x.dtype).mul_(2).sub_(1)
    length: Tensor = torch.linalg.vector_norm(noise.flatten(2), dim=2)
    return noise / length.view(*length.shape, *[1] * (x.ndim - 1))


def _jump(asked: _Asked, x_adv: Tensor, path: Tensor, rows: Tensor, reserve: int) -> Tensor:
    """Go along a path, (b, *S), or a half, a quarter and so on of it: the first that is wrong.

    Who has no more than ``reserve`` queries left stays.
    """
    found, open_ = x_adv.clone(), torch.arange(len(rows), device=rows.device)
    while True:
        open_ = open_[asked.left(rows[open_]) > reserve]
        if len(open_) == 0:
            return found
        candidate = (x_adv[open_] + path[open_]).clamp_(0, 1)
        wrong = asked.wrong(candidate, rows[open_])
        found[open_[wrong]] = candidate[wrong]
        open_ = open_[~wrong]
        path = path / 2
