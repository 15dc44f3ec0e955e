"""Splits of a set whose makers say what is train and what is test."""

import numpy as np
import torch
from numpy.typing import NDArray

from ..image_set import ImageSet, shuffled_parts

__all__ = ["official_split"]

HELD_OUT = 5_000
"""Images of the official training part that are the validation split."""


def official_split(
    name: str, split: str, x: NDArray[np.uint8], y: NDArray[np.generic], class_names: tuple[str, ...]
) -> ImageSet:
    """Cut a split out of the official part that it belongs to; an id is the index in that part.

    Args:
        name: The data set.
        split: "train" and "validation" share the official training part, "test" is the other one.
        x: All images of the part, (N, C, H, W).
        y: Their classes, (N,).
        class_names: In the order of the classes.
    """
    rows = np.arange(len(x))
    if split != "test":
        validation, train = shuffled_parts(len(x), HELD_OUT)
        rows = train if split == "train" else validation
    return ImageSet.of(
        name,
        split,
        torch.from_numpy(x[rows]),
        torch.from_numpy(y[rows].astype(np.int64)),
        torch.from_numpy(rows),
        len(class_names),
        class_names,
    )
