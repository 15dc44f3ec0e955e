"""A run tells its listener of all that it does, and of every failure when it happens."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from gmbench.attacks import ThreatModel, Victim
from gmbench.attacks.fgsm import FGSM
from gmbench.benchmark.engine.failure import Failure
from gmbench.benchmark.engine.plan import Plan, make_plan
from gmbench.benchmark.engine.run import run_plan
from gmbench.benchmark.engine.store import Store
from gmbench.benchmark.engine.suite import load_suite
from gmbench.benchmark.engine.work.crews import in_process

SUITE = """
name = "told-v1"
data = "digits"
samples = 20
models = ["digits-softmax-s0"]
detectors = ["msp"]

[[attacks]]
label = "fgsm"
attack = "fgsm"
eps = [0.1, 0.3]
"""


@dataclass
class Heard:
    """Remembers what it is told."""

    begun: list[tuple[float, int]] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    work: float = 0.0
    done: dict[str, float] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def begin(self, work: float, things: int = 0) -> None:
        self.begun.append((work, things))

    def doing(self, what: str) -> None:
        self.started.append(what)

    def advance(self, work: float) -> None:
        self.work += work

    def finished(self, what: str, seconds: float) -> None:
        assert what not in self.done
        self.done[what] = seconds

    def failed(self, failure: Failure) -> None:
        self.failures.append(failure)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "told.toml").write_text(SUITE, encoding="utf-8")
    return make_plan(load_suite(str(tmp_path / "told.toml")))


def test_everything_that_was_started_is_finished_once(plan: Plan, tmp_path: Path) -> None:
    heard, store = Heard(), Store(tmp_path / "store")
    with in_process(plan) as crew:
        run_plan(plan, store, crew, heard)
    [(work, things)] = heard.begun
    assert heard.work == pytest.approx(work)
    assert work > 100 * 1000  # an inspection takes a hundred images through a thousand steps
    assert things == len(heard.done)
    assert set(heard.done) == set(heard.started)
    assert {str(cell) for cell in plan.cells()} < set(heard.done)
    assert min(heard.done.values()) > 0
    again = Heard()
    with in_process(plan) as crew:
        run_plan(plan, store, crew, again)
    assert again == Heard(begun=[(0, 0)])


def test_a_failure_is_told_when_it_happens(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(
        attack: FGSM, victim: Victim, x: Tensor, y: Tensor, threat: ThreatModel, **how: Any
    ) -> Tensor:
        if threat.eps == 0.1:
            raise RuntimeError("out of luck")
        return original(attack, victim, x, y, threat, **how)

    original = FGSM.__call__
    monkeypatch.setattr(FGSM, "__call__", failing)
    heard = Heard()
    with in_process(plan) as crew:
        summary = run_plan(plan, Store(tmp_path / "store"), crew, heard)
    assert summary.failures == tuple(heard.failures)
    assert [failure.why for failure in heard.failures] == ["RuntimeError: out of luck"]
    [told] = {what for what in heard.started if what not in heard.done}
    assert told == f"{heard.failures[0].model} / {heard.failures[0].what}"
