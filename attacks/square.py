"""Square attack: random search with square-shaped changes; needs the logits only.

Andriushchenko, Croce, Flammarion, Hein, "Square Attack: a query-efficient black-box adversarial attack via
random search", ECCV 2020, arXiv 1912.00049, algorithms 1, 2 (Linf) and 3 (L2). Different from the authors'
code: a square may touch the last row and column, as in the paper (their ``randint(0, h - s)`` never puts it
there); in Linf a square that would change nothing is tried with the opposite signs (they draw its signs again
until it changes something); in L2 each channel's window is scaled by its own norm, as in the paper (theirs by
the image's); random numbers belong to the sample.
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

__all__ = ["SEARCHES", "Square"]

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""The authors' schedule: after so many of 10 000 queries the squares' area halves."""

TILES = 5  # bumps a side that the search in L2 starts from
SMALLEST = 3  # side of a square in L2
TINY = 1e-12  # below it a norm counts as this; the authors' code


@ATTACKS.register("square")
@dataclass(frozen=True)
class Square(Attack):
    """Keep every random change of a square that raises the margin loss.

    In Linf it starts from vertical stripes of +-eps, and a change sets a square to +-eps. In L2 it starts
    from bumps all over the image, and a change moves the length of one square of the perturbation to another.

    Args:
        queries: Forward passes per image at most, the start's included, > 0.
        p_init: Share of the image that the first squares cover, in (0, 1]; .8 as in AutoAttack (Croce, Hein,
            ICML 2020) and in the authors' command for robust MNIST models; their default, for ImageNet, is
            .05.
        stop: Whether an image that is fooled is asked no more, as in the paper. It then lies just across the
            boundary, where likelihood is
            low: right for robust accuracy, too easy for a detector. Without it, its margin grows on until the
                queries are spent.
        rescale: Whether the schedule of the squares' size, which the authors give for 10 000 queries, is
            scaled to `queries`, as in the paper. AutoAttack takes 5 000 queries and does not.
    """

    about = About(title="Square", citation="Andriushchenko et al. 2020", paper="arXiv 1912.00049")

    access = "query"

    queries: int = 1000
    p_init: float = 0.8
    stop: bool = True
    rescale: bool = True

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
        start, propose = SEARCHES[threat.norm]
        x_adv = NORMS[threat.norm].perturb(x, start(x, threat.eps, random), threat.eps)
        outputs = victim.outputs(x_adv)
        best, fooled = margin(outputs, y), outputs.predicted != y
        rows = torch.arange(len(x), device=x.device)
        for query in range(self.queries - 1):
            if self.stop and fooled[rows].any():
                left = ~fooled[rows]
                rows, random = rows[left], random[left]
            if len(rows) == 0:
                break
            candidate = propose(x[rows], x_adv[rows], threat.eps, self.side(query, x), random)
            outputs = victim.outputs(candidate, rows)
            value, fools = margin(outputs, y[rows]), outputs.predicted != y[rows]
            better = (value > best[rows]) | (fools & ~fooled[rows])
            taken = rows[better]
            x_adv[taken], best[taken], fooled[taken] = candidate[better], value[better], fools[better]
        return x_adv

    def side(self, query: int, x: Tensor) -> int:
        """Tell the side of the squares after so many queries, in pixels."""
        height, width = x.shape[2:]
        done = query * 10_000 // self.queries if self.rescale else query
        halvings = sum(done > place for place in HALVINGS)
        side = round(math.sqrt(self.p_init / 2**halvings * height * width))
        return min(max(side, 1), height, width)


def _stripes(x: Tensor, eps: float, random: SampleRandom) -> Tensor:
    """Draw vertical stripes of +-eps, one sign per column and channel, (b, C, H, W) -> (b, C, 1, W)."""
    return eps * _signs(random, x.shape[1], 1, x.shape[3]).to(x.dtype)


def _square(x: Tensor, x_adv: Tensor, eps: float, side: int, random: SampleRandom) -> Tensor:
    """Set one random square of each perturbation to +-eps, one sign per channel.

    (b, C, H, W) -> (b, C, H, W).
    """
    inside = _window(x, side, random)
    signs = _signs(random, x.shape[1], 1, 1).to(x.dtype)
    candidate, opposite = (
        torch.where(inside, NORMS["Linf"].perturb(x, eps * sign, eps), x_adv) for sign in (signs, -signs)
    )
    same = (candidate == x_adv).flatten(1).all(1)
    return torch.where(same.view(-1, 1, 1, 1), opposite, candidate)


def _bumps(x: Tensor, eps: float, random: SampleRandom) -> Tensor:
    """Cover the image with five by five bumps, one sign per bump and channel, (b, C, H, W) -> (b, C, H, W).

    Of size eps; where fewer than ten pixels are no room for five, with fewer bumps.
    """
    side = max(min(x.shape[2:]) // TILES, min(*x.shape[2:], 2))
    tiles = [min(TILES, length // side) for length in x.shape[2:]]
    signs = _signs(random, x.shape[1], *tiles).to(x.dtype)
    bump = _bump(side, x.dtype).to(x.device)
    delta = torch.zeros_like(x)
    top, left = ((length - count * side) // 2 for length, count in zip(x.shape[2:], tiles, strict=True))
    for row in range(tiles[0]):
        for place in range(tiles[1]):
            # the authors turn each bump at random; here every second one, as on a chessboard
            turned = bump if (row + place) % 2 == 0 else bump.T
            down, right = top + row * side, left + place * side
            delta[:, :, down : down + side, right : right + side] = (
                signs[:, :, row, place, None, None] * turned
            )
    return eps * NORMS["L2"].steepest(delta)


def _moved(x: Tensor, x_adv: Tensor, eps: float, side: int, random: SampleRandom) -> Tensor:
    """Move the length of one random square of each perturbation, and what is unused, to another square.

    Algorithm 3, (b, C, H, W) -> (b, C, H, W).
    """
    side = min(max(side, SMALLEST) | 1, *x.shape[2:])  # odd, so that a bump has a middle
    to, cleared = _window(x, side, random), _window(x, side, random)
    turned = random.integers(2, 1, 1, 1) == 1
    signs = _signs(random, x.shape[1], 1, 1).to(x.dtype)
    delta = x_adv - x
    unused = (eps**2 - delta.square().sum((1, 2, 3), keepdim=True)).clamp_min(0)
    length = (_square_sum(delta * (to | cleared)) + unused / x.shape[1]).sqrt()
    bump = _bump(side, x.dtype).to(x.device)
    patch = torch.where(turned, bump.T, bump).expand(len(x), 1, side, side)
    places = to.expand(len(x), 1, *x.shape[2:])
    pattern = torch.zeros_like(x[:, :1]).masked_scatter_(places, patch)
    old = delta * to
    new = signs * pattern + old / _square_sum(old).sqrt().clamp_min(TINY)
    new = new / _square_sum(new).sqrt().clamp_min(TINY) * length
    return NORMS["L2"].perturb(x, torch.where(to, new, delta * ~cleared), eps)


def _bump(side: int, dtype: torch.dtype) -> Tensor:
    """Build the paper's eta (equation 2): a hill above a hollow, of L2 norm 1, (side, side)."""
    upper = side // 2
    eta = torch.cat([_hill(upper, side, dtype), -_hill(side - upper, side, dtype)])
    return eta / eta.square().sum().sqrt().clamp_min(TINY)


def _hill(height: int, width: int, dtype: torch.dtype) -> Tensor:
    """Add up rectangles around the middle, from within 1, 1 / 4, 1 / 9, ... high, (height, width)."""
    rows, columns = torch.arange(height).view(-1, 1), torch.arange(width)
    distance = torch.maximum((rows - height // 2).abs(), (columns - width // 2).abs())
    rings = max(height, width) // 2 + 1
    return sum(
        ((distance <= ring).to(dtype) / (ring + 1) ** 2 for ring in range(rings)),
        start=torch.zeros(height, width, dtype=dtype),
    )


def _square_sum(delta: Tensor) -> Tensor:
    """Add up squares channel by channel, (b, C, H, W) -> (b, C, 1, 1)."""
    return delta.square().sum((2, 3), keepdim=True)


def _window(x: Tensor, side: int, random: SampleRandom) -> Tensor:
    """Mark a square at a random place, (b, C, H, W) -> (b, 1, H, W)."""
    rows, columns = (_span(length, side, random) for length in x.shape[2:])
    return (rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1)


def _span(length: int, side: int, random: SampleRandom) -> Tensor:
    """Mark ``side`` neighbouring places at a random position, one row per sample, (b, length)."""
    start = random.integers(length - side + 1).unsqueeze(1)
    places = torch.arange(length, device=start.device)
    return (places >= start) & (places < start + side)


def _signs(random: SampleRandom, *shape: int) -> Tensor:
    """Draw from {-1, 1}, (b, *shape)."""
    return 2 * random.integers(2, *shape) - 1


SEARCHES = {"Linf": (_stripes, _square), "L2": (_bumps, _moved)}
"""How a search starts, and how it goes on, by norm."""
