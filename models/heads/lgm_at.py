"""L-GM trained adversarially.

Does the mixture help where the images are adversarial already? Our own combination, no paper's.

The loss is that of `gmbench.models.heads.lgm`, margin and likelihood term included. The adversary ascends the
difference of the best wrong logit and the true one, not cross-entropy, whose gradient vanishes on squared
distances.
"""

from torch import Tensor
from torch.nn import functional

from ..about import ADVERSARIAL, About
from .adversarial import AdversarialHead, Adversary
from .head import HEADS
from .lgm import LGM

__all__ = ["LGMAT"]


@HEADS.register("lgm_at")
class LGMAT(AdversarialHead, LGM):
    """A Gaussian mixture as the classifier, trained on perturbed images.

    Args:
        features: D.
        classes: K.
        eps: Linf radius of the adversary, in (0, 1].
        steps: Its gradients.
        step: Their length in units of eps.
        warm_up: Share of the training over which eps grows.
        alpha: See `LGM`, as all that follow.
        alpha_start: The margin's start.
        alpha_factor: Its growth at each interval.
        alpha_every: The interval as a share of the training.
        weight: Lambda.
        centre_lr: Learning-rate factor of the means.
    """

    about = About(
        title="L-GM-AT", citation="Wan et al. 2018, Madry et al. 2018", family=ADVERSARIAL, place=140
    )

    def __init__(
        self,
        features: int,
        classes: int,
        eps: float = 0.3,
        steps: int = 1,
        step: float = 1.25,
        warm_up: float = 0.3,
        alpha: float = 1.0,
        alpha_start: float = 0.001,
        alpha_factor: float = 10.0,
        alpha_every: float = 0.075,
        weight: float = 0.03,
        centre_lr: float = 0.3,
    ) -> None:
        super().__init__(features, classes, alpha, alpha_start, alpha_factor, alpha_every, weight, centre_lr)
        self.adversary = Adversary(eps, steps, step, warm_up)

    def objective(self, features: Tensor, y: Tensor) -> Tensor:
        """Compute how much likelier the best wrong class is than the true one, (B, D), (B,) -> (B,)."""
        logits: Tensor = self(features)
        true = functional.one_hot(y, logits.shape[1]).bool()
        return logits.masked_fill(true, -float("inf")).amax(1) - logits[true]
