"""Does the spread of the non-true softmax values decide robustness? The claim of the DR-softmax paper.

arXiv 2303.12363, over a suite.

The spread of one image is the variance of the softmax values of the K - 1 classes that are not the true one,
1 / (K - 1) sum_{k != y} (s_k - mean_{j != y} s_j)^2; that of a model is its mean over clean test images that
are classified correctly. The claim is a negative rank correlation with robust accuracy. Spearman's, with ties
at their mean rank. Trainings of one loss are no independent models, so the interval is a percentile bootstrap
over the losses, each with all its models: Field and Welsh, "Bootstrapping clustered data", JRSS B 69(3),
2007. Losses that train adversarially are drawn hollow and have no part in it: that is why they are robust.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....attacks.core.threat import ThreatModel
from ....models.losses import is_adversarial
from ..metrics import proportion_interval
from ..model_samples import ModelSamples, fully_attacked, met_by_all

__all__ = [
    "FEWEST_LOSSES",
    "FEWEST_MODELS",
    "Correlation",
    "Robustness",
    "rank_correlation",
    "shared_robustness",
    "spearman",
    "spread_correlation",
]

FEWEST_LOSSES = 6
"""Of fewer losses a bootstrap over them says little: of five, 126 different samples in all."""

FEWEST_MODELS = 4
"""Of fewer models nothing is drawn: any three points lie in one of six orders."""

_RESAMPLES = 10_000
Array = NDArray[np.float64]


class Correlation(NamedTuple):
    """Spearman's rank correlation with its 95 % interval; NaN for fewer than `FEWEST_LOSSES` losses."""

    rho: float
    low: float
    high: float
    models: int
    losses: int

    def __str__(self) -> str:
        of = f"{self.models} models of {self.losses} losses"
        if np.isnan(self.rho):
            return f"no rank correlation: all values alike, {of}"
        if self.losses < FEWEST_LOSSES:
            return f"Spearman's rank correlation {self.rho:.2f}, {of}: too few losses for an interval"
        return f"Spearman's rank correlation {self.rho:.2f} [{self.low:.2f}, {self.high:.2f}], {of}"


@dataclass(frozen=True)
class Robustness:
    """Robust accuracy of several models under attacks that all of them met.

    Args:
        threat: The threat model.
        attacks: Labels of the attacks whose worst case counts.
        images: How many.
        shares: {model: share, low, high}, fractions with a 95 % interval.
    """

    threat: ThreatModel
    attacks: tuple[str, ...]
    images: int
    shares: Mapping[str, tuple[float, float, float]]

    def ranked(self, model: str) -> float:
        """Give the share of a model, 0 where its interval reaches down to less than one image.

        Those are ties, whose order is chance.
        """
        share, low, _ = self.shares[model]
        return 0.0 if low * self.images < 1 else share


def shared_robustness(models: Sequence[ModelSamples]) -> Robustness | None:
    """Compute the worst case per image over the white-box attacks that all models met.

    And over what else the threat model permits.

    A costly attack that only some of the models met would make these look weaker than the others. Who knows
    the detector is left out. Linf counts where it was run, else the first norm. Of several eps those count at
    which they met the most attacks, since weak attacks leave what looks like robustness, and of these the one
    at which robust accuracy differs the most between the models of the correlation, by its
    standard deviation: at the floor or the ceiling there is no order to find.

    Returns:
        None where there is no such attack.
    """
    runs = {outcome.threat for model in models for outcome in model.outcomes}
    threats = sorted(
        threat
        for threat in runs
        if np.isfinite(threat.eps) and threat.has_gradients and not threat.knows_detector
    )
    threats = [threat for threat in threats if threat.norm == "Linf"] or [
        threat for threat in threats if threat.norm == threats[0].norm
    ]
    found = [robustness for threat in threats if (robustness := _robustness(models, threat))]
    counted = [model.name for model in models if not is_adversarial(model.loss)]

    def most_attacked_and_apart(robustness: Robustness) -> tuple[int, float]:
        return len(robustness.attacks), float(
            np.std([robustness.shares[name][0] for name in counted] or [0.0])
        )

    return max(found, key=most_attacked_and_apart, default=None)


def _robustness(models: Sequence[ModelSamples], threat: ThreatModel) -> Robustness | None:
    """Compute it under one threat model; None where no attack of it, or no image, was met by all."""
    met = met_by_all(models, threat)
    if not any(one.threat == threat for one in met[0]):
        return None
    shares, images = {}, 0
    for model, outcomes in zip(models, met, strict=True):
        ran = fully_attacked(model, outcomes)
        if not ran.any():
            return None
        robust = model.robust(outcomes)[ran]
        shares[model.name] = (float(robust.mean()), *proportion_interval(robust))
        images = int(ran.sum())
    attacks = tuple(dict.fromkeys(one.label for one in met[0]))
    return Robustness(threat, attacks, images, shares)


def spearman(x: Array, y: Array, times: Array) -> Array:
    """Compute Spearman's rank correlation of values that are there so many times.

    (N,), (N,), (..., N) -> (...).

    NaN where all of x or all of y are alike, or where there is nothing.
    """
    ranked = (_ranks(x, times), _ranks(y, times))
    with np.errstate(invalid="ignore"):
        across, up = (
            ranks - (times * ranks).sum(-1, keepdims=True) / times.sum(-1, keepdims=True) for ranks in ranked
        )
        return np.asarray(
            (times * across * up).sum(-1) / np.sqrt((times * across**2).sum(-1) * (times * up**2).sum(-1))
        )


def rank_correlation(
    x: Array, y: Array, losses: Sequence[str], *, resamples: int = _RESAMPLES, seed: int = 0
) -> Correlation:
    """Compute Spearman's rank correlation over N models, (N,), (N,), N names.

    Its interval is of percentiles over resampled losses.
    """
    known, loss = np.unique(np.array(losses, dtype=str), return_inverse=True)
    rho, low, high = float(spearman(x, y, np.ones(len(x)))), np.nan, np.nan
    if len(known) >= FEWEST_LOSSES:
        times = (
            np.random.default_rng(seed)
            .multinomial(len(known), np.full(len(known), 1 / len(known)), resamples)
            .astype(np.float64)
        )
        drawn = spearman(x, y, times[:, loss])
        drawn = drawn[~np.isnan(drawn)]  # one loss many times over may have no order
        low, high = np.percentile(drawn, [2.5, 97.5]) if len(drawn) else (np.nan, np.nan)
    return Correlation(rho, float(low), float(high), len(x), len(known))


def spread_correlation(
    spreads: Mapping[str, float], losses: Mapping[str, str], robustness: Robustness
) -> Correlation:
    """Correlate what `spread_figure` draws, over the models that are not adversarially trained.

    Whatever the spread of the others, their training is made to raise robust accuracy.
    """
    names = [name for name in spreads if not is_adversarial(losses[name])]
    across, up = (
        np.array(values, dtype=np.float64)
        for values in ([spreads[n] for n in names], [robustness.ranked(n) for n in names])
    )
    return rank_correlation(across, up, [losses[name] for name in names])


def _ranks(values: Array, times: Array) -> Array:
    """Rank values that are there so many times from 1, ties at their mean, (N,), (..., N) -> (..., N)."""
    # Each of N by N.
    smaller, alike = (
        np.asarray(relation, np.float64) for relation in (values < values[:, None], values == values[:, None])
    )
    return np.asarray(times @ smaller.T + (times @ alike.T + 1) / 2)
