"""Who is told how a run goes, and what is said."""

from typing import Protocol

from .failure import Failure

__all__ = ["Listener", "Silent"]


class Listener(Protocol):
    """Hears how a run goes; several things may be going on at once."""

    def begin(self, work: float, things: int = 0) -> None:
        """Hear how much there is to do.

        Args:
            work: All of it, in forward passes of one image.
            things: How many cells, fits and the like are to be finished; 0 where nobody counts them.
        """

    def doing(self, what: str) -> None:
        """Hear what has been started."""

    def advance(self, work: float) -> None:
        """Hear that so much of the work is done."""

    def finished(self, what: str, seconds: float) -> None:
        """Hear that one of the things is done and kept.

        Args:
            what: As it was called when it was started.
            seconds: That were spent on it, by however many workers.
        """

    def failed(self, failure: Failure) -> None:
        """Hear what will not be had, as soon as that is known."""


class Silent:
    """Tells nobody."""

    def begin(self, work: float, things: int = 0) -> None: ...

    def doing(self, what: str) -> None: ...

    def advance(self, work: float) -> None: ...

    def finished(self, what: str, seconds: float) -> None: ...

    def failed(self, failure: Failure) -> None: ...
