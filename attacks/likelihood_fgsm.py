"""Targeted FGSM that raises the likelihood of a wrong class.

Wan, Zhong, Li, Chen, CVPR 2018, arXiv 1803.02988, adversarial verification: "FGSM examples made on purpose to
raise the likelihood (targeted FGSM)". The paper's target classes are not public; here they are the likeliest
wrong ones. *Reconstruction.*
"""

from dataclasses import dataclass

from torch import Tensor

from ..models.about import About
from ..models.classifier import Outputs
from .core.attack import ATTACKS, Attack, likeliest_targets
from .core.losses import Objective, class_log_likelihood
from .core.norms import NORMS
from .core.randomness import SampleRandom
from .core.threat import ThreatModel
from .core.victim import Victim
from .pgd import Best

__all__ = ["LikelihoodFGSM"]


@ATTACKS.register("likelihood-fgsm")
@dataclass(frozen=True)
class LikelihoodFGSM(Attack):
    """One step of length eps up log p(f | t), for each target.

    Kept is the misclassified, then the likeliest result.

    Against a model without a mixture the step climbs the target's log posterior, which is what such a model's
    own score (MSP) reads.

    Args:
        targets: How many of the likeliest wrong classes are tried, > 0.
    """

    about = About(title="likelihood FGSM", citation="Wan et al. 2018", paper="arXiv 1803.02988")

    targets: int = 1

    def __post_init__(self) -> None:
        if self.targets < 1:
            raise ValueError(f"expected targets to be at least 1, got {self.targets}")

    def passes(self) -> tuple[int, int]:
        return 1 + 2 * self.targets, self.targets

    def __call__(
        self, victim: Victim, x: Tensor, y: Tensor, threat: ThreatModel, /, *, random: SampleRandom
    ) -> Tensor:
        norm = NORMS[threat.norm]
        best = Best(x, y)
        for target in likeliest_targets(class_log_likelihood(victim.outputs(x)), y, self.targets):
            climb = _likelihood_of(target)
            _, gradient, _ = victim.gradient(x, climb)
            x_adv = norm.perturb(x, threat.eps * norm.steepest(gradient), threat.eps)
            outputs = victim.outputs(x_adv)
            best.update(x_adv, climb(outputs), outputs)
        return best.x


def _likelihood_of(target: Tensor) -> Objective:
    def climb(outputs: Outputs) -> Tensor:
        return class_log_likelihood(outputs).gather(1, target.unsqueeze(1)).squeeze(1)

    return climb
