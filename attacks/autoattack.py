"""AutoAttack: several attacks in turn, each on the images that are left after the one before.

Croce, Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
attacks", ICML 2020, arXiv 2003.01690, in the standard version that the authors maintain: APGD on
cross-entropy (100 steps), APGD on the targeted DLR loss and FAB-T (100 steps towards each of 9 classes, all
where there are fewer), Square (5 000 queries). The name is for exactly this set: it has no options. A shorter
one has a name of its own. Different from the authors' code: an image that is fooled leaves its attack at
once, not when the attack is over; and see `apgd`, `fab` and `square`.
"""

from abc import abstractmethod
from dataclasses import dataclass

from torch import Tensor

from ..models.about import About
from ..models.registry import check_known
from .apgd import APGD
from .core.attack import ATTACKS, Attack
from .core.losses import LOSSES
from .core.randomness import SampleRandom
from .core.threat import ThreatModel
from .core.victim import Victim
from .fab import FAB
from .square import Square

__all__ = ["APGDFABSquare", "AutoAttack"]


class InTurn(Attack):
    """Runs attacks one after the other; an image that is wrong when clean, or fooled, meets no further one.

    An image that none of them fools comes back as the last one's best try.
    """

    @abstractmethod
    def stages(self) -> tuple[Attack, ...]:
        """Give the attacks in order."""

    def passes(self) -> tuple[int, int]:
        costs = [stage.passes() for stage in self.stages()]
        return 1 + sum(forwards + 1 for forwards, _ in costs), sum(backwards for _, backwards in costs)

    def __call__(
        self, victim: Victim, x: Tensor, y: Tensor, threat: ThreatModel, /, *, random: SampleRandom
    ) -> Tensor:
        found, outputs = x.clone(), victim.outputs(x)
        self.check_classes(outputs.logits.shape[1])
        rows = (outputs.predicted == y).nonzero().squeeze(1)
        random = random[rows]
        for stage in self.stages():
            if len(rows) == 0:
                break
            part = Victim(
                victim.classifier, len(rows), victim.access, victim.known, precision=victim.precision
            )
            x_adv = stage(part, x[rows], y[rows], threat, random=random)
            left = part.outputs(x_adv).predicted == y[rows]
            for counter in ("forwards", "backwards", "zeros"):
                getattr(victim, counter)[rows.cpu()] += getattr(part, counter)
            found[rows] = x_adv
            rows, random = rows[left], random[left]
        return found

    def check_classes(self, classes: int) -> None:
        """Raise where one of the attacks cannot do with so few classes."""


@ATTACKS.register("autoattack")
@dataclass(frozen=True)
class AutoAttack(InTurn):
    """The authors' standard set, parameters and order."""

    about = About(title="AutoAttack", citation="Croce, Hein 2020", paper="arXiv 2003.01690")

    def stages(self) -> tuple[Attack, ...]:
        return (
            APGD(loss="ce", steps=100, stop=True),
            APGD(loss="dlr", steps=100, targets=9, stop=True),
            FAB(steps=100, targets=9, stop=True),
            Square(queries=5000, p_init=0.8, rescale=False),
        )

    def check_classes(self, classes: int) -> None:
        if classes < 3:
            raise ValueError(
                f"expected at least 3 classes for autoattack, whose DLR loss needs them, got {classes}; with "
                "two, attack with apgd-fab-square, which climbs the margin"
            )


@ATTACKS.register("apgd-fab-square")
@dataclass(frozen=True)
class APGDFABSquare(InTurn):
    """The attacks of AutoAttack at a budget of one's own; what it leaves is no figure of AutoAttack.

    Args:
        loss: What the targeted APGD ascends, a name of `LOSSES`; AutoAttack takes "dlr".
        steps: Gradients per run of APGD and FAB, > 0.
        targets: How many of the likeliest wrong classes the targeted ones aim at, > 0.
        queries: Of Square, > 0; its schedule is scaled to them.
    """

    about = About(title="APGD, FAB, Square in turn", citation="after Croce, Hein 2020")

    loss: str = "margin"
    steps: int = 30
    targets: int = 3
    queries: int = 500

    def __post_init__(self) -> None:
        check_known("loss", self.loss, LOSSES)
        for name in ("steps", "targets", "queries"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected {name} to be at least 1, got {getattr(self, name)}")

    def stages(self) -> tuple[Attack, ...]:
        return (
            APGD(loss="ce", steps=self.steps, stop=True),
            APGD(loss=self.loss, steps=self.steps, targets=self.targets, stop=True),
            FAB(steps=self.steps, targets=self.targets, stop=True),
            Square(queries=self.queries),
        )
