"""HopSkipJump: the smallest perturbation that fools, from the victim's decisions alone.

Chen, Jordan, Wainwright, "HopSkipJumpAttack: a query-efficient decision-based attack", IEEE S&P 2020, arXiv
1904.02144, algorithm 2: at a point of the boundary the share of wrong answers around it tells the gradient's
direction; a step along it, halved until it is wrong, and a bisection back to the boundary. Targeted (section
III), a walk begins at a clean image of the target class, and an answer counts where it is that class.
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
from .core.examples import nearest_of_others
from .core.norms import NORMS, Norm, column
from .core.randomness import SampleRandom
from .core.threat import ThreatModel
from .core.victim import Victim

__all__ = ["HopSkipJump"]

TRIES = 1000
"""Images of noise that are tried at most."""

STARTS, COARSE = 12, 5
"""Images of noise that are tried at least, and by how many halvings the way back from one is bisected."""

EXAMPLES = 5
"""Clean images of a target class that are tried at most: the victim must take the first for that class."""

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
        targets: 0 attacks untargeted, from noise; n > 0 walks once towards each of the n wrong classes whose
            examples lie nearest, each with as large a part of the queries.
    """

    about = About(title="HopSkipJump", citation="Chen et al. 2020", paper="arXiv 1904.02144")

    access = "decision"
    minimises = True

    queries: int = 5000
    probes: int = 100
    targets: int = 0

    @property
    def needs_examples(self) -> bool:
        return self.targets > 0

    def __post_init__(self) -> None:
        if self.targets < 0:
            raise ValueError(f"expected targets to be at least 0, got {self.targets}")
        for name in ("queries", "probes"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} to be at least 1, got {getattr(self, name)}")

    def passes(self) -> tuple[int, int]:
        return self.queries, 0

    def __call__(
        self, victim: Victim, x: Tensor, y: Tensor, threat: ThreatModel, /, *, random: SampleRandom
    ) -> Tensor:
        if self.targets:
            best = self._towards(victim, x, y, threat.norm, random)
        else:
            asked, norm = _Asked(victim, y, self.queries), NORMS[threat.norm]
            best = self._walk(asked, norm, x, *_start(asked, norm, x, random), random)
        return torch.where(column(NORMS[threat.norm].size(best - x) <= threat.eps, x), best, x)

    def _towards(self, victim: Victim, x: Tensor, y: Tensor, norm_name: str, random: SampleRandom) -> Tensor:
        """Walk towards one class after the other, and keep the nearest image found, (B, *S).

        Raises:
            ValueError: There are no examples of other classes.
        """
        examples, norm = victim.examples, NORMS[norm_name]
        if examples is None or len(examples.y.unique()) < 2:
            raise ValueError("expected examples of two classes for HopSkipJump with targets, got none or one")
        asked = _Asked(victim, y, 1)
        rows = (~asked.succeeds(x, torch.arange(len(x), device=x.device))).nonzero().squeeze(1)
        aims = list(nearest_of_others(examples, x, y, norm_name, self.targets, EXAMPLES))
        best, size = x.clone(), torch.full((len(x),), torch.inf, dtype=x.dtype, device=x.device)
        share = (self.queries - 1) // len(aims)
        first = random.position
        for walk, (target, places) in enumerate(aims):
            # every walk has numbers of its own, two a pixel and query at most, however long others took
            random.position = first + walk * share * 2 * x[0].numel()
            asked = _Asked(victim, y, share, target)
            start, begun = _example(asked, examples.x, places, x, rows)
            found = self._walk(asked, norm, x, start, begun, random)
            length = norm.size(found - x)
            nearer = (length > 0) & (length < size)
            best[nearer], size[nearer] = found[nearer], length[nearer]
        return best

    def _walk(
        self, asked: "_Asked", norm: Norm, x: Tensor, x_adv: Tensor, rows: Tensor, random: SampleRandom
    ) -> Tensor:
        """Walk along the boundary from where some images of the batch begin, and give the nearest, (B, *S).

        Args:
            asked: Whom to ask.
            norm: In which near is near.
            x: Clean images, (B, *S).
            x_adv: Where each begins; the clean image where it does not, (B, *S).
            rows: Which do, (b,).
            random: Of the whole batch.
        """
        pixels = x[0].numel()
        # of the way to the image, down to the authors' threshold: 1 / d^2 or 1 / d^1.5 of it
        halvings = math.ceil((2 if norm is NORMS["Linf"] else 1.5) * math.log2(pixels))
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
        return best


class _Asked:
    """What the victim was asked about each image, never more than its budget.

    Args:
        victim: Whom to ask.
        y: True classes, (B,).
        budget: Decisions an image.
        target: Classes that are aimed at, (B,); None where any wrong one will do.
    """

    def __init__(self, victim: Victim, y: Tensor, budget: int, target: Tensor | None = None) -> None:
        self._victim, self._y, self._target = victim, y, target
        self._left = torch.full_like(y, budget)

    def left(self, rows: Tensor) -> Tensor:
        """Tell how many decisions are left for images, (b,) -> (b,)."""
        return self._left[rows]

    def succeeds(self, x: Tensor, rows: Tensor) -> Tensor:
        """Tell which images, (n, *S), are wrong, or the target, (n,); a row may be there several times."""
        if len(rows) == 0:
            return rows.bool()
        self._left -= torch.bincount(rows, minlength=len(self._left))
        predicted = self._victim.outputs(x, rows).predicted
        return predicted != self._y[rows] if self._target is None else predicted == self._target[rows]


def _start(asked: _Asked, norm: Norm, x: Tensor, random: SampleRandom) -> tuple[Tensor, Tensor]:
    """Find noise that is misclassified, of several the one whose way back meets the boundary nearest.

    Returns:
        The image there, or the clean one where that is wrong or nothing else is, (B, *S); rows of those
        found, (b,).
    """
    x_adv, size = x.clone(), torch.full((len(x),), torch.inf, dtype=x.dtype, device=x.device)
    rows = torch.arange(len(x), device=x.device)
    rows = rows[~asked.succeeds(x, rows)]
    numbers = random[rows]
    random.position += TRIES * x[0].numel()
    for attempt in range(TRIES):
        left = (asked.left(rows) > COARSE) & (size[rows].isinf() | (attempt < STARTS))
        rows, numbers = rows[left], numbers[left]
        if len(rows) == 0:
            break
        noise = numbers.uniform(*x.shape[1:], dtype=x.dtype) ** POWERS[attempt % len(POWERS)]
        wrong = asked.succeeds(noise, rows)
        found = rows[wrong]
        there = _to_boundary(asked, norm, x[found], noise[wrong], found, COARSE)
        nearer = norm.size(there - x[found]) < size[found]
        x_adv[found[nearer]] = there[nearer]
        size[found] = torch.minimum(size[found], norm.size(there - x[found]))
    return x_adv, size.isfinite().nonzero().squeeze(1)


def _example(
    asked: _Asked, examples: Tensor, places: Tensor, x: Tensor, rows: Tensor
) -> tuple[Tensor, Tensor]:
    """Find each image's nearest example that the victim takes for the target.

    Args:
        asked: Whom to ask, about the target.
        examples: All of them, (N, *S).
        places: Of an image's nearest, (B, n), -1 for none.
        x: Clean images, (B, *S).
        rows: Those that are to begin, (b,).

    Returns:
        The example, or the clean image where there is none, (B, *S); rows of those that have one, (c,).
    """
    x_adv, begun = x.clone(), []
    for place in places.unbind(1):
        rows = rows[(place[rows] >= 0) & (asked.left(rows) > 0)]
        hit = asked.succeeds(examples[place[rows]].to(x), rows)
        x_adv[rows[hit]] = examples[place[rows[hit]]].to(x)
        begun.append(rows[hit])
        rows = rows[~hit]
    return x_adv, torch.cat(begun).sort().values


def _to_boundary(asked: _Asked, norm: Norm, x: Tensor, x_adv: Tensor, rows: Tensor, halvings: int) -> Tensor:
    """Bisect the way from wrong images to the clean ones, (b, *S), and give the nearest that are wrong."""
    delta = x_adv - x
    size = norm.size(delta)
    low, high = torch.zeros_like(size), torch.ones_like(size)
    for _ in range(halvings):
        middle = (low + high) / 2
        candidate = norm.perturb(x, delta, column(middle * size, x))
        wrong = asked.succeeds(candidate, rows)
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
        wrong = asked.succeeds(probe.flatten(0, 1), rows.repeat_interleave(some)).view(-1, some)
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
        wrong = asked.succeeds(candidate, rows[open_])
        found[open_[wrong]] = candidate[wrong]
        open_ = open_[~wrong]
        path = path / 2
