"""The suites that workers are timed on have as many cells as is said, and the contenders do the same."""

from pathlib import Path

import pytest

from gmbench.benchmark.engine.store import Store
from gmbench.benchmark.perf import made_suites
from gmbench.benchmark.perf.workers import ONE, TWO_THREADS, ask, contend, contents, made_plan, without_cells


def test_five_hundred_cells_are_five_hundred(tmp_path: Path) -> None:
    plan = made_plan(made_suites.HUNDREDS, Store(tmp_path), None)
    assert len(list(plan.cells())) == 501


def test_ten_thousand_cells_are_ten_thousand(tmp_path: Path) -> None:
    plan = made_plan(made_suites.THOUSANDS, Store(tmp_path), None)
    assert len(list(plan.cells())) == 10_005


@pytest.mark.slow
def test_a_run_is_told_and_can_be_made_again_without_its_cells(tmp_path: Path) -> None:
    suite = made_suites.HUNDREDS.split("[[attacks]]")
    short = "[[attacks]]".join(suite[:2]).replace("samples = 250", "samples = 20")
    full = Store(tmp_path / "full")
    told = contend(ONE, full, None, short)
    assert told["failures"] == 0
    assert 0 < told["spent"] <= told["seconds"]
    again = without_cells(full, tmp_path / "again")
    left = set(again.keys())
    assert left < set(full.keys())
    assert contend(TWO_THREADS, again, None, short)["failures"] == 0
    assert set(contents(again)) == set(contents(full))


@pytest.mark.slow
def test_a_contender_of_its_own_tells_the_same(tmp_path: Path) -> None:
    suite = "[[attacks]]".join(made_suites.HUNDREDS.split("[[attacks]]")[:2])
    assert ask(ONE, suite, Store(tmp_path), None)["failures"] == 0
