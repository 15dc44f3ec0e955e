"""Momentum iterative FGSM: projected gradient ascent along a running sum of directions.

Dong, Liao, Pang, Su, Zhu, Hu, Li, "Boosting adversarial attacks with momentum", CVPR 2018, arXiv 1710.06081,
algorithm 1: m := mu m + g / |g|_1, then a step along m. A likelihood is steep across the way to a class and
flat along it, where plain steps bounce from side to side; their sum does not. Different from the original:
several targets and the best iterate of all, not the last, as `PGD` has them.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ..models.about import About
from .core.attack import ATTACKS
from .core.norms import Norm, size_one
from .pgd import PGD

__all__ = ["MIFGSM"]


@ATTACKS.register("mi-fgsm")
@dataclass(frozen=True)
class MIFGSM(PGD):
    """Ascend a loss along the momentum of its gradients inside the ball.

    By default as in the paper: the steps together reach as far as eps, from the image itself, and nothing is
    forgotten.

    Args:
        momentum: mu, the share of the running sum that the next step keeps, in [0, 1].
        loss, steps, step, restarts, random_start, targets: As in `PGD`.
    """

    about = About(title="MI-FGSM", citation="Dong et al. 2018", paper="arXiv 1710.06081")

    reach = 1.0

    steps: int = 10
    random_start: bool = False
    momentum: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.momentum <= 1:
            raise ValueError(f"expected momentum to be in [0, 1], got {self.momentum}")

    def directions(self, norm: Norm) -> Callable[[Tensor], Tensor]:
        total: Tensor | float = 0.0

        def direction(gradient: Tensor) -> Tensor:
            nonlocal total
            total = self.momentum * total + size_one(gradient)
            return norm.steepest(total)

        return direction
