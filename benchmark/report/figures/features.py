"""The picture that the papers are known for.

Features of two dimensions, a colour per class, and where adversarial images lie in them.

As in the L-GM paper (arXiv 1803.02988) and the GM paper (arXiv 2011.09066), with two things more: behind the
points what the model itself says of every place, and before them the features of images that an attack fooled
it with. Colours are those of Petroff, "Accessible color sequences for data visualization", arXiv 2107.02270,
ten that people with any colour vision can tell apart; a digit at each class's mean says the same without
colours.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize, to_rgba_array
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from ...analysis.features.space import Landscape, Plane, window
from .style import GUIDE, grid, headline, hide, legend, styled, wrap

__all__ = ["COLORS", "features_figure"]

COLORS = (
    "#3F90DA",
    "#FFA90E",
    "#BD1F01",
    "#94A4A2",
    "#832DB6",
    "#A96B59",
    "#E76300",
    "#B9AC70",
    "#717581",
    "#92DADD",
)
"""Of the classes, in order; an eleventh class has the colour of the first."""

POINTS = 5000
"""So many training images are drawn at most, evenly spaced in their order."""

_PALETTE = to_rgba_array(list(COLORS))
_PANEL = 2.6  # inches

# Light greys in steps, whose edges are contours; white is likely, so that the points' colours stand on white.
_SHADES = ListedColormap([str(shade) for shade in np.linspace(0.62, 1, 10).round(3)])

_LABELS = {
    "likelihood": "max log p(f | k), nats up to a constant",
    "softmax": "max softmax probability",
}


@styled
def features_figure(planes: Sequence[Plane]) -> Figure:
    """Draw a panel per model: the landscape, training images as points.

    Fooling images as crosses in the colour of their true class.

    Attacked images that did not fool the model are not drawn; the title counts them.

    Args:
        planes: In order.
    """
    rows, columns = wrap(max(len(planes), 1), columns=2 if len(planes) <= 4 else 3)
    figure, panels = grid(rows, columns, (_PANEL, _PANEL), entries=2, head=0.75, foot=1, between=(0.5, 1.45))
    flat = list(panels.ravel())
    hide(flat[len(planes) :])
    for axes, plane in zip(flat, planes, strict=False):
        _panel(axes, plane)
        spec = axes.get_subplotspec()
        axes.set(xlabel="feature 1", ylabel="feature 2" if spec is None or spec.is_first_col() else "")
    points = Line2D([], [], linestyle="", marker="o", color=GUIDE, markersize=2, label="training image")
    crosses = Line2D(
        [],
        [],
        linestyle="",
        marker="X",
        color=GUIDE,
        markeredgecolor="black",
        markeredgewidth=0.5,
        markersize=5,
    )
    crosses.set_label("image that fooled it, in the colour of its true class")
    legend(figure, [points, crosses])
    headline(figure, "Features, a colour and a digit for each class")
    return figure


def _panel(axes: Axes, plane: Plane) -> None:
    sight = plane.landscape.window if plane.landscape else window(plane.features, plane.adversarial)
    if plane.landscape:
        _landscape(axes, plane.landscape)
    rows = np.unique(
        np.linspace(0, len(plane.features) - 1, min(POINTS, len(plane.features))).round().astype(int)
    )
    # Rasterised: five thousand points of an SVG are half a megabyte.
    drawn, colors = plane.features[rows], _PALETTE[plane.labels[rows] % len(COLORS)]
    axes.scatter(
        drawn[:, 0],
        drawn[:, 1],
        s=2,
        c=colors,
        linewidths=0,
        rasterized=True,
        zorder=1,
        label="training images",
    )
    fooled = plane.adversarial[plane.fooled]
    colors = _PALETTE[plane.adversarial_labels[plane.fooled] % len(COLORS)]
    marks: dict[str, Any] = {
        "marker": "X",
        "edgecolors": "black",
        "linewidths": 0.35,
        "zorder": 2,
        "label": "fooled",
    }
    axes.scatter(fooled[:, 0], fooled[:, 1], s=12, c=colors, **marks)
    for label, mean in enumerate(plane.means):
        outline = [withStroke(linewidth=2, foreground="white")]
        axes.text(
            mean[0],
            mean[1],
            str(label),
            ha="center",
            va="center",
            fontsize=9,
            fontweight="bold",
            path_effects=outline,
            zorder=3,
        )
    count = f"\n{plane.attack}: {plane.fooled.sum()} of {len(plane.fooled)} fooled it" if plane.attack else ""
    axes.set_title(plane.title + count)
    axes.set(xlim=sight[:2], ylim=sight[2:], aspect="equal")
    axes.locator_params(nbins=5)
    axes.grid(visible=False)


def _landscape(axes: Axes, landscape: Landscape) -> None:
    high = float(landscape.values.max())
    limits = Normalize(min(landscape.low, high - 1e-6), high)
    axes.imshow(
        landscape.values,
        cmap=_SHADES,
        norm=limits,
        extent=landscape.window,
        origin="lower",
        interpolation="none",
        zorder=0,
    )
    place = axes.inset_axes((0, -0.24, 1, 0.035))
    figure = axes.get_figure(root=True)
    assert figure is not None
    bar = figure.colorbar(ScalarMappable(limits, _SHADES), cax=place, orientation="horizontal", extend="min")
    bar.set_label(_LABELS[landscape.kind], labelpad=2)
    bar.ax.locator_params(nbins=4)
