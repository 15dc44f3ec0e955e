"""Uniform noise from the ball: what no attack may be weaker than."""

from dataclasses import dataclass

from torch import Tensor

from ..models.about import About
from .core.attack import ATTACKS, Attack
from .core.norms import NORMS
from .core.randomness import SampleRandom
from .core.threat import ThreatModel
from .core.victim import Victim

__all__ = ["UniformNoise"]


@ATTACKS.register("uniform-noise")
@dataclass(frozen=True)
class UniformNoise(Attack):
    """One random point of the ball.

    Asks nothing of the victim. A baseline of the sanity checks, not an attack.
    """

    about = About(title="uniform noise")

    access = "decision"

    def passes(self) -> tuple[int, int]:
        return 0, 0

    def __call__(
        self, victim: Victim, x: Tensor, y: Tensor, threat: ThreatModel, /, *, random: SampleRandom
    ) -> Tensor:
        norm = NORMS[threat.norm]
        return norm.perturb(x, norm.sample(x, threat.eps, random), threat.eps)
