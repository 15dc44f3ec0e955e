"""Which detector sees which attack: EERs as a table with colours."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ....models.losses import loss_name
from ...analysis.attack_series import AttackSeries, eps_of, losses_of, reliable, series_of
from ...analysis.metrics import FEWEST
from ...analysis.wording import eps_text
from ..looks import TOGETHER
from .style import grid, headline, hide, styled, wrap

__all__ = ["heatmap_figure"]

_CHANCE = 50  # percent; what is worse than chance has the colour of chance, and its number
_MAP = colormaps["Blues"].resampled(10)  # a step of colour is 5 percent
_CELL = 0.46, 0.2  # inches
_SMALL, _BLOCKS = (0.3, 0.16), 3  # of many losses: inches, blocks in a row
_SLANTED: dict[str, Any] = {"rotation": 55, "ha": "right", "rotation_mode": "anchor"}
Rates = NDArray[np.float64]
Words = NDArray[np.object_]
Cells = Sequence[tuple[AttackSeries, float]]


@styled
def heatmap_figure(eer: pd.DataFrame, middles: Mapping[str, float], population: str = "successful") -> Figure:
    """Draw the mean EER over the seeds, a block per loss with a row per detector.

    Of many losses a block per attack with a row per loss.

    Args:
        eer: The table of EERs.
        middles: {norm: eps}, see `middle_eps`; an attack that looks for the smallest perturbation is shown,
            too.
        population: "all" or "successful".
    """
    eer = reliable(eer)
    shown = eer[
        (eer["population"] == population)
        & ((eer["eps"] == eer["norm"].astype(str).map(dict(middles))) | np.isinf(eer["eps"]))
    ]
    cells = [(series, eps) for series in series_of(shown) for eps in eps_of(series.rows(shown))]
    losses, detectors = losses_of(eer), list(dict.fromkeys(eer["detector"].astype(str)))
    known = set(zip(eer["loss"].astype(str), eer["detector"].astype(str), strict=True))
    rates = np.full((len(losses), len(detectors), len(cells)), np.nan)
    missing = np.full(rates.shape, "-", dtype=object)
    for column, (series, eps) in enumerate(cells):
        rows = series.rows(shown[shown["eps"] == eps])
        measured = rows.groupby(["loss", "detector"], observed=True)["eer"].mean().to_dict()
        for (i, loss), (j, detector) in product(enumerate(losses), enumerate(detectors)):
            rates[i, j, column] = 100 * measured.get((loss, detector), np.nan)
            missing[i, j, column] = (
                "n/a" if (loss, detector) not in known else "few" if (loss, detector) in measured else "-"
            )
    names = [loss_name(loss) for loss in losses]
    draw = _by_loss if len(losses) <= TOGETHER else _by_attack
    figure, corner = draw(rates, missing, names, detectors, cells)
    _color_bar(figure, corner)
    headline(
        figure,
        f"EER (%), {population} adversarials, mean over seeds\nfew: fewer than {FEWEST}; n/a: does not "
        "apply; -: not run",
    )
    return figure


def _by_loss(
    rates: Rates, missing: Words, losses: Sequence[str], detectors: Sequence[str], cells: Cells
) -> tuple[Figure, Axes]:
    """Draw a block per loss, a row per detector, a column per attack, -> figure, its upper right block."""
    size = max(len(cells), 1) * _CELL[0], max(len(detectors), 1) * _CELL[1]
    figure, panels = grid(max(len(losses), 1), 1, size, left=0.95, right=0.85, foot=1.3, between=(0, 0.32))
    for place, (loss, axes) in enumerate(zip(losses, panels[:, 0], strict=False)):
        _block(axes, rates[place], missing[place])
        axes.set_title(loss)
        axes.set_yticks(range(len(detectors)), detectors)
    labels = [
        f"{series.label}, {eps_text(eps)}\n{series.norm}, {series.access}, {series.awareness}"
        for series, eps in cells
    ]
    panels[-1, 0].set_xticks(range(len(cells)), labels, fontsize=6, **_SLANTED)
    return figure, panels[0, 0]


def _by_attack(
    rates: Rates, missing: Words, losses: Sequence[str], detectors: Sequence[str], cells: Cells
) -> tuple[Figure, Axes]:
    """Draw a block per attack, a row per loss, a column per detector, -> figure, its upper right block."""
    rows, columns = wrap(max(len(cells), 1), _BLOCKS)
    size = max(len(detectors), 1) * _SMALL[0], max(len(losses), 1) * _SMALL[1]
    figure, panels = grid(
        rows, columns, size, left=0.85, right=0.85, head=0.85, foot=0.75, between=(0.15, 0.45)
    )
    flat = list(panels.ravel())
    hide(flat[len(cells) :])
    for place, ((series, eps), axes) in enumerate(zip(cells, flat, strict=False)):
        _block(axes, rates[..., place], missing[..., place])
        axes.set_title(f"{series.label}, {eps_text(eps)}\n{series.norm}, {series.access}, {series.awareness}")
        if place % columns == 0:
            axes.set_yticks(range(len(losses)), losses)
        if place + columns >= len(cells):
            axes.set_xticks(range(len(detectors)), detectors, **_SLANTED)
    return figure, flat[columns - 1]


def _block(axes: Axes, rates: Rates, missing: Words) -> None:
    for (column, row), rate in np.ndenumerate(rates.T):
        text = str(missing[row, column]) if np.isnan(rate) else f"{rate:.1f}"
        # The map darkens with the value.
        axes.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            fontsize=6,
            color="white" if rate > 0.6 * _CHANCE else "black",
        )
    axes.imshow(
        np.ma.masked_invalid(rates), cmap=_MAP, vmin=0, vmax=_CHANCE, aspect="auto", interpolation="none"
    )
    axes.set(xticks=[], yticks=[])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def _color_bar(figure: Figure, beside: Axes) -> None:
    width, height = figure.get_size_inches()
    box = beside.get_position()
    axes = figure.add_axes((box.x1 + 0.15 / width, box.y1 - 1.2 / height, 0.1 / width, 1.2 / height))
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, _CHANCE), _MAP), cax=axes, extend="max", ticks=range(0, _CHANCE + 1, 10)
    )
    bar.set_label("EER (%); 50: chance")
