"""What every attack is: a frozen dataclass of plain fields that proposes images and never judges itself."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from torch import Tensor

from ...models.about import About
from ...models.registry import Registry, check_known
from .losses import class_log_likelihood, without
from .randomness import SampleRandom
from .threat import ThreatModel
from .victim import Victim

__all__ = ["ATTACKS", "Attack", "check_climbable", "check_served", "likeliest_targets", "targets_of"]

ATTACKS: Registry["Attack"] = Registry("attack", group="gmbench.attacks")
"""Every attack by name; a factory takes the attack's fields, all of which have defaults."""


class Attack(ABC):
    """Proposes adversarial images.

    Subclasses are frozen dataclasses: their fields are their whole configuration.

    Attributes:
        about: Its title and paper.
        access: The weakest access that it needs.
        norms: The norms that it can attack in.
        minimises: Whether it looks for the smallest perturbation, so that eps may be infinite.
        reads_score: Whether it cannot do without the score of the detector that its threat model names.
        needs_score_gradients: Whether it needs that score's gradients, too, which not every detector has.
        batch_independent: Whether an image's result is the same in any batch; false only for another
            library's attacks.
    """

    about: ClassVar[About]
    access: ClassVar[str] = "white-box"
    norms: ClassVar[tuple[str, ...]] = ("Linf", "L2")
    minimises: ClassVar[bool] = False
    reads_score: ClassVar[bool] = False
    needs_score_gradients: ClassVar[bool] = False
    batch_independent: ClassVar[bool] = True

    @property
    def needs_examples(self) -> bool:
        """Whether it needs clean images that the attacker has of its own: `Victim.examples`."""
        return False

    @abstractmethod
    def __call__(
        self, victim: Victim, x: Tensor, y: Tensor, threat: ThreatModel, /, *, random: SampleRandom
    ) -> Tensor:
        """Propose one adversarial image for each image, (B, *S) -> (B, *S).

        Every proposal lies in the threat model's ball and in [0, 1], and depends on its own image, label and
        random stream alone, whatever else is in the batch. Where nothing is found, the best try comes back,
        or the image itself; the judge sees that it failed.

        Args:
            victim: Answers queries and counts them.
            x: Images in [0, 1], (B, *S).
            y: True classes, (B,).
            threat: What is allowed.
            random: Random numbers, one stream per image.
        """

    @abstractmethod
    def passes(self) -> tuple[int, int]:
        """Tell how many forward and backward passes an image costs at most; for plans and progress."""


def check_served(attack: Attack, name: str, threat: ThreatModel) -> None:
    """See that a threat model gives an attack all that it needs.

    Raises:
        ValueError: It does not; one line with the way out.
    """
    check_known(f"norm of attack '{name}'", threat.norm, attack.norms)
    if math.isinf(threat.eps) and not attack.minimises:
        raise ValueError(
            f"expected eps of attack '{name}' to be finite, got inf: it does not look for the smallest "
            "perturbation; give a size"
        )
    if attack.reads_score and not threat.knows_detector:
        raise ValueError(
            f"expected attack '{name}' to know a detector, whose score it reads, got none; say which: "
            'knows = "own" or a detector\'s name'
        )
    if threat.uses_surrogate and threat.knows_detector:
        raise ValueError(
            f"expected attack '{name}' with access transfer to know no detector, got '{threat.knows}': it "
            'reads the victim\'s features, a surrogate has others; say access = "white-box" or "query"'
        )
    if not threat.suffices_for(attack):
        raise ValueError(
            f"expected access of attack '{name}' to be {attack.access} or more, got {threat.access}; say "
            f'access = "{attack.access}"'
        )


def check_climbable(attack: Attack, name: str, detector: str, differentiable: bool) -> None:
    """See that an attack which climbs the score of the detector that it knows finds a slope there.

    Args:
        attack: Which.
        name: As people call it.
        detector: The name of the detector.
        differentiable: Whether its score has gradients.

    Raises:
        ValueError: It has none; one line with the way out.
    """
    if attack.needs_score_gradients and not differentiable:
        raise ValueError(
            f"expected the score of detector '{detector}' to have gradients for attack '{name}', got none; "
            "take an attack that needs none: feature-matching, square-evasion"
        )


def likeliest_targets(values: Tensor, y: Tensor, count: int) -> list[Tensor]:
    """Rank the wrong classes by ``values``, (B, K), and give the best ``count``, each (B,).

    Fewer where there are fewer classes.
    """
    count = min(count, values.shape[1] - 1)
    return list(without(values, y).topk(count, 1).indices.unbind(1))


def targets_of(victim: Victim, x: Tensor, y: Tensor, count: int) -> Iterator[Tensor | None]:
    """Give each image's ``count`` likeliest wrong classes in turn, each (B,), for one forward pass.

    Of none, None once: untargeted.
    """
    if count == 0:
        yield None
    else:
        yield from likeliest_targets(class_log_likelihood(victim.outputs(x)), y, count)
