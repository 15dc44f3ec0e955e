"""What performs pieces: this process, or workers that Dask looks after."""

from collections.abc import Callable
from typing import Protocol

from .piece import Done, Piece, Supply

__all__ = ["Crew", "CrewError"]


class CrewError(RuntimeError):
    """There is nobody, or nobody any more, who performs pieces; one line that says why and what to do."""


class Crew(Protocol):
    """Performs pieces, several at once perhaps, in the order of its choice."""

    @property
    def room(self) -> int:
        """How many more pieces it takes now; one at least where it holds none."""

    def submit(self, piece: Piece, supply: Supply) -> None:
        """Hand it a piece.

        Args:
            piece: What to do.
            supply: Gives the entries that the piece needs.
        """

    def finished(self, report: Callable[[float], None]) -> tuple[Piece, Done]:
        """Wait for the next piece that is done, well or badly.

        Args:
            report: Told how much of the work is done while it waits, in forward passes of one image; no more
                than all of the pieces that come back.

        Raises:
            CrewError: There is nobody any more.
        """
