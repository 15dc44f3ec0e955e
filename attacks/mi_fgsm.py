"""Momentum iterative FGSM: projected gradient ascent along a running sum of directions.

Dong, Liao, Pang, Su, Zhu, Hu, Li, "Boosting adversarial attacks with momentum", CVPR 2018, arXiv 1710.06081, algorithm 1: m := mu m +
g / |g|_1, then a step along m. A likelihood is steep across the way to a class and flat along it, where plain steps bounce from side to
side; their sum does not. Different from the original: several targets, as `PGD` has them, and the best iterate of all, not the last.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..models.registry import check_known
from .attack import ATTACKS, Attack, targets_of
from .losses import LOSSES, objective
from .norms import NORMS, column
from .pgd import Best
from .randomness import SampleRandom
from .threat import ThreatModel
from .victim import Victim

__all__ = ["MIFGSM"]


@ATTACKS.register("mi-fgsm")
@dataclass(frozen=True)
class MIFGSM(Attack):
    """Ascend a loss along the momentum of its gradients inside the ball.

    Args:
        loss: What to ascend, a name of `LOSSES`.
        steps: Gradients per run, > 0.
        step: Length of a step in units of eps, > 0; None is 1 / steps (the paper's).
        momentum: mu, the share of the running sum that the next step keeps, in [0, 1].
        restarts: Runs from different starts (per target), > 0.
        random_start: Whether runs start at a random point of the ball; without it, at the image (the paper's).
        targets: 0 attacks untargeted; n > 0 runs once for each of the n likeliest wrong classes.
    """

    loss: str = "margin"
    steps: int = 10
    step: float | None = None
    momentum: float = 1.0
    restarts: int = 1
    random_start: bool = False
    targets: int = 0

    def __post_init__(self) -> None:
        check_known("loss", self.loss, LOSSES)
        for name in ("steps", "restarts"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} to be at least 1, got {getattr(self, name)}")
        if self.step is not None and not self.step > 0:
            raise ValueError(f"expected step to be > 0, got {self.step}")
        if not 0 <= self.momentum <= 1:
            raise ValueError(f"expected momentum to be in [0, 1], got {self.momentum}")
        if self.targets < 0:
            raise ValueError(f"expected targets to be at least 0, got {self.targets}")

    def passes(self) -> tuple[int, int]:
        runs = self.restarts * max(1, self.targets)
        return runs * (self.steps + 1) + min(1, self.targets), runs * self.steps

    def __call__(self, victim: Victim, x: Tensor, y: Tensor, threat: ThreatModel, /, *, random: SampleRandom) -> Tensor:
        norm = NORMS[threat.norm]
        length = (1 / self.steps if self.step is None else self.step) * threat.eps
        best = Best(x, y)
        for target in targets_of(victim, x, y, self.targets):
            climb = objective(self.loss, y, target)
            for _ in range(self.restarts):
                start = norm.sample(x, threat.eps, random) if self.random_start else torch.zeros_like(x)
                x_adv, sum_of_directions = norm.perturb(x, start, threat.eps), torch.zeros_like(x)
                for _ in range(self.steps):
                    value, gradient, outputs = victim.gradient(x_adv, climb)
                    best.update(x_adv, value, outputs)
                    sum_of_directions = self.momentum * sum_of_directions + _of_size_one(gradient)
                    x_adv = norm.perturb(x, x_adv - x + length * norm.steepest(sum_of_directions), threat.eps)
                outputs = victim.outputs(x_adv)
                best.update(x_adv, climb(outputs), outputs)
        return best.x


def _of_size_one(gradient: Tensor) -> Tensor:
    """Divide by the sum of absolute entries, (B, *S) -> (B, *S); by the largest one first, since the sum of tiny ones would underflow."""
    scale = column(gradient.abs().flatten(1).amax(1), gradient)
    scaled = gradient / torch.where(scale == 0, 1, scale)
    return scaled / column(scaled.abs().flatten(1).sum(1), scaled).clamp_min(1)
