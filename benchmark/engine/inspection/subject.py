"""Who is inspected, and on which images."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ....attacks.core.attack import Attack
from ....attacks.core.randomness import SampleRandom
from ....attacks.core.threat import ThreatModel
from ....attacks.core.victim import Victim
from ....models.classifier import Classifier, Outputs
from ..judge import check_proposal
from ..passes import outputs_of

__all__ = ["TOLERANCE", "Images", "Subject", "attack", "distance", "is_random", "spread"]

TOLERANCE = 1e-2
"""Of the logits' spread: far above what kernels round differently, far below what moves a decision."""


@dataclass(frozen=True, eq=False)
class Images:
    """Images of one split, on the device.

    Args:
        x: (N, *S).
        true: Their classes, (N,). Not called y: nothing in the frames below which a model is asked holds a
            label by that name, but where a check puts one.
        ids: (N,).
    """

    x: Tensor = field(repr=False)
    true: Tensor = field(repr=False)
    ids: Tensor = field(repr=False)

    def __len__(self) -> int:
        return len(self.x)

    def head(self, count: int) -> "Images":
        """Give the first so many."""
        return Images(self.x[:count], self.true[:count], self.ids[:count])

    def __getitem__(self, rows: Tensor) -> "Images":
        return Images(self.x[rows], self.true[rows], self.ids[rows])


@dataclass(frozen=True, eq=False)
class Subject:
    """A model under inspection.

    Args:
        classifier: On the device of the images, in evaluation mode.
        test: Test images.
        validation: Clean validation images.
        threats: Of finite size, with gradients, under which the suite attacks it; see `middle_threats`.
        batch: Images per pass.
    """

    classifier: Classifier = field(repr=False)
    test: Images
    validation: Images
    threats: tuple[ThreatModel, ...]
    batch: int = 250

    def outputs(self, x: Tensor) -> Outputs:
        """Compute outputs without a graph, (N, *S)."""
        return Outputs.cat([outputs_of(self.classifier, part, x.device) for part in x.split(self.batch)])

    def noise(self, like: Tensor, use: str) -> Tensor:
        """Draw from [0, 1), the same numbers for the same use, (N, *S)."""
        ids = torch.arange(len(like), device=like.device)
        return SampleRandom.of(f"inspection {use}", ids).uniform(*like.shape[1:], dtype=like.dtype)


def attack(classifier: Classifier, images: Images, by: Attack, threat: ThreatModel, use: str) -> Tensor:
    """Attack images in one batch, (N, *S) -> (N, *S).

    Raises:
        Cheat: The attack broke the threat model.
    """
    random = SampleRandom.of(f"inspection {use}", images.ids)
    with Victim(classifier, len(images), threat.access) as victim:
        x_adv = by(victim, images.x.clone(), images.true.clone(), threat, random=random)
    check_proposal(images.x, x_adv, threat)
    return x_adv


def spread(values: Tensor) -> float:
    """Measure how far values of any size lie apart; what a tolerance is a part of."""
    finite = values[values.isfinite()].double()
    return float((finite - finite.mean()).abs().mean()) if finite.numel() else 0.0


def is_random(subject: Subject) -> bool:
    """Tell whether passes of the same images differ."""
    x = subject.test.x[:8]
    first = subject.outputs(x)
    return any(distance(first, subject.outputs(x)) > TOLERANCE for _ in range(4))


def distance(one: Outputs, other: Outputs) -> float:
    """Measure by how much of their spread logits differ at most; all of it where one is no number."""
    left, right = one.logits, other.logits
    if left.shape != right.shape:
        return 1.0
    finite = left.isfinite() & right.isfinite()
    if not torch.equal(left.isfinite(), right.isfinite()):
        return 1.0
    off = float((left - right)[finite].abs().max()) if finite.any() else 0.0
    return off / max(spread(left), 1e-30)
