"""Projected gradient descent.

Madry, Makelov, Schmidt, Tsipras, Vladu, "Towards deep learning models resistant to adversarial attacks", ICLR
2018, arXiv 1706.06083; with several targets as in Gowal et al., arXiv 1910.09338. Different from the
original: it keeps the best iterate of all, not the last.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..models.about import About
from ..models.classifier import Outputs
from .core.attack import ATTACKS, Attack, targets_of
from .core.losses import OwnLoss, check_loss, objective
from .core.norms import NORMS, Norm
from .core.randomness import SampleRandom
from .core.threat import ThreatModel
from .core.victim import Victim

__all__ = ["PGD", "Best"]


@ATTACKS.register("pgd")
@dataclass(frozen=True)
class PGD(Attack):
    """Ascend a loss by steepest steps inside the ball.

    Args:
        loss: What to ascend, a name of `LOSSES` or, untargeted, an `OwnLoss`.
        steps: Gradients per run, > 0.
        step: Length of a step in units of eps, > 0; None is `reach` / steps.
        restarts: Runs from different starts (per target), > 0.
        random_start: Whether runs start at a random point of the ball; without it, at the image.
        targets: 0 attacks untargeted; n > 0 runs once for each of the n likeliest wrong classes.

    Attributes:
        reach: How far all steps of a run together go where no step is given, in units of eps; Madry et al.
    """

    about = About(title="PGD", citation="Madry et al. 2018", paper="arXiv 1706.06083")

    reach: ClassVar[float] = 2.5

    loss: str | OwnLoss = "margin"
    steps: int = 40
    step: float | None = None
    restarts: int = 1
    random_start: bool = True
    targets: int = 0

    def __post_init__(self) -> None:
        check_loss(self.loss, self.targets)
        for name in ("steps", "restarts"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} to be at least 1, got {getattr(self, name)}")
        if self.step is not None and not self.step > 0:
            raise ValueError(f"expected step to be > 0, got {self.step}")
        if self.targets < 0:
            raise ValueError(f"expected targets to be at least 0, got {self.targets}")

    def passes(self) -> tuple[int, int]:
        runs = self.restarts * max(1, self.targets)
        return runs * (self.steps + 1) + min(1, self.targets), runs * self.steps

    def __call__(
        self, victim: Victim, x: Tensor, y: Tensor, threat: ThreatModel, /, *, random: SampleRandom
    ) -> Tensor:
        norm = NORMS[threat.norm]
        length = (self.reach / self.steps if self.step is None else self.step) * threat.eps
        best = Best(x, y)
        for target in targets_of(victim, x, y, self.targets):
            climb = objective(self.loss, y, target)
            for _ in range(self.restarts):
                start = norm.sample(x, threat.eps, random) if self.random_start else torch.zeros_like(x)
                x_adv, direction = norm.perturb(x, start, threat.eps), self.directions(norm)
                for _ in range(self.steps):
                    value, gradient, outputs = victim.gradient(x_adv, climb)
                    best.update(x_adv, value, outputs)
                    x_adv = norm.perturb(x, x_adv - x + length * direction(gradient), threat.eps)
                outputs = victim.outputs(x_adv)
                best.update(x_adv, climb(outputs), outputs)
        return best.x

    def directions(self, norm: Norm) -> Callable[[Tensor], Tensor]:
        """Begin a run: give what turns each of its gradients into the direction of a step, both (B, *S)."""
        return norm.steepest


class Best:
    """Keeps each sample's best iterate.

    A misclassified one before any other, then the one with the highest objective.

    Args:
        x: The clean images, kept until there is an iterate, (B, *S).
        y: True classes, (B,).

    Attributes:
        x: The best yet, (B, *S).
        fooled: Whether it is misclassified, (B,).
    """

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x = x.clone()
        self.fooled = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        self._y = y
        self._value = torch.full((len(x),), -torch.inf, dtype=x.dtype, device=x.device)

    def update(self, x_adv: Tensor, value: Tensor, outputs: Outputs, rows: Tensor | None = None) -> None:
        """Take the iterates that are better than what is kept, (b, *S), (b,).

        Args:
            x_adv: Iterates.
            value: Their objective.
            outputs: What the victim says of them.
            rows: Which of the B images these belong to, (b,); None for all, in order.
        """
        rows = torch.arange(len(self._y), device=self._y.device) if rows is None else rows
        fooled, before = outputs.predicted != self._y[rows], self.fooled[rows]
        better = (fooled & ~before) | ((fooled == before) & (value > self._value[rows]))
        taken = rows[better]
        self.x[taken], self._value[taken] = x_adv[better], value[better]
        self.fooled[rows] = before | fooled
