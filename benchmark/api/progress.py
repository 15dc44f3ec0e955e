"""How far a run is: counted, timed, and drawn as one bar in terminals and notebooks."""

import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from ..engine.failure import Failure

__all__ = ["Bar", "Pace", "can_show", "duration"]


def can_show(console: Console) -> bool:
    """Tell whether a bar would be seen: by a terminal, or by a notebook that has ipywidgets."""
    if console.is_jupyter:
        return find_spec("ipywidgets") is not None
    return sys.stderr.isatty()


def duration(seconds: float) -> str:
    """Say a time in the unit that leaves about two digits."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


class Pace:
    """Hears how a run goes and counts; the time left follows from the speed of this very run.

    Args:
        clock: Gives the time, in seconds.

    Attributes:
        things: How many are to be finished; 0 where nobody counts them.
        done: How many of them are.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.things = self.done = 0
        self._clock = clock
        self._start = clock()
        self._work = self._worked = 0.0
        self._running: dict[str, None] = {}  # in the order in which they were started
        self._slowest: tuple[str, float] | None = None

    def begin(self, work: float, things: int = 0) -> None:
        """Hear how much work there is, in how many things; the time is counted from here."""
        self._work, self.things = work, things
        self._start = self._clock()

    def doing(self, what: str) -> None:
        """Hear what has been started; where things are not counted, in place of what was done before."""
        if not self.things:
            self._running.clear()
        self._running[what] = None

    def advance(self, work: float) -> None:
        """Hear that so much of the work is done."""
        self._worked += work

    def finished(self, what: str, seconds: float) -> None:
        """Hear that one of the things is done, and remember the one that took longest."""
        self.done += 1
        self._running.pop(what, None)
        if self._slowest is None or seconds > self._slowest[1]:
            self._slowest = what, seconds

    def failed(self, failure: Failure) -> None:
        """Hear what will not be had, and is done no longer."""
        for what in [what for what in self._running if what.startswith(f"{failure.model} / {failure.what}")]:
            del self._running[what]

    @property
    def share(self) -> float:
        """How much of the work is done, in [0, 1]."""
        return min(1.0, self._worked / self._work) if self._work else 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self._clock() - self._start

    @property
    def left(self) -> float | None:
        """Seconds that the rest takes at the speed so far; None before anything is done, and at the end."""
        if not 0 < self.share < 1:
            return None
        return self.elapsed * (1 - self.share) / self.share

    @property
    def counted(self) -> str:
        """How many of the things are done, or of what is not counted, the share."""
        return f"{self.done} of {self.things}" if self.things else f"{self.share:.0%}"

    @property
    def now(self) -> str:
        """What was started last, and how much else is going on."""
        running = list(self._running)
        more = f", and {len(running) - 1} more" if len(running) > 1 else ""
        return f"{running[-1]}{more}" if running else ""

    @property
    def slowest(self) -> str:
        """What took longest so far."""
        return f"slowest: {self._slowest[0]} {duration(self._slowest[1])}" if self._slowest else ""

    @property
    def total(self) -> str:
        """What was done, how long it took, and what took longest."""
        return ", ".join(
            part for part in (f"{self.counted} in {duration(self.elapsed)}", self.slowest) if part
        )

    def __str__(self) -> str:
        left = "" if self.left is None else f"{duration(self.left)} left"
        now = "" if self.done < self.things else self.now  # what nobody counts, or comes after all that is
        return ", ".join(part for part in (self.counted, left, now, self.slowest) if part)


class Bar(Pace):
    """One bar for a whole run, with what is being done below and failures above it; a context.

    Args:
        console: Where to draw; None for standard error, or the notebook.
        show: Whether to draw, if that can be seen.
        clock: Gives the time, in seconds.
    """

    def __init__(
        self,
        console: Console | None = None,
        show: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(clock)
        self._console = console or Console(stderr=True)
        self.shown = show and can_show(self._console)
        self._spinner = Spinner("dots")
        self._live = Live(get_renderable=self.drawn, console=self._console, refresh_per_second=4)

    def failed(self, failure: Failure) -> None:
        """Tell a failure above the bar."""
        super().failed(failure)
        if self.shown:
            self._console.print(Text.assemble(("error: ", "red"), str(failure)))

    def drawn(self) -> Group:
        """Draw how it stands: the bar, and below it what is being done and what took longest."""
        line = Table.grid(padding=(0, 1))
        left = "" if self.left is None else f"{duration(self.left)} left"
        line.add_row(
            self._spinner,
            self.counted,
            ProgressBar(total=1.0, completed=self.share, width=30),
            f"{self.share:4.0%}",
            duration(self.elapsed),
            left,
        )
        below = [Text(f"  {told}", "dim", no_wrap=True) for told in (self.now, self.slowest) if told]
        return Group(line, *below)

    def __enter__(self) -> Self:
        if self.shown:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.shown:
            self._live.stop()
