"""The order of a data set's classes, and whether there is enough of each."""

import re
from collections import Counter
from collections.abc import Collection, Sequence

from .error import DataError

__all__ = ["check_train", "in_order"]

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
