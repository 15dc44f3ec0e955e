"""Softmax cross-entropy on adversarial images.

The baseline that any claim of robustness without adversarial training has to face.

Madry, Makelov, Schmidt, Tsipras, Vladu, "Towards deep learning models resistant to adversarial attacks", ICLR
2018, arXiv 1706.06083, equation 2.1. The default of one step of 1.25 eps from a random start is Wong, Rice,
Kolter, ICLR 2020, arXiv 2001.03994.
"""

from ..about import ADVERSARIAL, About
from .adversarial import AdversarialHead, Adversary
from .head import HEADS
from .softmax import Softmax

__all__ = ["PGDAT"]


@HEADS.register("pgd_at")
class PGDAT(AdversarialHead, Softmax):
    """Linear logits, cross-entropy on perturbed images.

    Args:
        features: D.
        classes: K.
        eps: Linf radius of the adversary, in (0, 1].
        steps: Its gradients; Madry et al. take 40 on MNIST, 7 on CIFAR-10.
        step: Their length in units of eps.
        warm_up: Share of the training over which eps grows.
    """

    about = About(
        title="PGD-AT", citation="Madry et al. 2018", paper="arXiv 1706.06083", family=ADVERSARIAL, place=120
    )

    def __init__(
        self,
        features: int,
        classes: int,
        eps: float = 0.3,
        steps: int = 1,
        step: float = 1.25,
        warm_up: float = 0.3,
    ) -> None:
        super().__init__(features, classes)
        self.adversary = Adversary(eps, steps, step, warm_up)
