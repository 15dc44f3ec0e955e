"""The command line's bar on standard error; where there is no terminal, a line every 30 seconds."""

import time
from collections.abc import Callable
from threading import Event, Thread
from types import TracebackType
from typing import Self

from ...api.progress import Bar as DrawnBar
from ...engine.failure import Failure
from ..console import errors, fail

__all__ = ["EVERY", "Bar"]

EVERY = 30.0
"""Seconds from one line to the next."""


class Bar(DrawnBar):
    """Tells how work goes, and failures as they happen; a context.

    Args:
        clock: Gives the time, in seconds.
        ended: Waits so many seconds for the end, and tells whether it has come; None for really waiting.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, ended: Callable[[float], bool] | None = None
    ) -> None:
        super().__init__(errors, clock=clock)
        self._end = Event()
        self._ended = ended or self._end.wait
        self._lines = Thread(target=self._say_lines, name="progress", daemon=True)

    def failed(self, failure: Failure) -> None:
        """Tell a failure, above the bar where one is drawn."""
        super().failed(failure)
        if not self.shown:
            fail(failure)

    def _say_lines(self) -> None:
        """Say a line each time, whether anything has happened or not."""
        while not self._ended(EVERY):
            errors.print(str(self))

    def __enter__(self) -> Self:
        super().__enter__()
        if not self.shown:
            self._lines.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if self.shown:
            return
        self._end.set()
        self._lines.join()
        if self.share:
            errors.print(self.total)
