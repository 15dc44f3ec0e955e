"""Does the model carry the test images? For whoever knows neither, test and validation images are alike.

So both lose alike where images are shifted by a pixel, turned by five degrees or changed by a grey level, and
their margins and what their logits lose come from one distribution. Compare the duplicates of CIFAR's test
images in its training images (Barz, Denzler, "Do we train on test data?", arXiv 1902.00423), and membership
inference (Shokri et al., arXiv 1610.05820), here asked of the test split. Training images are no yardstick: a
net has seen them, too.
"""

import math
from collections.abc import Callable, Iterator

import torch
from scipy.stats import fisher_exact, mannwhitneyu
from torch import Tensor
from torch.nn import functional

from ....attacks.core.losses import margin
from ....models.classifier import Outputs
from .finding import Finding, State
from .subject import Images, Subject, is_random

__all__ = ["alike", "twins_agree"]

FEWEST = 30
"""Images of each split, from which on they are compared."""

APART, ERRORS = 0.15, 4
"""How far an AUROC may lie from .5: this far, or so many standard errors."""


def twins_agree(subject: Subject) -> Iterator[Finding]:
    """Compare how many right answers test and validation images lose on their twins."""
    if (why := _why_not(subject)) is not None:
        yield why
        return
    worst, told, kinds = 1.0, "", 0
    for kind, twin in TWINS.items():
        test, held = (_lost(subject, images, twin) for images in (subject.test, subject.validation))
        if test[1] and held[1]:
            kinds += 1
            table = [[lost, right - lost] for lost, right in (test, held)]
            p = float(fisher_exact(table, alternative="greater").pvalue)
            if not told or p < worst:
                shares = " and ".join(f"{lost / right:.1%}" for lost, right in (test, held))
                worst, told = p, f"{kind}: {shares} of right test and validation images become wrong"
    yield Finding(State.PASSED, told, p=min(1.0, kinds * worst))


def alike(subject: Subject) -> Iterator[Finding]:
    """Compare margins of test and validation images, and how far their twins' logits lie from their own."""
    if (why := _why_not(subject)) is not None:
        yield why
        return
    test, held = (subject.outputs(images.x).logits for images in (subject.test, subject.validation))
    compared = {"margins": (-_margins(test, subject.test), -_margins(held, subject.validation))}
    for kind, twin in TWINS.items():
        changes = (
            (subject.outputs(twin(images.x)).logits - logits).norm(dim=1) / logits.norm(dim=1).clamp_min(1e-9)
            for images, logits in ((subject.test, test), (subject.validation, held))
        )
        compared[f"changes of logits, {kind}"] = (next(changes), next(changes))
    n, m = len(test), len(held)
    allowed = max(APART, ERRORS * math.sqrt((n + m + 1) / (12 * n * m)))
    found = {what: _auroc(*pair) for what, pair in compared.items()}
    what = max(found, key=lambda key: abs(found[key] - 0.5))
    told = f"{what} tell test from validation images with an AUROC of {found[what]:.2f}"
    yield Finding.told(abs(found[what] - 0.5) <= allowed, told)


def _why_not(subject: Subject) -> Finding | None:
    if is_random(subject):
        return Finding(State.NOT_APPLICABLE, "randomised")
    if min(len(subject.test), len(subject.validation)) < FEWEST:
        return Finding(State.NOT_APPLICABLE, f"fewer than {FEWEST} test or validation images")
    if subject.test.x.ndim != 4:
        return Finding(State.NOT_APPLICABLE, "no images of height and width")
    return None


def _lost(subject: Subject, images: Images, twin: Callable[[Tensor], Tensor]) -> tuple[int, int]:
    """Count the right answers that a twin loses, and the right answers."""
    right = subject.outputs(images.x).predicted == images.true
    still = subject.outputs(twin(images.x)).predicted == images.true
    return int((right & ~still).sum()), int(right.sum())


def _margins(logits: Tensor, images: Images) -> Tensor:
    """Margins by the true class: what a label that was looked up raises."""
    return margin(Outputs(images.x, logits, logits), images.true)


def _auroc(one: Tensor, other: Tensor) -> float:
    values = mannwhitneyu(one.double().cpu().numpy(), other.double().cpu().numpy())
    return float(values.statistic / (len(one) * len(other)))


def _grey_level(x: Tensor) -> Tensor:
    """Change every other pixel by a grey level, towards the middle of the box."""
    step = torch.where(x > 0.5, -1 / 255, 1 / 255)
    places = torch.arange(x[0].numel(), device=x.device).view(x[0].shape) % 2
    return x + step * places


def _shifted(x: Tensor) -> Tensor:
    return functional.pad(x, (1, 0, 0, 0), mode="replicate")[..., :-1]


def _turned(x: Tensor) -> Tensor:
    angle = math.radians(5)
    rows = [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0]]
    grid = functional.affine_grid(
        torch.tensor(rows, device=x.device).repeat(len(x), 1, 1), list(x.shape), align_corners=False
    )
    return functional.grid_sample(x, grid, padding_mode="border", align_corners=False).clamp(0, 1)


TWINS = {"a grey level": _grey_level, "shifted by a pixel": _shifted, "turned by 5 degrees": _turned}
