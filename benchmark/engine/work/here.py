"""The crew that is this process: one piece after the other, with one torch thread."""

from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

import torch

from .piece import Done, Piece, Supply

__all__ = ["Here"]

Perform = Callable[[Piece, Supply, Callable[[float], None]], Done]


class Here:
    """Performs pieces in this process; a context, in which torch has one thread.

    Another number of threads rounds otherwise: with one, results are those of every worker.

    Args:
        perform: Does it.
    """

    def __init__(self, perform: Perform) -> None:
        self._perform = perform
        self._waiting: deque[tuple[Piece, Supply]] = deque()

    @property
    def room(self) -> int:
        return 1 - len(self._waiting)

    def submit(self, piece: Piece, supply: Supply) -> None:
        self._waiting.append((piece, supply))

    def finished(self, report: Callable[[float], None]) -> tuple[Piece, Done]:
        piece, supply = self._waiting.popleft()
        return piece, self._perform(piece, supply, report)

    def __str__(self) -> str:
        return "in this process, one torch thread"

    def __enter__(self) -> Self:
        self._threads = torch.get_num_threads()
        torch.set_num_threads(1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        torch.set_num_threads(self._threads)
