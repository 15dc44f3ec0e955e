"""A sheet of example images: clean, adversarial and their difference.

With what the classifier says of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ...analysis.wording import eps_text
from .style import grid, headline, styled

__all__ = ["Examples", "examples_figure"]

_IMAGE = 0.62  # inches
_GAP = 1  # pixels between two images
Images = NDArray[np.floating]
Classes = NDArray[np.integer]
Colors = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Examples:
    """Some images before and after one attack.

    Args:
        label: The suite's, of the attack.
        eps: Of the threat model.
        x, x_adv: Clean and adversarial images in [0, 1], (n, C, H, W) with C 1 or 3.
        y, clean_predicted, predicted: True class, and the classifier's before and after, (n,).
        model: The checkpoint; examples of one model make one sheet.
    """

    label: str
    eps: float
    x: Images = field(repr=False)
    x_adv: Images = field(repr=False)
    y: Classes = field(repr=False)
    clean_predicted: Classes = field(repr=False)
    predicted: Classes = field(repr=False)
    model: str = ""

    def __post_init__(self) -> None:
        if self.x.ndim != 4 or self.x.shape != self.x_adv.shape or self.x.shape[1] not in (1, 3):
            raise ValueError(
                f"expected x and x_adv to be (n, C, H, W) with C 1 or 3, got {self.x.shape} and "
                f"{self.x_adv.shape}"
            )
        for name in ("y", "clean_predicted", "predicted"):
            if (shape := getattr(self, name).shape) != self.x.shape[:1]:
                raise ValueError(
                    f"expected {name} to be one class per image, ({len(self.x)},), got shape {shape}"
                )


@styled
def examples_figure(examples: Sequence[Examples]) -> Figure:
    """Draw a row per attack, two columns per image: adversarial and the difference.

    Above them a row wherever the clean images change.

    A difference is drawn in a map that diverges from white at 0, its ends at the largest change of the
    attack; the factor by which that amplifies it stands beside the row. Differences of coloured images are
    means over the channels.

    Args:
        examples: Of one model.
    """
    rows = [
        row
        for place, example in enumerate(examples)
        for row in _rows(example, examples[place - 1] if place else None)
    ]
    images = max((len(example.x) for example in examples), default=1)
    size = 2 * images * _IMAGE, _IMAGE
    figure, panels = grid(
        max(len(rows), 1), 1, size, left=1.1, right=0.1, head=0.35, foot=0.2, between=(0, 0.15)
    )
    for axes in panels[:, 0]:
        axes.set(xlim=(0, 2 * images), ylim=(1, 0))
        axes.set_axis_off()
    for axes, row in zip(panels[:, 0], rows, strict=False):
        _draw(axes, *row)
    headline(
        figure, f"{examples[0].model}: true class → predicted class".removeprefix(": ") if examples else ""
    )
    return figure


# what stands beside it, images, differences, what stands below each image
Row = tuple[str, Colors, Colors | None, list[str]]


def _rows(example: Examples, before: Examples | None) -> list[Row]:
    """Make the row of an attack, after that of its clean images.

    Where they are not those of the attack before.
    """
    change = (example.x_adv - example.x).mean(1)
    size = np.abs(example.x_adv - example.x).max(initial=0)
    told = f"difference times {1 / size:.2g}" if size else "no difference"
    shown = colormaps["RdBu_r"](Normalize(-(size or 1), size or 1)(change))[..., :3]
    beside = f"{example.label}\n{eps_text(example.eps)}\n{told}"
    rows: list[Row] = [(beside, _colors(example.x_adv), shown, _notes(example.y, example.predicted))]
    if before is None or not np.array_equal(before.x, example.x):
        rows.insert(0, ("clean", _colors(example.x), None, _notes(example.y, example.clean_predicted)))
    return rows


def _colors(images: Images) -> Colors:
    """Make RGB images, (n, C, H, W) -> (n, H, W, 3)."""
    return np.moveaxis(np.broadcast_to(images, (len(images), 3, *images.shape[2:])), 1, -1)


def _notes(y: Classes, predicted: Classes) -> list[str]:
    return [f"{true} → {other}" for true, other in zip(y, predicted, strict=True)]


def _draw(axes: Axes, label: str, images: Colors, differences: Colors | None, notes: Sequence[str]) -> None:
    """Draw a row as one picture: a picture each would be most of the file."""
    parts = [images, np.ones_like(images) if differences is None else differences]
    framed = np.pad(np.stack(parts, axis=1), ((0, 0), (0, 0), (0, 0), (0, _GAP), (0, 0)), constant_values=1)
    height = framed.shape[2]
    strip = framed.reshape(-1, *framed.shape[2:]).swapaxes(0, 1).reshape(height, -1, 3)
    pixels = np.uint8(255 * strip.clip(0, 1) + 0.5)
    axes.imshow(pixels, extent=(0, 2 * len(images), 1, 0), aspect="auto", interpolation="none")
    axes.text(-0.1, 0.5, label, ha="right", va="center", fontsize=6.5)
    for place, note in enumerate(notes):
        axes.text(2 * place + 0.48, 1.02, note, ha="center", va="top", fontsize=6.5)
