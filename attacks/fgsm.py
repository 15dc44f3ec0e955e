"""Fast gradient sign method.

Goodfellow, Shlens, Szegedy, "Explaining and harnessing adversarial examples", ICLR 2015, arXiv 1412.6572. In
L2 the step goes along the gradient itself.
"""

from dataclasses import dataclass

from torch import Tensor

from ..models.about import About
from .core.attack import ATTACKS, Attack
from .core.losses import OwnLoss, check_loss, objective
from .core.norms import NORMS
from .core.randomness import SampleRandom
from .core.threat import ThreatModel
from .core.victim import Victim

__all__ = ["FGSM"]


@ATTACKS.register("fgsm")
@dataclass(frozen=True)
class FGSM(Attack):
    """One step of length eps.

    Args:
        loss: What to ascend, a name of `LOSSES` or an `OwnLoss`.
    """

    about = About(title="FGSM", citation="Goodfellow et al. 2015", paper="arXiv 1412.6572")

    loss: str | OwnLoss = "ce"

    def __post_init__(self) -> None:
        check_loss(self.loss)

    def passes(self) -> tuple[int, int]:
        return 1, 1

    def __call__(
        self, victim: Victim, x: Tensor, y: Tensor, threat: ThreatModel, /, *, random: SampleRandom
    ) -> Tensor:
        norm = NORMS[threat.norm]
        _, gradient, _ = victim.gradient(x, objective(self.loss, y))
        return norm.perturb(x, threat.eps * norm.steepest(gradient), threat.eps)
