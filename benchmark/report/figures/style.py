"""How every figure is laid out, and how it is saved: the same bytes whenever the same numbers are drawn."""

import re
from collections.abc import Callable, Sequence
from functools import wraps
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib.style
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from PIL import Image

from ....models.losses import loss_name
from ..looks import line_of

__all__ = ["GUIDE", "grid", "handle", "headline", "hide", "legend", "percent", "save", "styled", "wrap"]

GUIDE = "#777777"
"""The colour of what is no measurement: diagonals, the paper's numbers, notes."""

P = ParamSpec("P")

_STYLE: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titley": 1.0,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.handlelength": 3,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.dpi": 160,
    "font.sans-serif": ["DejaVu Sans", "Verdana"],  # each text of an SVG names them all; Verdana is as wide
    "svg.fonttype": "none",  # text as text: a third of the size, and a reader can search it
    "path.simplify_threshold": 0.9,  # points, the width of a line
    "svg.hashsalt": "gmbench",  # else the ids in the file are random
    "text.parse_math": False,  # a label of a suite may hold a $
}

_LINE, _NARROWEST = 0.18, 3.4  # inches: a line of the legend, one column of a paper

# Places in an SVG, to a hundredth of a point: six digits more are a third of the bytes and nothing that can
# be seen.
_PLACES, _LONG = re.compile(r' (?:d|x|y)="[^"]+"'), re.compile(r"-?\d+\.\d{3,}")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Make a function that draws use this style, and nothing of the user's own matplotlib settings."""

    @wraps(draw)
    def with_style(*args: P.args, **options: P.kwargs) -> Figure:
        with matplotlib.style.context(["default", _STYLE]):
            return draw(*args, **options)

    return with_style


def grid(
    rows: int,
    columns: int,
    panel: tuple[float, float],
    *,
    entries: int = 0,
    head: float = 0.6,
    foot: float = 0.45,
    left: float = 0.55,
    right: float = 0.15,
    between: tuple[float, float] = (0.3, 0.8),
) -> tuple[Figure, NDArray[Any]]:
    """Make a figure of equal panels of a fixed size, all lengths in inches, -> figure, axes (rows, columns).

    Args:
        rows: Of panels.
        columns: Of panels.
        panel: Width and height of one.
        entries: Of the legend below all labels.
        head: Room for titles above.
        foot: Room for labels below.
        left: Margin.
        right: Margin.
        between: Room between two panels, across and down; titles and labels stand in it.
    """
    across, down = between
    used = columns * panel[0] + (columns - 1) * across, rows * panel[1] + (rows - 1) * down
    width = max(left + used[0] + right, _NARROWEST)
    below = foot + _LINE * -(-entries // _legend_columns(width))
    height = head + used[1] + below
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    start = left + (width - left - used[0] - right) / 2  # in the middle of a figure wider than its panels
    place = {
        "left": start / width,
        "right": (start + used[0]) / width,
        "top": 1 - head / height,
        "bottom": below / height,
        "wspace": across / panel[0],
        "hspace": down / panel[1],
    }
    return figure, figure.subplots(rows, columns, squeeze=False, gridspec_kw=place)


def wrap(panels: int, columns: int = 4) -> tuple[int, int]:
    """Tell how many rows and columns hold so many panels."""
    across = min(panels, columns)
    return -(-panels // across), across


def headline(figure: Figure, text: str) -> None:
    """Put a title above all panels."""
    figure.suptitle(text, y=1 - 0.06 / figure.get_figheight(), va="top", fontsize=9)


def legend(figure: Figure, lines: Sequence[Artist]) -> None:
    """Put a legend below all panels, in the room that `grid` left for as many entries."""
    columns = _legend_columns(figure.get_figwidth())
    figure.legend(
        handles=lines, loc="lower center", ncols=min(columns, len(lines)), frameon=False, borderaxespad=0.3
    )


def _legend_columns(width: float) -> int:
    return max(1, int(width / 1.4))


def handle(loss: str, losses: Sequence[str], label: str | None = None, face: str | None = None) -> Line2D:
    """Make a legend's line for ``loss``, its marker filled with ``face`` or else with its own colour."""
    line = line_of(loss, losses)
    filled: dict[str, Any] = {"color": line.color, "markerfacecolor": face or line.color}
    return Line2D(
        [],
        [],
        linestyle=line.dashes,
        linewidth=line.width,
        marker=line.marker,
        label=label or loss_name(loss),
        **filled,
    )


def hide(axes: Sequence[Axes]) -> None:
    """Leave panels that hold nothing blank."""
    for blank in axes:
        blank.set_axis_off()


def save(figure: Figure, path: Path) -> Path:
    """Write ``path``.png and ``path``.svg without a date or a version in them.

    The same bytes for the same figure, -> the PNG.
    """
    # with_suffix would cut a label such as eps0.1
    png, svg = (path.with_name(path.name + suffix) for suffix in (".png", ".svg"))
    with matplotlib.style.context(["default", _STYLE]):
        pixels = BytesIO()
        figure.savefig(pixels, format="rgba")
        image = Image.frombytes("RGBA", figure.canvas.get_width_height(), pixels.getvalue()).convert("RGB")
        # A figure has few colours: 256 hold them and the shades of its edges, in a quarter of the bytes.
        image.quantize(256).save(png, optimize=True, dpi=(figure.dpi, figure.dpi))
        text = StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
        svg.write_text(_PLACES.sub(_rounded, text.getvalue()), encoding="utf-8", newline="\n")
    return png


def _rounded(places: re.Match[str]) -> str:
    return _LONG.sub(lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), places[0])


def percent(values: Any) -> NDArray[np.float64]:
    """Turn fractions into percentages."""
    return 100 * np.asarray(values, dtype=np.float64)
