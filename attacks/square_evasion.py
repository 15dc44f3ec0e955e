"""Square attack on a detector: random search for an image that is wrong, then for one with a lower score.

Square (Andriushchenko, Croce, Flammarion, Hein, ECCV 2020, arXiv 1912.00049) under query access that tells
the detector's score beside the logits, so that a detector needs no gradients. Different from it: a change is
kept that raises the margin of an image that is right, or lowers the score of one that is wrong and stays so;
every question is about an image on the 8-bit grid.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..models.about import About
from .core.attack import ATTACKS, Attack
from .core.grid import on_grid
from .core.norms import NORMS
from .core.randomness import SampleRandom
from .core.stealth import Stealthiest, known_detector
from .core.threat import ThreatModel
from .core.victim import Victim
from .square import SEARCHES, Square

__all__ = ["SquareEvasion"]


@ATTACKS.register("square-evasion")
@dataclass(frozen=True)
class SquareEvasion(Attack):
    """Start as `Square` does, then keep every square that brings an image closer to wrong and accepted.

    Args:
        queries: Forward passes per image at most, > 0.
        p_init: Share of the image that the first squares cover, in (0, 1]; as in `Square`.
        stop: Whether an image that is wrong and accepted is asked no more; see `Evasion`.
    """

    about = About(title="Square evasion", citation="Andriushchenko et al. 2020", paper="arXiv 1912.00049")

    access = "query"
    reads_score: ClassVar[bool] = True

    queries: int = 1000
    p_init: float = 0.8
    stop: bool = False

    def __post_init__(self) -> None:
        Square(self.queries, self.p_init)

    def passes(self) -> tuple[int, int]:
        return self.queries, 0

    def __call__(
        self, victim: Victim, x: Tensor, y: Tensor, threat: ThreatModel, /, *, random: SampleRandom
    ) -> Tensor:
        known, kept = known_detector(victim, self), Stealthiest(x, y)
        square, (start, propose) = Square(self.queries, self.p_init), SEARCHES[threat.norm]
        candidate = NORMS[threat.norm].perturb(x, start(x, threat.eps, random), threat.eps)
        rows = torch.arange(len(x), device=x.device)
        for query in range(self.queries):
            candidate = on_grid(x[rows], candidate, threat)
            kept.update(candidate, victim.outputs(candidate, rows), rows)
            if self.stop:
                left = ~kept.accepted(known)[rows]
                rows, random = rows[left], random[left]
            if len(rows) == 0:
                break
            candidate = propose(x[rows], kept.x[rows], threat.eps, square.side(query, x), random)
        return kept.x
