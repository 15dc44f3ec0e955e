"""A progress bar with the time left, for terminals and notebooks; nothing where there is neither."""

import sys
from importlib.util import find_spec
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ..engine.failure import Failure

__all__ = ["Bar", "can_show"]


def can_show(console: Console) -> bool:
    """Tell whether a bar would be seen: by a terminal, or by a notebook that has ipywidgets."""
    if console.is_jupyter:
        return find_spec("ipywidgets") is not None
    return sys.stderr.isatty()


class Bar:
    """A progress bar that hears how a run goes; a context.

    Args:
        console: Where to draw; None for standard error, or the notebook.
        show: Whether to draw, if that can be seen.
    """

    def __init__(self, console: Console | None = None, show: bool = True) -> None:
        console = console or Console(stderr=True)
        self.shown = show and can_show(console)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=False,
        )
        self._task = self._progress.add_task("", total=None)
        self._things = self._done = 0

    def begin(self, work: float, things: int = 0) -> None:
        """Hear how much work there is, in how many things."""
        self._things = things
        self._progress.update(self._task, total=max(work, 1e-9))

    def doing(self, what: str) -> None:
        """Hear what is done now."""
        self._progress.update(self._task, description=what)

    def advance(self, work: float) -> None:
        """Hear that so much of the work is done."""
        self._progress.advance(self._task, work)

    def finished(self, what: str, seconds: float) -> None:
        """Hear that one of the things is done."""
        self._done += 1
        if self._things:
            self._progress.update(self._task, description=f"{self._done} of {self._things}")

    def failed(self, failure: Failure) -> None:
        """Hear what will not be had; who started the run tells it at the end."""

    def __enter__(self) -> Self:
        if self.shown:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.shown:
            self._progress.stop()
