"""The time left follows from the speed so far, the count from what is finished; a fake clock, no waiting."""

from io import StringIO

import pytest
from rich.console import Console

from gmbench.benchmark.api.progress import Bar, Pace, duration
from gmbench.benchmark.engine.failure import Failure


class Clock:
    """Stands still until it is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock: Clock) -> Pace:
    return Pace(clock)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.2, "0 s"), (34.4, "34 s"), (89.4, "89 s"), (90, "2 min"), (5300, "88 min"), (5400, "1.5 h")],
)
def test_duration(seconds: float, told: str) -> None:
    assert duration(seconds) == told


def test_time_left_is_that_of_the_rest_at_the_speed_so_far(pace: Pace, clock: Clock) -> None:
    clock.now = 150.0  # what was done before it began counts for nothing
    pace.begin(1000.0, 4)
    assert pace.left is None
    clock.now = 160.0
    pace.advance(100.0)
    assert pace.left == pytest.approx(90.0)
    clock.now = 190.0  # nothing is heard: 100 took 40 seconds, as far as anybody knows
    assert pace.left == pytest.approx(360.0)
    pace.advance(300.0)
    assert pace.left == pytest.approx(60.0)
    pace.advance(600.0)
    assert pace.left is None
    assert pace.elapsed == 40.0


def test_time_left_of_a_run_that_slows_down_grows(pace: Pace, clock: Clock) -> None:
    pace.begin(100.0)
    clock.now += 10
    pace.advance(50.0)
    assert pace.left == pytest.approx(10.0)
    clock.now += 70
    pace.advance(30.0)
    assert pace.left == pytest.approx(20.0)


def test_line_says_count_time_left_and_the_slowest(pace: Pace, clock: Clock) -> None:
    pace.begin(144.0, 144)
    for number in range(37):
        pace.doing(f"cell {number}")
        clock.now += 1
        pace.advance(1.0)
        pace.finished(f"cell {number}", 34.0 if number == 5 else 1.0)
    assert str(pace) == "37 of 144, 2 min left, slowest: cell 5 34 s"
    assert pace.total == "37 of 144 in 37 s, slowest: cell 5 34 s"


def test_several_things_at_once_are_told_by_the_last_and_a_count(pace: Pace) -> None:
    pace.begin(3.0, 3)
    assert pace.now == ""
    for what in ("a / fgsm", "a / pgd", "b / fgsm"):
        pace.doing(what)
    pace.doing("a / pgd")  # another part of the same cell
    assert pace.now == "b / fgsm, and 2 more"
    pace.finished("b / fgsm", 1.0)
    assert pace.now == "a / pgd, and 1 more"
    pace.failed(Failure("a", "pgd", "out of luck"))
    assert pace.now == "a / fgsm"
    assert pace.counted == "1 of 3"  # what failed is not done


def test_what_nobody_counts_is_told_by_its_share_and_its_last_step(pace: Pace) -> None:
    pace.begin(200.0)
    pace.doing("epoch 1")
    pace.doing("epoch 2")
    pace.advance(50.0)
    assert str(pace) == "25%, 0 s left, epoch 2"


def test_what_comes_after_all_that_is_counted_is_told(pace: Pace) -> None:
    pace.begin(1.0, 1)
    pace.advance(1.0)
    pace.finished("a / fgsm", 2.0)
    pace.doing("writing tables and figures")
    assert str(pace) == "1 of 1, writing tables and figures, slowest: a / fgsm 2 s"


def test_bar_is_drawn_with_everything_in_it(clock: Clock) -> None:
    console = Console(file=StringIO(), width=100)
    bar = Bar(console, clock=clock)
    bar.begin(4.0, 4)
    clock.now += 60
    bar.advance(1.0)
    bar.finished("lgm / cw (L2)", 34.0)
    bar.doing("lgm / pgd")
    with console.capture() as captured:
        console.print(bar.drawn())
    line, now, slowest = captured.get().splitlines()
    for part in ("1 of 4", " 25%", "60 s", "3 min left"):
        assert part in line
    assert (now.strip(), slowest.strip()) == ("lgm / pgd", "slowest: lgm / cw (L2) 34 s")


def test_failure_stands_above_the_bar_where_one_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gmbench.benchmark.api.progress.can_show", lambda _: True)
    for show, told in ((True, ["error: lgm / pgd: out of luck"]), (False, [])):
        console = Console(file=StringIO(), width=100)
        bar = Bar(console, show)
        bar.failed(Failure("lgm", "pgd", "out of luck"))
        assert console.file.getvalue().splitlines() == told  # type: ignore[attr-defined]
