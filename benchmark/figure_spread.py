"""Does the spread of the non-true softmax values decide robustness? The claim of the DR-softmax paper, arXiv 2303.12363, over a suite.

The spread of one image is the variance of the softmax values of the K - 1 classes that are not the true one,
1 / (K - 1) sum_{k != y} (s_k - mean_{j != y} s_j)^2; that of a model is its mean over clean test images that are classified correctly. The
claim is a negative rank correlation with robust accuracy. Spearman's, with ties at their mean rank; the interval is a percentile bootstrap
over the models. Trainings of one loss are no independent models, so it is rather too narrow than too wide.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

from .figure_looks import Line, line_of
from .figure_style import grid, headline, legend, percent, styled
from .metrics import proportion_interval
from .outcomes import ModelSamples, Threat, fully_attacked
from .setting import eps_text, loss_name, losses_of

__all__ = ["FEWEST_MODELS", "Correlation", "Robustness", "rank_correlation", "shared_robustness", "spearman", "spread_figure"]

FEWEST_MODELS = 4
"""Of fewer models nothing is drawn: any three points lie in one of six orders."""

_SMALLEST = 1e-30  # what is smaller, or 0 because every softmax value but one underflowed, is drawn here
_RESAMPLES = 10_000

Array = NDArray[np.float64]


class Correlation(NamedTuple):
    """Spearman's rank correlation with its 95 % interval, over ``n`` models."""

    rho: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        if np.isnan(self.rho):
            return f"no rank correlation: all values alike, {self.n} models"
        return f"Spearman's rank correlation {self.rho:.2f} [{self.low:.2f}, {self.high:.2f}], {self.n} models"


@dataclass(frozen=True)
class Robustness:
    """Robust accuracy of several models under attacks that all of them met.

    Args:
        threat: The threat model.
        attacks: Labels of the attacks whose worst case counts.
        images: How many.
        shares: {model: share, low, high}, fractions with a 95 % interval.
    """

    threat: Threat
    attacks: tuple[str, ...]
    images: int
    shares: Mapping[str, tuple[float, float, float]]


def shared_robustness(models: Sequence[ModelSamples], middles: Mapping[str, float]) -> Robustness | None:
    """Compute the worst case per image over the white-box attacks that all models met, and over what else the threat model permits.

    A costly attack that only some of the models met would make these look weaker than the others. Who knows the detector is left out.

    Args:
        models: Of one suite.
        middles: {norm: eps}, see `middle_eps`; Linf counts where it was run, else the first norm.

    Returns:
        None where there is no such attack.
    """
    if not models or not middles:
        return None
    norm = "Linf" if "Linf" in middles else next(iter(middles))
    threat = Threat(norm, middles[norm], "white-box", "oblivious")
    met = [{(outcome.attack, outcome.threat) for outcome in model.outcomes if threat.permits(outcome.threat)} for model in models]
    shared = set.intersection(*met)
    if not any(other == threat for _, other in shared):
        return None
    shares, images = {}, 0
    for model in models:
        outcomes = [outcome for outcome in model.outcomes if (outcome.attack, outcome.threat) in shared]
        ran = fully_attacked(model, threat)
        robust = model.robust(outcomes)[ran]
        shares[model.name] = (float(robust.mean()), *proportion_interval(robust))
        images = int(ran.sum())
    attacks = tuple(dict.fromkeys(outcome.attack for outcome in models[0].outcomes if (outcome.attack, outcome.threat) in shared))
    return Robustness(threat, attacks, images, shares)


def spearman(x: Array, y: Array) -> Array:
    """Compute Spearman's rank correlation, (..., N), (..., N) -> (...); NaN where all of x or all of y are alike."""
    centred = [ranks - ranks.mean(-1, keepdims=True) for ranks in (_ranks(x), _ranks(y))]
    with np.errstate(invalid="ignore"):
        return np.asarray((centred[0] * centred[1]).sum(-1) / np.sqrt((centred[0] ** 2).sum(-1) * (centred[1] ** 2).sum(-1)))


def rank_correlation(x: Array, y: Array, *, resamples: int = _RESAMPLES, seed: int = 0) -> Correlation:
    """Compute Spearman's rank correlation and its percentile interval over resampled models, (N,), (N,)."""
    n = len(x)
    drawn = np.random.default_rng(seed).integers(0, n, (resamples, n))
    rho = spearman(x[drawn], y[drawn])
    rho = rho[~np.isnan(rho)]  # a resample of one model, n times over, has no order
    low, high = np.percentile(rho, [2.5, 97.5]) if len(rho) else (np.nan, np.nan)
    return Correlation(float(spearman(x, y)), float(low), float(high), n)


@styled
def spread_figure(spreads: Mapping[str, float], losses: Mapping[str, str], robustness: Robustness) -> Figure:
    """Draw a point per model, its spread across and its robust accuracy up, and print their rank correlation.

    Args:
        spreads: {model: spread}; of the models that are in `robustness`.
        losses: {model: loss}.
        robustness: Of at least these models.
    """
    names = list(spreads)
    known = losses_of(pd.DataFrame({"loss": [losses[name] for name in names]}))
    threat = robustness.threat
    told = [
        "Spread of the non-true softmax values and robust accuracy",
        f"{threat.norm}, {eps_text(threat.eps)}, {threat.access}, {threat.awareness}, {robustness.images} images",
        *wrap(f"worst case of {', '.join(robustness.attacks)}", 75, break_on_hyphens=False),
    ]
    figure, panels = grid(1, 1, (3.9, 2.6), entries=len(known), head=0.4 + 0.15 * len(told))
    axes = panels[0, 0]
    for name in names:
        mark = _mark(line_of(losses[name], known))
        across, (share, low, high) = max(spreads[name], _SMALLEST), robustness.shares[name]
        axes.vlines(across, *percent([low, high]), color=mark["color"], linewidth=0.8, alpha=0.6, zorder=1)
        axes.plot(across, 100 * share, label=name, **mark)
    correlation = rank_correlation(np.array([spreads[name] for name in names]), np.array([robustness.shares[name][0] for name in names]))
    axes.set_title(str(correlation))
    axes.set(
        xscale="log",
        xlabel="spread: mean variance of the non-true softmax values",
        ylabel="robust accuracy (%), 95 % interval",
        ylim=(-3, 103),
    )
    placed = np.maximum(list(spreads.values()), _SMALLEST)
    axes.set_xlim(10 ** np.floor(np.log10(placed.min() / 1.2)), 10 ** np.ceil(np.log10(placed.max() * 1.2)))  # two figures at least
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"1e{np.log10(value):.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    headline(figure, "\n".join(told))
    legend(figure, [Line2D([], [], label=loss_name(loss), **_mark(line_of(loss, known))) for loss in known])
    return figure


def _mark(line: Line) -> dict[str, Any]:
    """Style a point; what has thicker lines has a larger one."""
    shape = {"linestyle": "", "color": line.color, "marker": line.marker, "markersize": 4.6 * line.width}
    return shape | {"markeredgecolor": "white", "markeredgewidth": 0.4}


def _ranks(values: Array) -> Array:
    """Rank from 1, ties at their mean, (..., N) -> (..., N)."""
    mine, others = values[..., :, None], values[..., None, :]
    return np.asarray((others < mine).sum(-1) + ((others == mine).sum(-1) + 1) / 2)
