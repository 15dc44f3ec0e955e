"""Do attacks work on it: stronger ones find no more, an unbounded one everything, and scale does not matter.

Carlini et al., arXiv 1902.06705, section 5; Athalye et al., arXiv 1802.00420, section 3.1.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from ....attacks.core.threat import ThreatModel
from ....attacks.pgd import PGD
from ....models.classifier import Classifier, Outputs
from .finding import Finding, State
from .subject import Images, Subject, attack

__all__ = ["any_scale", "stronger_attack", "unbounded_attack"]

IMAGES = 128

STRONGER = (
    PGD(loss="margin", steps=100, restarts=2),
    PGD(loss="dlr", steps=100),
    PGD(loss="margin", steps=100, targets=4),
    PGD(loss="margin", steps=400, step=0.01),
)
"""Run one after the other, each on what is left."""

UNBOUNDED = (PGD(loss="margin", steps=100, random_start=False), PGD(loss="margin", steps=100, targets=4))

FEW = 32

SCALE, SHIFT = 100.0, 100.0

TOLERANCE = 2
"""Images of `FEW` by which the attack may find fewer on logits times `SCALE` or plus `SHIFT`."""


def stronger_attack(subject: Subject) -> Iterator[Finding]:
    """Attack with more steps, restarts and targets; how that compares with the suite is judged later."""
    images = subject.test.head(IMAGES)
    right = subject.outputs(images.x).predicted == images.true
    for threat in subject.threats:
        left = right.clone()
        for by in STRONGER:
            if left.any():
                rows = left.nonzero().squeeze(1)
                left[rows] = ~_fooled(subject, images[rows], by, threat)
        fooled, met = images.ids[right & ~left].tolist(), images.ids.tolist()
        told = f"{threat.size}: {len(fooled)} of {int(right.sum())} images fall to a stronger attack"
        yield Finding(
            State.PASSED, told, norm=threat.norm, eps=threat.eps, met=tuple(met), fooled=tuple(fooled)
        )


def unbounded_attack(subject: Subject) -> Iterator[Finding]:
    """Attack without a bound: from any image every other one can be reached."""
    images = subject.test.head(FEW)
    rows = (subject.outputs(images.x).predicted == images.true).nonzero().squeeze(1)
    count = len(rows)
    for by in UNBOUNDED:
        if len(rows):
            rows = rows[~_fooled(subject, images[rows], by, ThreatModel("Linf", 1.0))]
    told = f"{len(rows)} of {count} images withstand an attack without a bound"
    yield Finding.told(not len(rows), told)


def any_scale(subject: Subject) -> Iterator[Finding]:
    """Attack the same logits plus a number and times a number: neither makes the model safer."""
    if not subject.threats:
        yield Finding(State.NOT_APPLICABLE, "the suite has no white-box attack of a bounded size")
        return
    images, by, threat = subject.test.head(FEW), PGD(loss="margin", steps=20), subject.threats[0]
    plain, shifted, scaled = (
        int(_fooled(subject, images, by, threat, _Rescaled(subject.classifier, scale, shift)).sum())
        for scale, shift in ((1.0, 0.0), (1.0, SHIFT), (SCALE, 0.0))
    )
    told = f"{plain} of {len(images)} images wrong, {shifted} with logits + {SHIFT:g}, {scaled} x {SCALE:g}"
    yield Finding.told(min(shifted, scaled) >= plain - TOLERANCE, told)


def _fooled(
    subject: Subject, images: Images, by: PGD, threat: ThreatModel, against: Classifier | None = None
) -> Tensor:
    """Attack, and tell which images are wrong afterwards, (N,)."""
    parts = []
    for rows in torch.arange(len(images), device=images.x.device).split(subject.batch):
        x_adv = attack(against or subject.classifier, images[rows], by, threat, str(by))
        parts.append(subject.outputs(x_adv).predicted != images.true[rows])
    return torch.cat(parts)


class _Rescaled(Classifier):
    """Another classifier, its logits times a number plus a number."""

    def __init__(self, classifier: Classifier, scale: float, shift: float) -> None:
        super().__init__(torch.nn.Identity(), torch.nn.Identity())
        self.classifier, self.scale, self.shift = classifier, scale, shift

    def outputs(self, x: Tensor, layers: object = ()) -> Outputs:
        found = self.classifier.outputs(x)
        return Outputs(x, found.features, found.logits * self.scale + self.shift)
