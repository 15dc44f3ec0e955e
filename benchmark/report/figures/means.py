"""Draws how symmetric the class means of each model lie, see `gmbench.benchmark.analysis.symmetry`."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.textpath import TextPath
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ...analysis.features.symmetry import Array, Symmetry, simplex_angle
from ..looks import line_of
from .style import GUIDE, grid, headline, legend, styled

__all__ = ["means_figure"]

_PANEL, _ROW = 2.2, 0.17  # inches
_WIDE = 1000  # from so wide a range on, powers of ten alone have figures
_MARKS = 200  # a model: of more pairs, so many evenly spaced quantiles are drawn


@styled
def means_figure(models: Sequence[Symmetry]) -> Figure:
    """Draw a row per model: a tick for every two classes at their angle and at their distance.

    A marker at the mean, the range in figures.

    Args:
        models: In order; all of one data set.
    """
    simplex = simplex_angle(models[0].classes)
    losses = list(dict.fromkeys(model.loss for model in models))
    height = _ROW * max(len(models), 1) + 0.1
    names = [f"{model.name} ({model.dimensions}-D)" for model in models]
    # hinted, text is drawn a little wider than its path
    longest = max(
        TextPath((0, 0), name, size=mpl.rcParams["ytick.labelsize"]).get_extents().width / 72
        for name in names
    )
    options = {"left": max(1.65, 1.05 * longest + 0.12), "right": 0.95, "head": 0.6, "foot": 0.5}
    figure, panels = grid(1, 2, (_PANEL, height), entries=3, between=(1.05, 0), **options)
    for axes, statistic, unit in zip(panels[0], ("angles", "ratios"), (".0f", ".1f"), strict=True):
        axes.set_ylim(len(models) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
        for row, model in enumerate(models):
            _row(axes, row, getattr(model, statistic), model.loss, losses, unit)
        axes.text(
            1.03, 1.02, "min / mean / max", transform=axes.transAxes, fontsize=6, va="bottom", color=GUIDE
        )
    left, right = panels[0]
    left.axvline(simplex, color=GUIDE, linestyle="--", linewidth=0.9, zorder=0)
    left.set_yticks(range(len(models)), names)
    left.set(
        xlabel="angle, degrees",
        title="angle between two class means",
    )
    left.margins(x=0.05)
    right.set_yticks(range(len(models)), [])
    right.set(xlabel="mean distance to the own mean = 1", title="distance between two class means")
    _log_axis(right, np.concatenate([np.zeros(0), *(model.ratios for model in models)]))
    pair = Line2D([], [], linestyle="", marker="|", color="black", markersize=7, label="two classes")
    mean = Line2D(
        [], [], linestyle="", marker="o", color="black", markerfacecolor="white", label="mean over all pairs"
    )
    guide = Line2D([], [], linestyle="--", color=GUIDE, linewidth=0.9, label=f"simplex: {simplex:.1f}°")
    legend(figure, [pair, mean, guide])
    headline(figure, "Class means of the training images' features")
    return figure


def _log_axis(axes: Axes, values: Array) -> None:
    """Scale the x axis by the logarithm, with figures at 1, 2, 5, 10, .

    And wide enough to hold one of them.
    """
    known = values[np.isfinite(values) & (values > 0)]
    low, high = (known.min(), known.max()) if len(known) else (1.0, 1.0)
    widen = max(1.2, 2 / (high / low) ** 0.5)
    axes.set(xscale="log", xlim=(low / widen, high * widen))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < _WIDE else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _row(axes: Axes, row: int, values: Array, loss: str, losses: Sequence[str], unit: str) -> None:
    finite = np.sort(values[np.isfinite(values)])
    if not len(finite):
        axes.text(1.03, row, "not finite", transform=axes.get_yaxis_transform(), fontsize=6, va="center")
        return
    drawn = finite if len(finite) <= _MARKS else np.quantile(finite, np.linspace(0, 1, _MARKS))
    color, _, marker, _ = line_of(loss, losses)
    axes.plot(
        drawn,
        np.full(len(drawn), row),
        linestyle="",
        marker="|",
        color=color,
        markersize=6,
        markeredgewidth=0.6,
    )
    axes.plot(finite.mean(), row, marker=marker, color=color, markerfacecolor="white", zorder=3)
    figures = " / ".join(format(value, unit) for value in (finite[0], finite.mean(), finite[-1]))
    axes.text(1.03, row, figures, transform=axes.get_yaxis_transform(), fontsize=6, va="center")
