"""What people are shown of a data set's classes: their names in order, and some images of each."""

import numpy as np
from numpy.typing import NDArray

from .image_set import ImageSet

__all__ = ["few_of_each", "numbered"]


def few_of_each(images: ImageSet, count: int, most: int) -> list[tuple[str, NDArray[np.uint8]]]:
    """Take the first images of each class.

    Args:
        images: A split.
        count: Images of a class.
        most: Classes, the first so many.

    Returns:
        Of each class number and name, and its images, (at most ``count``, C, H, W).
    """
    return [
        (name, images.x[(images.y == number).nonzero()[:count, 0]].numpy())
        for number, name in list(enumerate(numbered(images)))[:most]
    ]


def numbered(images: ImageSet) -> list[str]:
    """Give number and name of each class in order; the number alone where that is the name."""
    names = images.class_names or tuple(map(str, range(images.classes)))
    return [name if name == str(number) else f"{number} {name}" for number, name in enumerate(names)]
