"""Does a detector score the image, and nothing else: not its grid, not who asks, not how often?

Score functions map images (N, *S) to (N,), higher for the more suspicious, fitted and without a graph.
"""

from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace

import torch
from scipy.stats import mannwhitneyu
from torch import Tensor

from .finding import Finding, State
from .subject import Subject, is_random, spread

__all__ = ["detector_caller", "detector_grid", "detector_repeatable"]

Scores = Mapping[str, Callable[[Tensor], Tensor]]

IMAGES = 128
CALLS = 8

TOLERANCE = 1e-2
"""Of the scores' spread."""

REACTION = 0.1
"""How far the AUROC of changed against clean images may lie from .5, and how many more are rejected."""

FPR = 0.05

LEVEL = 1 / 255


def detector_repeatable(subject: Subject, scores: Scores) -> Iterator[Finding]:
    """Score the same images again and again, in other company and order."""
    if is_random(subject):
        yield Finding(State.NOT_APPLICABLE, "randomised")
        return
    x = subject.test.x[:IMAGES]
    half = len(x) // 2
    for name, score in scores.items():
        first = score(x)
        again = [score(x) for _ in range(CALLS - 1)]
        again += [score(x.flip(0)).flip(0), torch.cat([score(x[:half]), score(x[half:])]) if half else first]
        off = max(_distance(first, other) for other in again)
        told = f"scores of the same images differ by {off:.2g} of their spread in {len(again) + 1} passes"
        yield Finding.told(off <= TOLERANCE, told, name)


def detector_caller(subject: Subject, scores: Scores) -> Iterator[Finding]:
    """Hold what tells an attacked image from a clean one where a detector could look for it."""
    if is_random(subject):
        yield Finding(State.NOT_APPLICABLE, "randomised")
        return
    x = subject.test.x[:IMAGES]
    held = SimpleNamespace(
        attack="pgd", label="pgd", threat=subject.threats[0] if subject.threats else "Linf", split="test"
    )
    for name, score in scores.items():
        off = max(_distance(score(x), _among(score, x, other)) for other in (held, None))
        told = f"scores differ by {off:.2g} of their spread where the caller holds another cell"
        yield Finding(State.PASSED if off <= TOLERANCE else State.BROKEN, told, name)


def detector_grid(subject: Subject, scores: Scores) -> Iterator[Finding]:
    """Change clean images by a grey level or less, on the 8-bit grid and off it."""
    if is_random(subject):
        yield Finding(State.NOT_APPLICABLE, "randomised")
        return
    x = subject.test.x[:IMAGES]
    noise = subject.noise(x, "grid") - 0.5
    changed = {
        "noise of half a level": (x + noise * LEVEL).clamp(0, 1),
        "one level up or down": (x + noise.sign() * LEVEL).clamp(0, 1),
    }
    for name, score in scores.items():
        clean = score(x)
        threshold = torch.quantile(clean.double(), 1 - FPR)
        worst, told = 0.0, ""
        for kind, images in changed.items():
            values = score(images)
            apart = abs(_auroc(values, clean) - 0.5)
            more = float((values > threshold).double().mean() - (clean > threshold).double().mean())
            if not told or max(apart, more) > worst:
                worst = max(apart, more)
                told = f"{kind}: AUROC {_auroc(values, clean):.2f} against clean images, {more:+.1%} rejected"
        yield Finding.told(worst <= REACTION, told, name)


def _among(score: Callable[[Tensor], Tensor], x: Tensor, cell: object) -> Tensor:
    attack, threat = getattr(cell, "attack", None), getattr(cell, "threat", None)
    scores = score(x)
    del attack, threat
    return scores


def _distance(one: Tensor, other: Tensor) -> float:
    if not one.isfinite().all() or not other.isfinite().all():
        return 1.0
    return float((one.double() - other.double()).abs().max()) / max(spread(one), 1e-30)


def _auroc(values: Tensor, clean: Tensor) -> float:
    found = mannwhitneyu(values.double().cpu().numpy(), clean.double().cpu().numpy())
    return float(found.statistic / (len(values) * len(clean)))
