"""What a dry run prints, for costs that are known."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest

from gmbench.benchmark.cli import dry_run
from gmbench.benchmark.cli.dry_run import show_costs
from gmbench.benchmark.engine.estimate import Cost
from gmbench.benchmark.engine.plan import Plan
from gmbench.benchmark.engine.store import Store

COSTS = [
    Cost("lgm", "clean", 1, 1, 1.0),
    Cost("lgm", "pgd", 3, 1, 60.0),
    Cost("lgm", "fitting", 2, 0, 20.0),
    Cost("lgm", "scoring", 4, 2, 9.0),
    Cost("lgm", "inspection", 1, 0, 30.0),
    Cost("softmax", "pgd", 4, 0, 180.0),
    Cost("softmax", "fitting", 2, 0, 0.0),
    Cost("softmax", "scoring", 4, 0, 0.0),
    Cost("softmax", "inspection", 0, 1, 0.0),
]


def rows(printed: str) -> dict[str, list[str]]:
    """The cells of a table's rows by the first of them."""
    found = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed.splitlines() if "│" in line]
    return {row[0]: row[1:] for row in found}


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setattr(dry_run, "estimate", lambda *_: COSTS)
    return cast(
        "Plan", SimpleNamespace(suite=SimpleNamespace(name="nowhere-v1"), device="cpu", published=None)
    )


def test_costs_are_summed_by_attack_and_by_model(
    plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show_costs(plan, Store(tmp_path))
    printed = capsys.readouterr().out
    found = rows(printed)
    assert found["clean"] == ["1", "1", "1 s"]
    assert found["pgd"] == ["7", "1", "4 min"]
    assert found["scoring"] == ["8", "2", "9 s"]
    assert found["inspection"] == ["1", "1", "30 s"]
    assert found["lgm"] == ["61 s", "20 s", "9 s", "30 s", "2 min"]
    assert found["softmax"] == ["3 min", "0 s", "0 s", "0 s", "3 min"]
    assert printed.splitlines()[-1].startswith("together about 5 min, ")


def test_workers_share_the_time(plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_costs(plan, Store(tmp_path), workers=4)
    assert "together about 75 s by 4 workers, " in capsys.readouterr().out


def test_published_costs_of_the_suite_are_used(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nowhere-v1").mkdir()
    row = {"model": "lgm", "label": "pgd", "norm": "Linf", "eps": 0.1, "access": "white-box", "y": 0}
    frame = pd.DataFrame([{**row, "knows": "", "forwards": 5, "backwards": 4}])
    frame.to_parquet(tmp_path / "nowhere-v1" / "samples.parquet")
    given: list[dict[Any, Any]] = []
    monkeypatch.setattr(dry_run, "OURS", tmp_path)
    monkeypatch.setattr(
        dry_run, "estimate", lambda _plan, _store, published: given.append(published) or COSTS
    )
    show_costs(plan, Store(tmp_path / "store"))
    [published] = given
    assert {attacked.model for attacked in published} == {"lgm", ""}
