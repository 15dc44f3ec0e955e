"""Square attack: random search with square-shaped changes; needs the logits only.

Andriushchenko, Croce, Flammarion, Hein, "Square Attack: a query-efficient black-box adversarial attack via
random search", ECCV 2020, arXiv 1912.00049, algorithms 1 and 2 (Linf). Different from the authors' code: a
square may touch the last row and column, as in the paper (their ``randint(0, h - s)`` never puts it there); a
square that would change nothing is tried with the opposite signs (they draw its signs again until it changes
something); random numbers belong to the sample.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..models.about import About
from .core.attack import ATTACKS, Attack
from .core.losses import margin
from .core.norms import NORMS
from .core.randomness import SampleRandom
from .core.threat import ThreatModel
from .core.victim import AccessError, Victim

__all__ = ["Square"]

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""The authors' schedule: after so many of 10 000 queries the squares' area halves."""


@ATTACKS.register("square")
@dataclass(frozen=True)
class Square(Attack):
    """Start from vertical stripes of +-eps, then keep every square of +-eps that raises the margin loss.

    Args:
        queries: Forward passes per image at most, the stripes' included, > 0; the schedule of the squares'
            size is scaled to it.
        p_init: Share of the image that the first squares cover, in (0, 1]; .8 as in AutoAttack (Croce, Hein,
            ICML 2020) and in the authors' command for robust MNIST models; their default, for ImageNet, is
            .05.
        stop: Whether an image that is fooled is asked no more, as in the paper. It then lies just across the
            boundary, where likelihood is
            low: right for robust accuracy, too easy for a detector. Without it, its margin grows on until the
                queries are spent.
    """

    about = About(title="Square", citation="Andriushchenko et al. 2020", paper="arXiv 1912.00049")

    access = "query"
    norms = ("Linf",)

    queries: int = 1000
    p_init: float = 0.8
    stop: bool = True

    def __post_init__(self) -> None:
        if self.queries < 1:
            raise ValueError(f"expected queries to be at least 1, got {self.queries}")
        if not 0 < self.p_init <= 1:
            raise ValueError(f"expected p_init to be in (0, 1], got {self.p_init}")

    def passes(self) -> tuple[int, int]:
        return self.queries, 0

    def __call__(
        self, victim: Victim, x: Tensor, y: Tensor, threat: ThreatModel, /, *, random: SampleRandom
    ) -> Tensor:
        if victim.access == "decision":
            raise AccessError(
                "expected access to be query or white-box for square, which reads logits, got decision"
            )
        if x.ndim != 4:
            raise ValueError(
                f"expected images to be (B, C, H, W) for square, got {tuple(x.shape)}; squares need two "
                "dimensions"
            )
        stripes = _signs(random, x.shape[1], 1, x.shape[3]).to(x.dtype)
        x_adv = NORMS[threat.norm].perturb(x, threat.eps * stripes, threat.eps)
        outputs = victim.outputs(x_adv)
        best, fooled = margin(outputs, y), outputs.predicted != y
        rows = torch.arange(len(x), device=x.device)
        for query in range(self.queries - 1):
            if self.stop and fooled[rows].any():
                left = ~fooled[rows]
                rows, random = rows[left], random[left]
            if len(rows) == 0:
                break
            candidate = _square(x[rows], x_adv[rows], threat, self._side(query, x), random)
            outputs = victim.outputs(candidate, rows)
            value, fools = margin(outputs, y[rows]), outputs.predicted != y[rows]
            better = (value > best[rows]) | (fools & ~fooled[rows])
            taken = rows[better]
            x_adv[taken], best[taken], fooled[taken] = candidate[better], value[better], fools[better]
        return x_adv

    def _side(self, query: int, x: Tensor) -> int:
        """Tell the side of the squares after so many queries, in pixels."""
        height, width = x.shape[2:]
        halvings = sum(query * 10_000 // self.queries > place for place in HALVINGS)
        side = round(math.sqrt(self.p_init / 2**halvings * height * width))
        return min(max(side, 1), height, width)


def _square(x: Tensor, x_adv: Tensor, threat: ThreatModel, side: int, random: SampleRandom) -> Tensor:
    """Set one random square of each perturbation to +-eps, one sign per channel.

    (b, C, H, W) -> (b, C, H, W).
    """
    inside = _span(x.shape[2], side, random).unsqueeze(2) & _span(x.shape[3], side, random).unsqueeze(1)
    signs = _signs(random, x.shape[1], 1, 1).to(x.dtype)
    candidate, opposite = (
        torch.where(inside.unsqueeze(1), NORMS[threat.norm].perturb(x, threat.eps * sign, threat.eps), x_adv)
        for sign in (signs, -signs)
    )
    same = (candidate == x_adv).flatten(1).all(1)
    return torch.where(same.view(-1, 1, 1, 1), opposite, candidate)


def _span(length: int, side: int, random: SampleRandom) -> Tensor:
    """Mark ``side`` neighbouring places at a random position, one row per sample, (b, length)."""
    start = random.integers(length - side + 1).unsqueeze(1)
    places = torch.arange(length, device=start.device)
    return (places >= start) & (places < start + side)


def _signs(random: SampleRandom, *shape: int) -> Tensor:
    """Draw from {-1, 1}, (b, *shape)."""
    return 2 * random.integers(2, *shape) - 1
