"""Do the gradients lead uphill? Autograd against central finite differences on random directions.

Athalye et al., arXiv 1802.00420, section 3.1 (shattered and vanishing gradients).
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from ....attacks.core.losses import objective
from ....attacks.core.norms import column
from ....attacks.core.victim import Victim
from .finding import Finding, State
from .subject import Subject, is_random

__all__ = ["finite_differences", "finite_gradients"]

IMAGES, DIRECTIONS = 32, 8

STEPS = (1e-2, 3e-3, 1e-3)
"""Of a pixel; the best counts: a long one crosses kinks, a short one is lost to rounding."""

MOST = 0.4
"""The largest median error. Honest nets have .00 to .15; vectors that have nothing in common have .7."""

FLAT = 0.5
"""The share of images whose logits may not move at all."""


def finite_gradients(subject: Subject) -> Iterator[Finding]:
    """See that no loss has a gradient that is NaN or infinite."""
    images = subject.test.head(IMAGES)
    broken = {
        loss: int((~_gradient(subject, images.x, images.true, loss).flatten(1).isfinite()).any(1).sum())
        for loss in ("ce", "margin", "dlr")
    }
    told = ", ".join(f"{loss}: {count}" for loss, count in broken.items() if count)
    yield Finding.told(not told, f"gradients with NaN or infinity: {told}" if told else "all are finite")


def finite_differences(subject: Subject) -> Iterator[Finding]:
    """Compare each image's directional derivatives, as autograd and as two passes tell them.

    The error of an image is |a - b| / (|a| + |b|) over its directions: 0 where both agree, 1 where one is 0
    or they point to opposite sides.
    """
    if is_random(subject):
        yield Finding(State.NOT_APPLICABLE, "randomised")
        return
    x = subject.test.x[:IMAGES] * 0.96 + 0.02  # so that no step leaves the box
    given = subject.outputs(x).predicted
    told = _gradient(subject, x, given, "margin")
    errors = torch.stack([_errors(subject, x, given, told, step) for step in STEPS])
    flat = errors.isnan().all(0)
    error = errors.nan_to_num(1.0).amin(0)[~flat]
    if float(flat.float().mean()) > FLAT:
        yield Finding(
            State.FAILED, f"the margin of {int(flat.sum())} of {len(x)} images does not move at all"
        )
        return
    median = float(error.median())
    told_it = f"gradients miss finite differences by {median:.2f} (median; 0 agrees, 1 is as wrong as can be)"
    yield Finding.told(median <= MOST, told_it)


def _gradient(subject: Subject, x: Tensor, of: Tensor, loss: str) -> Tensor:
    with Victim(subject.classifier, len(x)) as victim:
        return victim.gradient(x, objective(loss, of))[1]


def _errors(subject: Subject, x: Tensor, of: Tensor, gradient: Tensor, step: float) -> Tensor:
    """Compute each image's error, NaN where neither moves, (B,)."""
    climb = objective("margin", of)
    found, told = [], []
    for number in range(DIRECTIONS):
        direction = (subject.noise(x, f"direction {number}") - 0.5).sign()
        up, down = (climb(subject.outputs(x + side * step * direction)).double() for side in (1, -1))
        found.append((up - down) / (2 * step))
        told.append((gradient.double() * direction).flatten(1).sum(1))
    measured, claimed = torch.stack(found, 1), torch.stack(told, 1)
    size = measured.norm(dim=1) + claimed.norm(dim=1)
    error = (measured - claimed).norm(dim=1) / column(size, size)
    return torch.where(error.isfinite() | (size == 0), error, torch.ones_like(error))
