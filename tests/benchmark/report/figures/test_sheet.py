"""A sheet of a data set shows each class's images beside its name."""

from pathlib import Path

import numpy as np
from PIL import Image

from gmbench.benchmark.report.figures.sheet import save_sheet, sheet_figure

from .drawn import texts


def make(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_a_row_per_class() -> None:
    images = [make(2, 3, 4, 6), make(1, 3, 4, 6), make(0, 3, 4, 6)]
    figure = sheet_figure("own: train", list(zip(("0 cat", "1 [dog]", "2 cow"), images, strict=True)))
    for axes, name, expected in zip(figure.axes, ("0 cat", "1 [dog]", "2 cow"), images, strict=True):
        assert texts(axes) == [name]
        drawn = [np.asarray(one.get_array()) for one in axes.images]
        assert len(drawn) == len(expected)
        assert all(np.array_equal(a, b.transpose(1, 2, 0)) for a, b in zip(drawn, expected, strict=True))


def test_grey_images_are_saved_as_they_are(tmp_path: Path) -> None:
    image = np.kron(np.array([[0, 255]], np.uint8), np.ones((8, 4), np.uint8))[np.newaxis, np.newaxis]
    file = save_sheet(sheet_figure("own", [("a", image)]), tmp_path / "new" / "sheet.png")
    with Image.open(file) as sheet:
        pixels = np.asarray(sheet.convert("L"))
    assert (pixels == 0).sum() > 1000
    again = save_sheet(sheet_figure("own", [("a", image)]), tmp_path / "again.png")
    assert file.read_bytes() == again.read_bytes()
