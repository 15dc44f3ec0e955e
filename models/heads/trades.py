"""TRADES: cross-entropy on the clean image and a penalty for what a perturbation moves.

Zhang, Yu, Jiao, Xing, El Ghaoui, Jordan, "Theoretically principled trade-off between robustness and
accuracy", ICML 2019, arXiv
1901.08573, equation 5: L = CE(f(x), y) + weight * max KL(p(x) || p(x')) inside the ball. The adversary
ascends that KL with p(x) held fixed. Different from the authors' code: it starts at a random point of the
ball, not .001 beside the image, because one step from there is taken along a vanishing gradient; and networks
stay in training mode while it climbs.
"""

from collections.abc import Callable

from torch import Generator, Tensor
from torch.nn import functional

from ..about import ADVERSARIAL, About
from .adversarial import Adversary
from .head import HEADS
from .softmax import Softmax

__all__ = ["TRADES"]


@HEADS.register("trades")
class TRADES(Softmax):
    """Linear logits, trained to give neighbours of an image the image's own distribution.

    Args:
        features: D.
        classes: K.
        weight: Of the KL term (1 / lambda in the paper), >= 0; the paper has 1 and 6.
        eps: Linf radius of the adversary, in (0, 1]; the authors' MNIST code has .3.
        steps: Its gradients; the authors' MNIST code has 40, CIFAR-10 code 10.
        step: Their length in units of eps.
        warm_up: Share of the training over which eps grows.
    """

    about = About(
        title="TRADES", citation="Zhang et al. 2019", paper="arXiv 1901.08573", family=ADVERSARIAL, place=130
    )

    def __init__(
        self,
        features: int,
        classes: int,
        weight: float = 6.0,
        eps: float = 0.3,
        steps: int = 1,
        step: float = 1.25,
        warm_up: float = 0.3,
    ) -> None:
        super().__init__(features, classes)
        if weight < 0:
            raise ValueError(f"expected weight to be >= 0, got {weight}")
        self.weight = weight
        self.adversary = Adversary(eps, steps, step, warm_up)

    def training_loss(
        self,
        features: Callable[[Tensor], Tensor],
        x: Tensor,
        y: Tensor,
        progress: float,
        generator: Generator,
    ) -> Tensor:
        logits = self(features(x))
        target = logits.detach().log_softmax(1)
        x_adv = self.adversary.perturb(
            lambda images: _divergence(self(features(images)), target), x, progress, generator
        )
        penalty = _divergence(self(features(x_adv)), logits.log_softmax(1)).mean()
        return functional.cross_entropy(logits, y) + self.weight * penalty


def _divergence(logits: Tensor, target: Tensor) -> Tensor:
    """Compute KL(target || softmax(logits)) from logits and log-probabilities, (B, K), (B, K) -> (B,)."""
    return functional.kl_div(logits.log_softmax(1), target, reduction="none", log_target=True).sum(1)
