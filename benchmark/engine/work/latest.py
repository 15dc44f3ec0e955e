"""Keeps the last few things that were asked for, where all of them would be too much memory."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Latest"]

T = TypeVar("T")


class Latest(Generic[T]):
    """Things by key, of which those that were asked for last are kept.

    Args:
        most: How many.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._things: OrderedDict[object, T] = OrderedDict()

    def get(self, key: object, make: Callable[[], T]) -> T:
        """Give what is kept under the key, or make it, and drop what was asked for longest ago."""
        if key not in self._things:
            self._things[key] = make()
        self._things.move_to_end(key)
        while len(self._things) > self._most:
            self._things.popitem(last=False)
        return self._things[key]

    def clear(self) -> None:
        """Keep nothing any more."""
        self._things.clear()
