"""Draws the spread of the non-true softmax values against robust accuracy.

See `gmbench.benchmark.analysis.spread`.

Losses that train adversarially are drawn hollow and have no part in the correlation: that is why they are
robust.
"""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from ....models.losses import is_adversarial, loss_name
from ...analysis.attack_series import losses_of
from ...analysis.features.spread import Robustness, spread_correlation
from ...analysis.wording import eps_text
from ..looks import line_of
from .style import grid, headline, legend, percent, styled

__all__ = ["spread_figure"]

# what is smaller, or 0 because every softmax value but one underflowed, is drawn here, lest it squeeze the
# others
_SMALLEST = 1e-9


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
    attacker = f"{threat.norm}, {eps_text(threat.eps)}, {threat.access}, {threat.awareness}"
    told = [
        "Spread of the non-true softmax values and robust accuracy",
        f"{attacker}, {robustness.images} images",
        *wrap(f"worst case of {', '.join(robustness.attacks)}", 75, break_on_hyphens=False),
    ]
    if any(map(is_adversarial, known)):
        told.append("hollow: adversarially trained, left out of the correlation")
    figure, panels = grid(1, 1, (3.9, 2.6), entries=len(known), head=0.4 + 0.15 * len(told))
    axes = panels[0, 0]
    for name in names:
        mark = _mark(losses[name], known)
        across, (share, low, high) = max(spreads[name], _SMALLEST), robustness.shares[name]
        axes.vlines(across, *percent([low, high]), color=mark["color"], linewidth=0.8, alpha=0.6, zorder=1)
        axes.plot(across, 100 * share, label=name, **mark)
    axes.set_title("\n".join(wrap(str(spread_correlation(spreads, losses, robustness)), 60)))
    axes.set(
        xscale="log",
        xlabel="spread: mean variance of the non-true softmax values",
        ylabel="robust accuracy (%), 95 % interval",
        ylim=(-3, 103),
    )
    placed = np.maximum(list(spreads.values()), _SMALLEST)
    # two figures at least
    left, right = 10 ** np.floor(np.log10(placed.min() / 1.2)), 10 ** np.ceil(np.log10(placed.max() * 1.2))
    axes.set_xlim(max(left, _SMALLEST / 3), right)
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{'≤ ' if value <= _SMALLEST else ''}1e{np.log10(value):.0f}")
    )
    axes.xaxis.set_minor_formatter(NullFormatter())
    headline(figure, "\n".join(told))
    legend(figure, [Line2D([], [], label=loss_name(loss), **_mark(loss, known)) for loss in known])
    return figure


def _mark(loss: str, known: Sequence[str]) -> dict[str, Any]:
    """Style a point; what has thicker lines has a larger one, what is adversarially trained a hollow one."""
    line = line_of(loss, known)
    shape = {"linestyle": "", "color": line.color, "marker": line.marker, "markersize": 4.6 * line.width}
    if is_adversarial(loss):
        return shape | {"markerfacecolor": "white", "markeredgewidth": 0.8}
    return shape | {"markeredgecolor": "white", "markeredgewidth": 0.4}
