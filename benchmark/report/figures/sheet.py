"""A sheet of a data set's images: some of each class, with its name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .style import grid, headline, styled

__all__ = ["save_sheet", "sheet_figure"]

_IMAGE = 0.6  # inches, the height of an image
_GAP = 0.04  # of an image's width, between two
_LETTER = 0.062  # inches, a letter of a name
_LONGEST = 40  # letters of a name that are shown


@styled
def sheet_figure(title: str, kinds: Sequence[tuple[str, NDArray[np.uint8]]]) -> Figure:
    """Draw a row per class.

    Args:
        title: What stands above.
        kinds: Of each class its name and its images, (n, C, H, W) with C 1 or 3; at least one image in all.
    """
    most = max(len(images) for _, images in kinds)
    height, width = next(images.shape[2:] for _, images in kinds if len(images))
    across = _IMAGE * width / height
    names = [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 3]}..." for name, _ in kinds]
    figure, panels = grid(
        len(kinds),
        1,
        (most * across, _IMAGE),
        left=0.3 + _LETTER * max(map(len, names)),
        right=0.1,
        head=0.35,
        foot=0.1,
        between=(0, 0.04),
    )
    for axes, name, (_, images) in zip(panels[:, 0], names, kinds, strict=True):
        axes.set(xlim=(0, most), ylim=(1, 0))
        axes.set_axis_off()
        axes.text(-0.1, 0.5, name, ha="right", va="center", fontsize=7)
        for place, image in enumerate(images):
            axes.imshow(
                _pixels(image), extent=(place, place + 1 - _GAP, 1, 0), aspect="auto", interpolation="none"
            )
    headline(figure, title)
    return figure


def save_sheet(figure: Figure, path: Path) -> Path:
    """Write a PNG in all its colours; photographs would suffer from the palette of other figures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png", metadata={"Software": None})
    return path


def _pixels(image: NDArray[np.uint8]) -> NDArray[Any]:
    """Make an RGB picture, (C, H, W) -> (H, W, 3)."""
    return np.moveaxis(np.broadcast_to(image, (3, *image.shape[1:])), 0, -1)
