"""Which detector sees which attack: EERs as a table with colours."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from .figure_style import grid, headline, styled
from .leaderboard import FEWEST
from .setting import Setting, eps_of, eps_text, loss_name, losses_of, reliable, settings_of

__all__ = ["heatmap_figure"]

_CHANCE = 50  # percent; what is worse than chance has the colour of chance, and its number
_MAP = colormaps["Blues"].resampled(10)  # a step of colour is 5 percent
_CELL = 0.46, 0.2  # inches


@styled
def heatmap_figure(eer: pd.DataFrame, middles: Mapping[str, float], population: str = "successful") -> Figure:
    """Draw the mean EER over the seeds, a block per loss, a row per detector, a column per attack.

    Args:
        eer: The table of EERs.
        middles: {norm: eps}, see `middle_eps`; an attack that looks for the smallest perturbation is shown, too.
        population: "all" or "successful".
    """
    eer = reliable(eer)
    shown = eer[(eer["population"] == population) & ((eer["eps"] == eer["norm"].astype(str).map(dict(middles))) | np.isinf(eer["eps"]))]
    cells = [(setting, eps) for setting in settings_of(shown) for eps in eps_of(setting.rows(shown))]
    losses, detectors = losses_of(eer), list(dict.fromkeys(eer["detector"].astype(str)))
    size = max(len(cells), 1) * _CELL[0], max(len(detectors), 1) * _CELL[1]
    figure, panels = grid(max(len(losses), 1), 1, size, left=0.95, right=0.85, foot=1.3, between=(0, 0.32))
    for loss, axes in zip(losses, panels[:, 0], strict=False):
        own = set(eer.loc[eer["loss"] == loss, "detector"].astype(str))
        _block(axes, shown[shown["loss"] == loss], cells, {detector: detector in own for detector in detectors})
        axes.set_title(loss_name(loss))
    labels = [f"{setting.attack}, {eps_text(eps)}\n{setting.norm}, {setting.access}, {setting.awareness}" for setting, eps in cells]
    panels[-1, 0].set_xticks(range(len(cells)), labels, rotation=55, ha="right", rotation_mode="anchor", fontsize=6)
    _color_bar(figure, panels[0, 0])
    headline(figure, f"EER (%), {population} adversarials, mean over seeds\nfew: fewer than {FEWEST}; n/a: does not apply; -: not run")
    return figure


def _block(axes: Axes, rows: pd.DataFrame, cells: Sequence[tuple[Setting, float]], applies: Mapping[str, bool]) -> None:
    values = np.full((len(applies), len(cells)), np.nan)
    for column, (setting, eps) in enumerate(cells):
        measured = setting.rows(rows[rows["eps"] == eps]).groupby("detector", observed=True)["eer"].mean()
        for row, (detector, known) in enumerate(applies.items()):
            values[row, column] = value = 100 * measured.get(detector, np.nan)
            missing = "n/a" if not known else "-" if detector not in measured else "few"
            text = missing if np.isnan(value) else f"{value:.1f}"
            # The map darkens with the value.
            axes.text(column, row, text, ha="center", va="center", fontsize=6, color="white" if value > 0.6 * _CHANCE else "black")
    axes.imshow(np.ma.masked_invalid(values), cmap=_MAP, vmin=0, vmax=_CHANCE, aspect="auto", interpolation="none")
    axes.set_yticks(range(len(applies)), list(applies))
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def _color_bar(figure: Figure, beside: Axes) -> None:
    width, height = figure.get_size_inches()
    box = beside.get_position()
    axes = figure.add_axes((box.x1 + 0.15 / width, box.y1 - 1.2 / height, 0.1 / width, 1.2 / height))
    bar = figure.colorbar(ScalarMappable(Normalize(0, _CHANCE), _MAP), cax=axes, extend="max", ticks=range(0, _CHANCE + 1, 10))
    bar.set_label("EER (%); 50: chance")
