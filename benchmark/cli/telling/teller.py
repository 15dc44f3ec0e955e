"""Who says how a run goes and how it ended: aloud, as JSON lines, or only what fails."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import typer

from ...api.progress import Pace
from ...engine.failure import Failure
from ...engine.progress import Listener, Silent
from ...engine.run import Summary
from ..console import console, errors, fail
from .bar import Bar

__all__ = ["Aloud", "Events", "Quiet", "Teller", "teller_for", "where"]


class Teller(Listener, Protocol):
    """Says how a run goes; a context while it runs."""

    def note(self, message: str) -> None:
        """Say what one should know before it begins."""

    def end(self, summary: Summary, kept: Path, folder: Path | None, told: str) -> None:
        """Say what was done.

        Args:
            summary: Of the run; its failures have been told.
            kept: The store's folder.
            folder: Of the results, or None where there are none.
            told: How they compare with what was there, or "".
        """

    def stopped(self, finished: int, cells: int, kept: Path) -> None:
        """Say that it was interrupted, what is left, and how it goes on.

        Args:
            finished: Cells that are.
            cells: All of them.
            kept: The store's folder.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Aloud(Bar):
    """Speaks to people: progress and failures on standard error, what was done on standard output."""

    def note(self, message: str) -> None:
        console.print(message)

    def end(self, summary: Summary, kept: Path, folder: Path | None, told: str) -> None:
        console.print(
            f"{summary.made} cells computed, {summary.found} from the store at {kept}, "
            f"{len(summary.failures)} failures"
        )
        if folder:
            console.print(where(folder))
        if told:
            console.print(told)

    def stopped(self, finished: int, cells: int, kept: Path) -> None:
        console.print(_stopped(finished, cells, kept))


class Quiet(Silent):
    """Says what fails, and nothing else."""

    def failed(self, failure: Failure) -> None:
        fail(failure)

    def note(self, message: str) -> None: ...

    def end(self, summary: Summary, kept: Path, folder: Path | None, told: str) -> None: ...

    def stopped(self, finished: int, cells: int, kept: Path) -> None:
        errors.print(_stopped(finished, cells, kept))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Events(Pace):
    """Speaks to programs: one JSON object a line on standard output, notes on standard error.

    Args:
        clock: Gives the time, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(clock)

    def begin(self, work: float, things: int = 0) -> None:
        super().begin(work, things)
        _say("begin", work=work, things=things)

    def finished(self, what: str, seconds: float) -> None:
        super().finished(what, seconds)
        left = None if self.left is None else round(self.left, 1)
        _say(
            "finished",
            what=what,
            seconds=round(seconds, 3),
            done=self.done,
            things=self.things,
            seconds_left=left,
        )

    def failed(self, failure: Failure) -> None:
        super().failed(failure)
        _say("failed", model=failure.model, what=failure.what, why=failure.why)

    def note(self, message: str) -> None:
        errors.print(message)

    def end(self, summary: Summary, kept: Path, folder: Path | None, told: str) -> None:
        _say(
            "end",
            folder=str(folder) if folder else None,
            store=str(kept),
            made=summary.made,
            found=summary.found,
            failures=len(summary.failures),
            compared=told or None,
        )

    def stopped(self, finished: int, cells: int, kept: Path) -> None:
        _say("interrupted", finished=finished, cells=cells, store=str(kept))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def teller_for(*, quiet: bool, as_json: bool) -> Teller:
    """Choose who speaks.

    Raises:
        ValueError: Both were asked for.
    """
    if quiet and as_json:
        raise ValueError("expected --quiet or --json, got both")
    if as_json:
        return Events()
    return Quiet() if quiet else Aloud()


def where(folder: Path) -> str:
    """Say where the results are."""
    return f"results: {folder}/README.md and {folder}/leaderboard.csv"


def _say(event: str, **told: Any) -> None:
    typer.echo(json.dumps({"event": event, **told}, allow_nan=False))


def _stopped(finished: int, cells: int, kept: Path) -> str:
    return (
        f"interrupted: {finished} of {cells} cells are finished and kept in {kept}, {cells - finished} are "
        "left; the same command goes on from there"
    )
