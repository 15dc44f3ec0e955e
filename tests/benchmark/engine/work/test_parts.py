"""A long cell is made in parts and joined, whoever else makes it at the same time."""

from pathlib import Path

import pytest

from gmbench.benchmark.engine.entry import Entry, key_of
from gmbench.benchmark.engine.plan import Plan, make_plan
from gmbench.benchmark.engine.run import Summary, run_plan
from gmbench.benchmark.engine.store import Store
from gmbench.benchmark.engine.suite import load_suite
from gmbench.benchmark.engine.work.crews import in_process
from gmbench.benchmark.engine.work.piece import part_description, parts_of

SUITE = """
name = "parts-v1"
data = "digits"
samples = 20
batch = 10
models = ["digits-softmax-s0"]
detectors = ["msp"]

[[attacks]]
label = "fgsm"
attack = "fgsm"
eps = [0.1]
"""


class Shared(Store):
    """A store in which another run joins a cell's parts just before this one does."""

    def __init__(self, root: Path, done: Store, plan: Plan) -> None:
        super().__init__(root)
        self.done = done
        self.parts = {
            key_of(part_description(cell, rows)): cell for cell in plan.cells() for rows in parts_of(cell)
        }
        self.joined = 0

    def read_key(self, key: str) -> Entry:
        cell = self.parts.get(key)
        if cell is not None:
            self.joined += 1
            whole = key_of(cell.description)
            self.write_packed(self.done.read_packed(whole), whole)
            for rows in parts_of(cell):
                self.remove(key_of(part_description(cell, rows)))
        return super().read_key(key)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "parts.toml").write_text(SUITE, encoding="utf-8")
    return make_plan(load_suite(str(tmp_path / "parts.toml")))


def run(plan: Plan, store: Store) -> Summary:
    with in_process(plan) as crew:
        return run_plan(plan, store, crew)


def test_parts_that_another_run_has_joined_meanwhile_are_no_loss(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = Store(tmp_path / "done")
    assert run(plan, done).failures == ()
    monkeypatch.setattr("gmbench.benchmark.engine.work.piece.PART", 1)
    store = Shared(tmp_path / "store", done, plan)
    assert run(plan, store).failures == ()
    assert store.joined
    assert store.keys() == done.keys()
    for cell in plan.cells():
        key = key_of(cell.description)
        assert store.read_packed(key).files == done.read_packed(key).files
