"""The order of a data set's classes, whether there is enough of each, and some images of each."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .error import DataError

if TYPE_CHECKING:  # the chain of imports is long enough
    from .image_set import ImageSet

__all__ = ["check_train", "few_of_each", "in_order", "numbered"]

FEWEST = 2
"""Training images of a class, fewer than which say nothing of how a class varies."""


def in_order(what: str, found: Collection[str], wanted: Sequence[str] = ()) -> list[str]:
    """Give the names of classes in the order of their numbers.

    Args:
        what: The data for a message.
        found: The names.
        wanted: An order of the user's; without one, numbers come by value and other names as text sorts.

    Raises:
        DataError: ``wanted`` is no order of these names.
    """
    if not wanted:
        numbers = all(re.fullmatch(r"-?\d+", name) for name in found)
        return sorted(found, key=lambda name: (int(name) if numbers else 0, name))
    missing, unknown = sorted(set(found) - set(wanted)), [name for name in wanted if name not in found]
    twice = [name for name, times in Counter(wanted).items() if times > 1]
    for names, problem in ((missing, "lacks"), (unknown, "has the unknown"), (twice, "repeats")):
        if names:
            raise DataError(
                f"expected classes to name every class of {what} once, got an order that {problem} "
                f"'{names[0]}'"
            )
    return list(wanted)


def check_train(what: str, labels: Sequence[int], names: Sequence[str]) -> None:
    """See that a training split has images of every class.

    Raises:
        DataError: It has fewer than two of one.
    """
    counts = Counter(labels)
    for number, name in enumerate(names):
        if counts[number] < FEWEST:
            raise DataError(
                f"expected every class of the train split of {what} to have at least {FEWEST} images, got "
                f"{counts[number]} of class '{name}'"
            )


def few_of_each(images: "ImageSet", count: int, most: int) -> list[tuple[str, NDArray[np.uint8]]]:
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


def numbered(images: "ImageSet") -> list[str]:
    """Give number and name of each class in order; the number alone where that is the name."""
    names = images.class_names or tuple(map(str, range(images.classes)))
    return [name if name == str(number) else f"{number} {name}" for number, name in enumerate(names)]
