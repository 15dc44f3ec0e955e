"""How the command line speaks: one console, progress bars with the time left, errors in one line."""

import sys
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
from rich.text import Text

__all__ = ["Bar", "console", "fail"]

# No markup: messages hold brackets of their own, "gmbench[torchattacks]".
console = Console(highlight=False, markup=False, soft_wrap=True)

errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def fail(message: object) -> None:
    """Print one line on standard error."""
    errors.print(Text.assemble(("error: ", "red"), " ".join(str(message).split())))


class Bar:
    """A progress bar that hears how a run goes.

    Without a terminal it prints one line per piece of work instead.
    """

    def __init__(self) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=errors,
            transient=False,
        )
        self._task = self._progress.add_task("", total=None)

    def begin(self, work: float) -> None:
        """Hear how much work there is."""
        self._progress.update(self._task, total=max(work, 1e-9))

    def doing(self, what: str) -> None:
        """Hear what is done now."""
        if sys.stderr.isatty():
            self._progress.update(self._task, description=what)
        else:
            errors.print(what)

    def advance(self, work: float) -> None:
        """Hear that so much of the work is done."""
        self._progress.advance(self._task, work)

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if sys.stderr.isatty():
            self._progress.stop()
