"""Without a terminal: a line every 30 seconds, failures as they happen, one line at the end."""

from collections.abc import Iterator

import pytest

from gmbench.benchmark.cli.telling.bar import EVERY, Bar
from gmbench.benchmark.engine.failure import Failure


class Clock:
    """Stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_line_every_thirty_seconds_whatever_happens(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()

    def happen() -> Iterator[None]:
        for number in range(37):
            bar.doing(f"lgm / {number}")
            bar.finished(f"lgm / {number}", 34.0)
        bar.advance(48.0)
        yield
        yield  # thirty seconds in which nothing is heard
        bar.failed(Failure("lgm", "99", "out of luck"))
        bar.advance(96.0)
        yield

    def ended(seconds: float) -> bool:
        clock.now += seconds
        return next(events, "end") == "end"

    bar = Bar(clock, ended)
    bar.begin(144.0, 144)
    events = happen()
    with bar:
        bar._lines.join(10)  # this thread stands still; the other one has its turn
    assert capsys.readouterr().err.splitlines() == [
        "37 of 144, 60 s left, slowest: lgm / 0 34 s",
        "37 of 144, 2 min left, slowest: lgm / 0 34 s",
        "error: lgm / 99: out of luck",
        "37 of 144, slowest: lgm / 0 34 s",
        "37 of 144 in 2 min, slowest: lgm / 0 34 s",
    ]
    assert EVERY == 30


def test_a_short_run_says_one_line_and_nothing_to_do_none(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar() as bar:
        bar.begin(0.0, 0)
    assert capsys.readouterr().err == ""
    with Bar() as bar:
        bar.begin(2.0, 1)
        bar.doing("lgm / pgd")
        bar.advance(2.0)
        bar.finished("lgm / pgd", 1.0)
    assert capsys.readouterr().err == "1 of 1 in 0 s, slowest: lgm / pgd 1 s\n"
