"""Paired differences: two models on the same images under the same attacks.

One training of each: the images are pairs of yes and no, and the interval is Wald's after one image was added
to each of the two kinds on which the models differ (Bonett, Price, "Adjusted Wald confidence interval for a
difference of binomial proportions based on paired data", Journal of Educational and Behavioral Statistics 37,
2012). Several trainings of one: percentile bootstrap over images and trainings at once (Owen, "The pigeonhole
bootstrap", Annals of Applied Statistics 1, 2007), which is on the wide side.
"""

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...attacks.core.threat import THREAT_COLUMNS
from .model_samples import Flags, ModelSamples, Outcome, met_by_all, models_of

__all__ = ["PAIRED_COLUMNS", "paired_difference", "paired_differences"]

RESAMPLES = 2000

PAIRED_COLUMNS = (
    *(*THREAT_COLUMNS, "measure", "a", "b", "value_a", "value_b"),
    *("difference", "low", "high", "images", "trainings", "attacks", "interval"),
)


def paired_differences(samples: pd.DataFrame, a: str, b: str) -> pd.DataFrame:
    """Compare the robust accuracies of two models, or of the trainings of two losses, by threat model.

    A row holds what both met: the attacks that the threat model permits and that every one of the models met,
    and the test images that all of these attacks were run on, for all of the models.

    Args:
        samples: One row per (model, cell, image).
        a: A model's or a loss's name.
        b: Another's; the difference is a - b.

    Returns:
        One row a threat model, `PAIRED_COLUMNS`; fractions in [0, 1], of 95 % intervals.

    Raises:
        ValueError: No such name, or twice the same.
    """
    models = models_of(samples)
    first, second = _named(models, a), _named(models, b)
    if {model.name for model in first} & {model.name for model in second}:
        raise ValueError(f"expected two different models or losses to compare, got '{a}' and '{b}'")
    compared = [*first, *second]
    rows: list[dict[str, Any]] = []
    for threat in sorted(set.intersection(*({one.threat for one in model.outcomes} for model in compared))):
        met = met_by_all(compared, threat)
        if not any(one.threat == threat for one in met[0]):
            continue
        robust = [_robust(model, outcomes) for model, outcomes in zip(compared, met, strict=True)]
        ids = sorted(set.intersection(*(set(flags) for flags in robust)))
        if not ids:
            continue
        flags = np.array([[of_model[image] for image in ids] for of_model in robust])
        ours, theirs = flags[: len(first)], flags[len(first) :]
        difference, low, high = paired_difference(ours, theirs)
        rows.append(
            {
                **threat.row(),
                "measure": "robust accuracy",
                "a": a,
                "b": b,
                "value_a": ours.mean(),
                "value_b": theirs.mean(),
                "difference": difference,
                "low": low,
                "high": high,
                "images": len(ids),
                "trainings": f"{len(first)}, {len(second)}",
                "attacks": ";".join(sorted({one.label for one in met[0]})),
                "interval": "adjusted Wald" if len(flags) == 2 else "bootstrap of images and trainings",
            }
        )
    return pd.DataFrame(rows, columns=list(PAIRED_COLUMNS))


def paired_difference(
    a: Flags, b: Flags, *, level: float = 0.95, seed: int = 0
) -> tuple[float, float, float]:
    """Compute the difference of two shares of the same images, and its interval.

    (A, N), (B, N) -> difference, low, high.

    Args:
        a: Whether each of N images counts, for each of A trainings.
        b: Likewise for B trainings of the other.
        level: Of the interval.
        seed: Of the bootstrap, where there is more than one training.
    """
    difference = float(a.mean() - b.mean())
    if len(a) == len(b) == 1:
        return difference, *_adjusted_wald(int((a & ~b).sum()), int((b & ~a).sum()), a.shape[1], level)
    rng = np.random.default_rng(seed)
    drawn = [_resampled(a, b, rng) for _ in range(RESAMPLES)]
    low, high = np.percentile(drawn, [50 * (1 - level), 50 * (1 + level)])
    return difference, float(low), float(high)


def _adjusted_wald(only_a: int, only_b: int, images: int, level: float) -> tuple[float, float]:
    """Compute Bonett and Price's interval from the discordant images."""
    p, q = (only_a + 1) / (images + 2), (only_b + 1) / (images + 2)
    half = NormalDist().inv_cdf((1 + level) / 2) * ((p + q - (p - q) ** 2) / (images + 2)) ** 0.5
    return max(-1.0, p - q - half), min(1.0, p - q + half)


def _resampled(a: NDArray[np.bool_], b: NDArray[np.bool_], rng: np.random.Generator) -> float:
    images = rng.integers(a.shape[1], size=a.shape[1])
    ours, theirs = (flags[rng.integers(len(flags), size=len(flags))][:, images] for flags in (a, b))
    return float(ours.mean() - theirs.mean())


def _named(models: Sequence[ModelSamples], name: str) -> list[ModelSamples]:
    """Find the model of that name, or else all trainings of the loss of that name."""
    found = [model for model in models if model.name == name] or [
        model for model in models if model.loss == name
    ]
    if not found:
        known = sorted({model.name for model in models} | {model.loss for model in models})
        raise ValueError(f"no model or loss named '{name}' on this board; there are {', '.join(known)}")
    return found


def _robust(model: ModelSamples, outcomes: Sequence[Outcome]) -> dict[int, bool]:
    """Tell for each image that all of these attacks met whether it was right, clean and under each."""
    ran = np.logical_and.reduce([outcome.ran for outcome in outcomes])
    robust, ids = model.robust(outcomes), model.clean["id"].to_numpy()
    return {int(image): bool(right) for image, right in zip(ids[ran], robust[ran], strict=True)}
