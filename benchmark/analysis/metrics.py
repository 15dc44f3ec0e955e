"""What the scores say: ROC curves, AUROC, equal error rates, thresholds and the intervals around them.

Pure functions, numpy in and numbers out. One convention: a score is **higher = more suspicious**, clean
images are the negatives, adversarial ones the positives, every result is a fraction in [0, 1]. Only the order
of the scores matters, so every magnitude and both infinities are fine; ties count half; NaN is a ValueError.
An empty population (no attack succeeded, say) has no AUROC: NaN, never 0.

EER: where FPR = FNR, interpolated linearly between the two operating points around it (scikit-learn's
``roc_curve`` with ``drop_intermediate=False``). Their intervals: percentile bootstrap, Efron and Tibshirani,
"An introduction to the bootstrap", 1993, chapter 13, over images and not over scores, because the clean and
the adversarial score of one image are not independent. A share of
images has a Wilson interval: none at all of N images are no proof of 0, and a bootstrap would say so.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...detectors.threshold import threshold_at_fpr
from ...models.measurements import wilson_interval

__all__ = [
    "FEWEST",
    "WITH_DETECTION",
    "Roc",
    "auroc",
    "detection_intervals",
    "eer",
    "proportion_interval",
    "roc",
    "threshold_at_fpr",
    "tpr",
    "worst_case",
]

Scores = NDArray[np.floating[Any]]
Counts = NDArray[np.int64]
_STATISTICS = ("auroc", "eer")

# weights handled at once: 1 MB for each of a few arrays, which stay in cache at any number of images
_CHUNK = 2**17

WITH_DETECTION = "robust_accuracy_with_detection"
"""How tables call what is right and accepted when clean, and under attack right or rejected.

Tramer, "Detecting adversarial examples is (nearly) as hard as classifying them", ICML 2022, arXiv 2107.11630.
"""

FEWEST = 10
"""From so many successes on an attack counts in the worst detection of successes.

Of one or two images the EER may be anything.
"""


@dataclass(frozen=True, eq=False)
class Roc:
    """The operating points of a detector, from "reject nothing" (0, 0) to "reject everything" (1, 1).

    Args:
        fpr, tpr: Shares of the clean and of the adversarial images rejected, (T,); NaN where there are none.
        thresholds: (T,), falling from inf, which rejects nothing; the others reject scores **>=** them, as in
            scikit-learn.
    """

    fpr: NDArray[np.float64]
    tpr: NDArray[np.float64]
    thresholds: NDArray[np.float64]

    @property
    def eer(self) -> float:
        """The equal error rate: where the curve crosses the diagonal FPR = 1 - TPR."""
        return float(_eer(self.fpr, self.tpr))


def roc(clean: Scores, adversarial: Scores) -> Roc:
    """Compute every operating point, one per distinct score, (N,), (M,) -> T = N + M + 1 points at most."""
    thresholds, false, true = _operating_points(clean, adversarial)
    with np.errstate(invalid="ignore"):
        return Roc(false / false[-1], true / true[-1], thresholds)


def auroc(clean: Scores, adversarial: Scores) -> float:
    """Compute the chance that an adversarial score exceeds a clean one, ties counting half.

    (N,), (M,) -> scalar.
    """
    return float(_auroc(*_operating_points(clean, adversarial)[1:]))


def eer(clean: Scores, adversarial: Scores) -> float:
    """Compute the equal error rate.

    (N,), (M,) -> scalar: 0 for perfect separation, .5 for constant scores, 1 for the wrong sign.
    """
    return float(_eer(*_operating_points(clean, adversarial)[1:]))


def tpr(adversarial: Scores, threshold: float) -> float:
    """Compute the share of the adversarial images that is rejected, i.e. scores > ``threshold``.

    (M,) -> scalar.
    """
    scores = _checked("adversarial", adversarial)
    return float(np.mean(scores > threshold)) if len(scores) and not np.isnan(threshold) else np.nan


def detection_intervals(
    clean: Scores, adversarial: Scores, positive: NDArray[np.bool_], *, resamples: int = 500, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Compute the 95 % intervals of AUROC and EER from the same resamples.

    (N,), (N,), (N,) -> {"auroc": (low, high), "eer": (low, high)}.

    A resample is N images with replacement, each with both its scores; one that holds no positive has no
    AUROC and is left out.

    Args:
        clean: Scores of the N clean images, each a negative.
        adversarial: Scores of their adversarial versions, in the same order.
        positive: Which adversarial versions are in the population: all, or the successful ones. The scores of
            the others are not read.
        resamples: How many.
        seed: Of the draws.
    """
    if not clean.shape == adversarial.shape == positive.shape:
        raise ValueError(
            f"expected clean, adversarial, positive to match, got {clean.shape}, {adversarial.shape}, "
            f"{positive.shape}"
        )
    images = np.flatnonzero(_flags("positive", positive, 1))
    _, false, true = _operating_points(clean, adversarial[images])
    if not len(images):
        return dict.fromkeys(_STATISTICS, (np.nan, np.nan))
    # Sorted once for all resamples: where k scores reach a threshold, their weight is the sum of the first k,
    # after the 0 in column 0.
    negatives = np.append(0, 1 + np.argsort(clean)[::-1])
    positives = np.append(0, 1 + images[np.argsort(adversarial[images])[::-1]])
    rng, rows = np.random.default_rng(seed), max(1, _CHUNK // len(false))
    drawn = []
    for start in range(0, resamples, rows):
        weights = _resample(rng, min(rows, resamples - start), len(clean))
        weighted = weights[:, negatives].cumsum(1)[:, false], weights[:, positives].cumsum(1)[:, true]
        drawn.append((_auroc(*weighted), _eer(*weighted)))
    return dict(zip(_STATISTICS, map(_percentiles, np.concatenate(drawn, axis=1)), strict=True))


def proportion_interval(values: NDArray[np.bool_]) -> tuple[float, float]:
    """Compute the 95 % Wilson interval of a share of images (robust accuracy, say).

    (N,) -> low, high; NaN where there are none.
    """
    values = _flags("values", values, 1)
    return wilson_interval(int(values.sum()), len(values)) if len(values) else (np.nan, np.nan)


def worst_case(correct: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell which images withstand every attack.

    (A, N) -> (N,); the clean predictions are a row too, as an attack may fail.
    """
    if not len(correct := _flags("correct", correct, 2)):
        raise ValueError(
            "expected correct to have at least one attack, got none: without any, every image would count as "
            "robust"
        )
    return np.asarray(correct.all(axis=0))


def _checked(name: str, scores: Scores) -> NDArray[np.float64]:
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"expected {name} to be one score per image, (N,), got shape {array.shape}")
    if wrong := int(np.isnan(array).sum()):
        raise ValueError(f"expected {name} to be free of NaN, got {wrong} in {len(array)} scores")
    return array


def _flags(name: str, values: NDArray[np.bool_], dimensions: int) -> NDArray[np.bool_]:
    if values.dtype != np.bool_ or values.ndim != dimensions:
        raise TypeError(
            f"expected {name} to be a {dimensions}-D array of bool, got a {values.ndim}-D array of "
            f"{values.dtype}"
        )
    return values


def _operating_points(clean: Scores, adversarial: Scores) -> tuple[NDArray[np.float64], Counts, Counts]:
    """Count the clean and the adversarial scores >= each distinct score, falling.

    After a first point that rejects nothing; (T,) each.
    """
    populations = _checked("clean", clean), _checked("adversarial", adversarial)
    thresholds = np.unique(np.concatenate(populations))[::-1]
    false, true = (
        len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left") for scores in populations
    )
    return np.append(np.inf, thresholds), np.append(0, false), np.append(0, true)


def _auroc(false: NDArray[Any], true: NDArray[Any]) -> NDArray[np.float64]:
    """Integrate by trapezia, (..., T), (..., T) -> (...), exact for counts.

    NaN where a population is empty.
    """
    twice = ((true[..., 1:] + true[..., :-1]) * np.diff(false)).sum(-1)
    with np.errstate(invalid="ignore"):
        return np.asarray(twice / (2 * false[..., -1] * true[..., -1]))


def _eer(false: NDArray[Any], true: NDArray[Any]) -> NDArray[np.float64]:
    """Find where FPR = FNR, (..., T), (..., T) -> (...), counts or shares.

    NaN where a population is empty.
    """
    negatives, positives = false[..., -1:], true[..., -1:]
    # (FPR - FNR) times the sizes of both populations, which rises along the curve; in counts it is an exact
    # integer.
    balance = false * positives + true * negatives - negatives * positives
    # 0, hence 0 / 0 below, only where a population is empty
    after = np.argmax(balance >= 0, axis=-1, keepdims=True)
    low, high = (np.take_along_axis(false, point, -1) for point in (after - 1, after))
    before, beyond = (np.take_along_axis(balance, point, -1) for point in (after - 1, after))
    with np.errstate(invalid="ignore"):
        return np.asarray((low + (high - low) * (before / (before - beyond))) / negatives)[..., 0]


def _resample(rng: np.random.Generator, rows: int, n: int) -> Counts:
    """Draw n of n images and count each, (R, 1 + N), column 0 is 0.

    ``rng.multinomial``'s distribution in a third of its time.
    """
    draws = rng.integers(1, n + 1, size=(rows, n)) + (n + 1) * np.arange(rows)[:, None]
    return np.bincount(draws.ravel(), minlength=rows * (n + 1)).reshape(rows, n + 1)


def _percentiles(drawn: NDArray[np.float64]) -> tuple[float, float]:
    drawn = drawn[~np.isnan(drawn)]
    low, high = np.percentile(drawn, [2.5, 97.5]) if len(drawn) else (np.nan, np.nan)
    return float(low), float(high)
