"""ROC curves of each loss with its own detector, one row of panels per population, one column per eps.

Of many losses a row per family.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from ....models.losses import loss_name
from ...analysis import metrics
from ...analysis.attack_series import AttackSeries
from ...analysis.eer_table import POPULATIONS
from ...analysis.metrics import FEWEST
from ...analysis.model_samples import ModelSamples
from ...analysis.wording import eps_text
from ..looks import families, line_of
from .style import GUIDE, grid, handle, headline, legend, percent, styled

__all__ = ["roc_figure"]

_POINTS = 160  # a curve; a thousand images make two thousand, which no eye sees
_TICKS = (0, 25, 50, 75, 100)


@styled
def roc_figure(models: Sequence[ModelSamples], series: AttackSeries, detectors: Mapping[str, str]) -> Figure:
    """Draw a curve for every model, its EER point where it crosses FPR = FNR, and the mean EER of each loss.

    Args:
        models: The samples of the suite.
        series: The attack.
        detectors: {loss: detector}, see `verification_detectors`.
    """
    groups = families(list(detectors))
    several = len(groups) > 1
    every = sorted({outcome.threat.eps for model in models for outcome in series.outcomes(model)})
    sizes = _some(every, at_most=2 if several else 4)
    shape = (
        (len(POPULATIONS), len(sizes))
        if len(sizes) > 1 and not several
        else (len(groups), len(POPULATIONS) * len(sizes))
    )
    options: dict[str, Any] = {"left": 0.7, "between": (0.22, 0.22)} if several else {"between": (0.22, 0.5)}
    figure, panels = grid(*shape, (1.45, 1.45), entries=len(detectors) + 2, **options)
    for (family, population, eps), axes in zip(
        product(groups, POPULATIONS, sizes), panels.ravel(), strict=True
    ):
        _panel(
            axes,
            [model for model in models if model.loss in groups[family]],
            series,
            eps,
            population,
            detectors,
        )
        if family == next(iter(groups)):
            axes.set_title(f"{eps_text(eps)}\n{population} adversarials")
        axes.set(xlabel="FPR, clean images (%)", ylabel=f"{family}\nTPR (%)".lstrip())
        axes.label_outer()
    lines = [
        handle(loss, list(detectors), f"{loss_name(loss)}: {detector}", face="white")
        for loss, detector in detectors.items()
    ]
    marks = [
        Line2D([], [], color=GUIDE, linestyle=":", label="FPR = FNR"),
        Line2D(
            [], [], color=GUIDE, linestyle="", marker="o", markerfacecolor="white", label="EER of one seed"
        ),
    ]
    legend(figure, lines + marks)
    headline(figure, series.title)
    return figure


def _panel(
    axes: Axes,
    models: Sequence[ModelSamples],
    series: AttackSeries,
    eps: float,
    population: str,
    detectors: Mapping[str, str],
) -> None:
    axes.plot([0, 100], [100, 0], color=GUIDE, linestyle=":", linewidth=0.8)
    losses = {model.loss for model in models}
    rates: dict[str, list[float]] = {loss: [] for loss in detectors if loss in losses}
    for model in models:
        for outcome in series.outcomes(model):
            positive = outcome.success if population == "successful" else np.ones(len(outcome.images), bool)
            detector = detectors.get(model.loss)
            if outcome.threat.eps != eps or detector not in outcome.detectors or positive.sum() < FEWEST:
                continue
            curve = metrics.roc(
                model.clean_scores(detector)[outcome.images], outcome.scores(detector)[positive]
            )
            color, dashes, marker, width = line_of(model.loss, list(detectors))
            fpr, tpr = _thin(curve.fpr, curve.tpr)
            axes.plot(percent(fpr), percent(tpr), color=color, linestyle=dashes, linewidth=0.75 * width)
            point: dict[str, Any] = {
                "color": color,
                "marker": marker,
                "markerfacecolor": "white",
                "zorder": 3,
                "clip_on": False,
            }
            axes.plot(100 * curve.eer, 100 - 100 * curve.eer, label=f"EER {model.name}", **point)
            rates[model.loss].append(100 * curve.eer)
    _mean_rates(axes, rates, list(detectors))
    axes.set(xlim=(0, 100), ylim=(0, 100), aspect="equal", xticks=_TICKS, yticks=_TICKS)


def _mean_rates(axes: Axes, rates: Mapping[str, Sequence[float]], losses: Sequence[str]) -> None:
    """Write the mean EER of each loss into the corner that the curves leave free."""
    every = [rate for some in rates.values() for rate in some]
    if not every:
        axes.text(
            50,
            50,
            f"fewer than {FEWEST}\nsucceeded",
            ha="center",
            va="center",
            fontsize=7,
            backgroundcolor="white",
        )
        return
    lines = []
    for loss, some in rates.items():
        color, dashes, *_ = line_of(loss, losses)
        lines.append(
            Line2D([], [], color=color, linestyle=dashes, label=f"{np.mean(some):.1f} %" if some else "few")
        )
    size, spacing = (6.5, 0.25) if len(lines) <= 4 else (5.5, 0.1)
    box: dict[str, Any] = {
        "loc": "lower right" if np.mean(every) < 50 else "upper left",
        "framealpha": 0.85,
        "edgecolor": "none",
        "borderpad": 0.3,
        "labelspacing": spacing,
        "handlelength": 2.2,
    }
    axes.legend(handles=lines, title="mean EER", title_fontsize=size, fontsize=size, **box)


def _some(sizes: Sequence[float], at_most: int) -> list[float]:
    """Choose so many eps as fit beside each other, the largest among them, and of more than two the smallest.

    The tables hold them all.
    """
    if len(sizes) <= at_most:
        return list(sizes)
    first = 0 if at_most > 2 else (len(sizes) - 1) // 2  # at the smallest hardly an attack succeeds
    return [sizes[place] for place in np.linspace(first, len(sizes) - 1, at_most).round().astype(int)]


def _thin(
    fpr: NDArray[np.float64], tpr: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Keep points at about equal distances along the curve, both ends among them.

    (T,), (T,) -> (<= `_POINTS`,) each.
    """
    along = fpr + tpr
    kept = np.unique(np.append(np.searchsorted(along, np.linspace(0, 2, _POINTS)[:-1]), len(along) - 1))
    return fpr[kept], tpr[kept]
