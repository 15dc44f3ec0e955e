"""Carlini and Wagner's minimal-norm attack in L2.

Carlini, Wagner, "Towards evaluating the robustness of neural networks", IEEE S&P 2017, arXiv 1608.04644: with
x' = (tanh w + 1) / 2, minimise |x' - x|^2 + c max(0, z_y - max_{k != y} z_k + confidence) over w by Adam, and
search for the smallest c that fools.

Every sample is on its own: it has its own c, its own Adam with its own clock and its own stop, and it leaves
the batch when it is done. Different from the authors' code, which runs 9 searches of up to 10 000 steps; the
aim is as small a norm in 3 searches of 50:

* c and the pace start from the model linearised at x. With m the margin and g its gradient the boundary is m
  / |g| away, and 2 m / |g|^2 is the multiplier at which the nearest point of it is the minimum. So nothing
  depends on the scale of the logits.
* Adam moves each w at the pace that moves every pixel alike. tanh is flat where pixels are 0 or 1 (four in
  five of MNIST's): with one learning rate for every w either those pixels never leave the border or the
  others overshoot.
* The learning rate falls linearly to 0 in each search; a search starts at the best image so far, with half
  the rate of the search before.
"""

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ..models.about import About
from .core.attack import ATTACKS, Attack
from .core.losses import objective
from .core.norms import NORMS, column
from .core.randomness import SampleRandom
from .core.smallest import rounding
from .core.threat import ThreatModel
from .core.victim import Victim

__all__ = ["CW"]

INSIDE = 0.999999  # atanh is infinite at pixels of exactly 0 or 1; authors' code
# of both of Adam's means: alike, they make no step longer than the pace; authors' .999 remembers the first
# steps all through 50
BETA = 0.9
# Adam's own; the loss is in squared input units whatever the logits, so one eps serves them all
ADAM_EPS = 1e-8
GROWTH = 10.0  # of c until something fools; authors' code
# looks at the loss per search, and the share of the last look's that it must fall below; authors' code
CHECKS, PROGRESS = 10, 0.9999
# bounds of the linear model's change per pixel: a tie must move, and half the box is the middle of it
REACH = (1e-6, 0.5)
FLATTEST = 1e-12  # a smaller norm of a gradient counts as this, so that c stays finite


@ATTACKS.register("cw")
@dataclass(frozen=True)
class CW(Attack):
    """Find the smallest perturbation that fools.

    Where that is larger than a finite eps, the clean image comes back.

    Args:
        confidence: Lead of the wrong class that counts as fooling, in logits, >= 0.
        binary_steps: Values of c that are tried, > 0.
        steps: Most gradients for each c, > 0.
        lr: Adam's first step in units of the linear model's change per pixel (root mean square), > 0.
        initial_c: First c in units of the linear model's multiplier, > 0. On a linear model every c from 1
            upwards has the same minimum; ours is 2, because boundaries bend and pixels at the border of the
            box move one way only.
        abort_early: Whether a sample goes on to the next c where its loss stalls.
    """

    about = About(title="C&W", citation="Carlini, Wagner 2017", paper="arXiv 1608.04644")

    norms = ("L2",)
    minimises = True

    confidence: float = 0.0
    binary_steps: int = 3
    steps: int = 50
    lr: float = 0.2
    initial_c: float = 2.0
    abort_early: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.confidence < math.inf:
            raise ValueError(f"expected confidence to be >= 0 and finite, got {self.confidence}")
        for name in ("binary_steps", "steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} to be at least 1, got {getattr(self, name)}")
        for name in ("lr", "initial_c"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"expected {name} to be > 0 and finite, got {getattr(self, name)}")

    def passes(self) -> tuple[int, int]:
        gradients = 1 + self.binary_steps * self.steps
        return gradients, gradients

    def __call__(
        self, victim: Victim, x: Tensor, y: Tensor, threat: ThreatModel, /, *, random: SampleRandom
    ) -> Tensor:
        found = x.clone()
        state = self._start(victim, x, y)
        while len(state.rows):
            x_adv = _image(state.w)
            margin, gradient, outputs = victim.gradient(x_adv, objective("margin", state.y), state.rows)
            lead = margin - rounding(outputs.logits)
            delta = x_adv - state.x
            better = state.keep_better(NORMS["L2"].size(delta), lead > self.confidence)
            found[state.rows[better]] = x_adv[better]
            short = (self.confidence - lead).clamp_min_(0)
            state.watch(delta.flatten(1).square().sum(1) + state.c * short)
            # The loss's gradient by the image, then by w: d x_adv / d w = (1 - tanh(w)^2) / 2 = 2 x_adv (1 -
            # x_adv).
            slope = delta.mul_(2).sub_(gradient.mul_(column(state.c * (short > 0), x)))
            state.adam_step(slope.mul_(x_adv).mul_(1 - x_adv).mul_(2), rate=1 - state.taken / self.steps)
            ended = state.taken >= self.steps
            if self.abort_early:
                ended |= state.stalled(max(1, self.steps // CHECKS))
            if ended.any():
                state.next_search(ended, self.lr)
                state = state[state.ended < self.binary_steps]
        return torch.where(column(NORMS["L2"].size(found - x) <= threat.eps, x), found, x)

    def _start(self, victim: Victim, x: Tensor, y: Tensor) -> "_Searches":
        """Linearise the model at each image, and set out with those that do not fool it as they are."""
        margin, gradient, _ = victim.gradient(x, objective("margin", y))
        rows = (margin <= self.confidence).nonzero().squeeze(1)
        x, y, gap = x[rows], y[rows], self.confidence - margin[rows]
        gradient = gradient[rows]
        # |g| as g times its direction: the squares of tiny entries would underflow.
        steepness = (gradient * NORMS["L2"].steepest(gradient)).flatten(1).sum(1).clamp_min(FLATTEST)
        side = x.shape[1:].numel() ** 0.5
        reach = (gap / steepness / side).clamp(*REACH)
        return _Searches.begin(rows, x, y, reach, self.initial_c * 2 * reach * side / steepness, self.lr)


@dataclass
class _Searches:
    """The samples that still search, b of them.

    One row of every field is one sample, and no row depends on another.

    Args:
        rows: Place in the batch, (b,).
        x: Clean images, (b, *S).
        y: True classes, (b,).
        reach: Root mean square of the linear model's perturbation, (b,).
        best: w of the smallest perturbation yet that fools, of the clean image until there is one, (b, *S).
        norm: The norm of that perturbation, (b,).
        c: Trade-off of this search, (b,).
        low: The largest c that was too small, (b,).
        high: The smallest c that was enough, (b,).
        ended: Searches that have ended, (b,).
        improved: Whether this search has found a better best, (b,).
        w: Iterate, (b, *S).
        pace: Length of Adam's first step, (b, *S).
        mean: Adam's mean of the gradient, (b, *S).
        square: Adam's mean of its square, (b, *S).
        taken: Steps of this search, (b,).
        lowest: Lowest loss since the last look at it, (b,).
        before: Lowest loss before that look, (b,).
    """

    rows: Tensor
    x: Tensor
    y: Tensor
    reach: Tensor
    best: Tensor
    norm: Tensor
    c: Tensor
    low: Tensor
    high: Tensor
    ended: Tensor
    improved: Tensor
    w: Tensor
    pace: Tensor
    mean: Tensor
    square: Tensor
    taken: Tensor
    lowest: Tensor
    before: Tensor

    @classmethod
    def begin(cls, rows: Tensor, x: Tensor, y: Tensor, reach: Tensor, c: Tensor, lr: float) -> "_Searches":
        """Set out from the clean images."""
        w = _variable(x)
        zero, infinite, count = torch.zeros_like(c), torch.full_like(c, torch.inf), torch.zeros_like(rows)
        return cls(
            rows=rows,
            x=x,
            y=y,
            reach=reach,
            best=w,
            norm=infinite,
            c=c,
            low=zero,
            high=infinite.clone(),
            ended=count,
            improved=count > 0,
            w=w.clone(),
            pace=lr * _pace(w, reach),
            mean=torch.zeros_like(w),
            square=torch.zeros_like(w),
            taken=count.clone(),
            lowest=infinite.clone(),
            before=infinite.clone(),
        )

    def __getitem__(self, rows: Tensor) -> "_Searches":
        return _Searches(*(getattr(self, field.name)[rows] for field in fields(self)))

    def keep_better(self, norm: Tensor, fools: Tensor) -> Tensor:
        """Keep the iterates that fool with a smaller norm than any before, (b,), (b,).

        And tell which they are, -> (b,).
        """
        better = fools & (norm < self.norm)
        self.norm[better] = norm[better]
        self.best[better] = self.w[better]
        self.improved |= better
        return better

    def watch(self, loss: Tensor) -> None:
        """Note this step's loss, (b,).

        A search's first is left out: it is the last search's best, which takes many steps to beat.
        """
        self.lowest = torch.where(self.taken == 0, torch.inf, torch.minimum(self.lowest, loss))

    def adam_step(self, gradient: Tensor, rate: Tensor) -> None:
        """Move w down its gradient, (b, *S), at this share of its pace, (b,)."""
        self.taken += 1
        self.mean.lerp_(gradient, 1 - BETA)
        self.square.lerp_(gradient.square(), 1 - BETA)
        weight = 1 - BETA ** self.taken.to(rate.dtype)  # of all gradients so far, in both means
        spread = (self.square / column(weight, self.w)).sqrt_().add_(ADAM_EPS)
        self.w.sub_(spread.reciprocal_().mul_(self.mean).mul_(self.pace).mul_(column(rate / weight, self.w)))

    def stalled(self, every: int) -> Tensor:
        """Look at the loss after each ``every`` steps, and tell where it has not fallen since the last look.

        -> (b,).
        """
        look = self.taken % every == 0
        stalled = look & (self.lowest > PROGRESS * self.before)
        self.before = torch.where(look, self.lowest, self.before)
        self.lowest = torch.where(look, torch.inf, self.lowest)
        return stalled

    def next_search(self, over: Tensor, lr: float) -> None:
        """Choose the next c where a search is over, (b,), and go back to the best image."""
        self.high = torch.where(over & self.improved, self.c, self.high)
        self.low = torch.where(over & ~self.improved, self.c, self.low)
        c = torch.where(self.high.isinf(), self.c * GROWTH, (self.low + self.high) / 2)
        self.c = torch.where(over, c, self.c)
        self.ended += over
        best = self.best[over]
        self.w[over] = best
        self.reach = torch.where(
            over, (self.reach * torch.where(self.high.isinf(), 2, 0.5)).clamp(*REACH), self.reach
        )
        self.pace[over] = lr * _pace(best, self.reach[over])
        for field in (self.mean, self.square, self.taken, self.improved):
            field[over] = 0
        self.lowest[over] = self.before[over] = torch.inf


def _pace(w: Tensor, reach: Tensor) -> Tensor:
    """Give the change of each w that moves its pixel by ``reach`` towards the middle.

    (b, *S), (b,) -> (b, *S).
    """
    x, reach = _image(w), column(reach, w)
    return (_variable(torch.where(x < 0.5, x + reach, x - reach)) - w).abs_()


def _image(w: Tensor) -> Tensor:
    return torch.tanh(w).add_(1).div_(2)


def _variable(x: Tensor) -> Tensor:
    return torch.atanh((2 * x - 1) * INSIDE)
