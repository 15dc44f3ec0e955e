"""A sheet of example images: clean, adversarial and their difference, with what the classifier says of each."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .figure_style import grid, headline, styled
from .setting import eps_text

__all__ = ["Examples", "examples_figure"]

_PANEL = 0.62, 0.62  # inches

Images = NDArray[np.floating]
Classes = NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Examples:
    """Some images before and after one attack.

    Args:
        attack: The suite's label.
        eps: Of the threat model.
        x, x_adv: Clean and adversarial images in [0, 1], (n, C, H, W) with C 1 or 3.
        label, clean_predicted, predicted: True class, and the classifier's before and after, (n,).
        model: The checkpoint; examples of one model make one sheet.
    """

    attack: str
    eps: float
    x: Images = field(repr=False)
    x_adv: Images = field(repr=False)
    label: Classes = field(repr=False)
    clean_predicted: Classes = field(repr=False)
    predicted: Classes = field(repr=False)
    model: str = ""

    def __post_init__(self) -> None:
        if self.x.ndim != 4 or self.x.shape != self.x_adv.shape or self.x.shape[1] not in (1, 3):
            raise ValueError(f"expected x and x_adv to be (n, C, H, W) with C 1 or 3, got {self.x.shape} and {self.x_adv.shape}")
        for name in ("label", "clean_predicted", "predicted"):
            if (shape := getattr(self, name).shape) != self.x.shape[:1]:
                raise ValueError(f"expected {name} to be one class per image, ({len(self.x)},), got shape {shape}")


@styled
def examples_figure(examples: Sequence[Examples]) -> Figure:
    """Draw a row per image and two columns per attack; a clean column wherever the clean images are not those of the attack before.

    A difference is drawn in a map that diverges from white at 0, its ends at the largest change of the attack; the factor by which that
    amplifies it stands above. Differences of coloured images are means over the channels.

    Args:
        examples: Of one model.
    """
    columns = [column for place, example in enumerate(examples) for column in _columns(example, examples[place - 1] if place else None)]
    rows = max((len(example.x) for example in examples), default=1)
    figure, panels = grid(rows, max(len(columns), 1), _PANEL, head=0.55, left=0.2, right=0.2, foot=0.25, between=(0.12, 0.2))
    for axes in panels.ravel():
        axes.set_axis_off()
    for (example, kind), column in zip(columns, panels.T, strict=False):
        for place, axes in enumerate(column[: len(example.x)]):
            _draw(axes, example, kind, place, first=not place)
    headline(figure, f"{examples[0].model}: true class → predicted class".removeprefix(": ") if examples else "")
    return figure


def _columns(example: Examples, before: Examples | None) -> list[tuple[Examples, str]]:
    kinds = ["adversarial", "difference"]
    if before is None or not np.array_equal(before.x, example.x):
        kinds.insert(0, "clean")
    return [(example, kind) for kind in kinds]


def _draw(axes: Axes, example: Examples, kind: str, place: int, *, first: bool) -> None:
    size = np.abs(example.x_adv - example.x).max(initial=0)
    if kind == "difference":
        change = (example.x_adv[place] - example.x[place]).mean(0)
        limit = size or 1
        axes.imshow(change, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="none")
        title = f"difference\ntimes {1 / limit:.2g}" if size else "difference\nnone"
    else:
        image, predicted = (example.x, example.clean_predicted) if kind == "clean" else (example.x_adv, example.predicted)
        pixels = np.moveaxis(image[place], 0, -1)
        gray = pixels.shape[-1] == 1
        axes.imshow(pixels[..., 0] if gray else pixels, cmap="gray" if gray else None, vmin=0, vmax=1, interpolation="none")
        title = "clean" if kind == "clean" else f"{example.attack}\n{eps_text(example.eps)}"
        note = f"{example.label[place]} → {predicted[place]}"
        axes.text(0.5, -0.04, note, transform=axes.transAxes, ha="center", va="top", fontsize=6.5)
    if first:
        axes.set_title(title, fontsize=6.5, pad=3)
