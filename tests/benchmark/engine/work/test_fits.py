"""Detectors are fitted once for each model, whoever needs them and however often a suite is run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gmbench.benchmark.engine.entry import key_of
from gmbench.benchmark.engine.plan import Plan, make_plan
from gmbench.benchmark.engine.run import Summary, run_plan
from gmbench.benchmark.engine.scoring import fit_description
from gmbench.benchmark.engine.store import Store
from gmbench.benchmark.engine.suite import load_suite
from gmbench.benchmark.engine.work.crews import in_process
from gmbench.detectors.detector import Detector

SUITE = """
name = "fitted-v1"
data = "digits"
samples = 20
models = ["digits-softmax-s0"]
detectors = [{detectors}]

[[attacks]]
label = "fgsm"
attack = "fgsm"
eps = [{eps}]

[[attacks]]
label = "evasion"
attack = "evasion"
options = {{ steps = 2 }}
eps = [0.1]
knows = "kde"
"""

Run = Callable[..., tuple[Plan, Summary]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Name the detectors that were fitted, in their order."""
    names: list[str] = []
    original = Detector.fit
    monkeypatch.setattr(
        Detector, "fit", lambda self, *given: names.append(type(self).__name__) or original(self, *given)
    )
    return names


@pytest.fixture
def run(tmp_path: Path, store: Store) -> Run:
    def run(detectors: str = '"msp", "kde"', eps: str = "0.1") -> tuple[Plan, Summary]:
        path = tmp_path / "fitted.toml"
        path.write_text(SUITE.format(detectors=detectors, eps=eps), encoding="utf-8")
        plan = make_plan(load_suite(str(path)), store=store)
        with in_process(plan) as crew:
            return plan, run_plan(plan, store, crew)

    return run


def fits(plan: Plan) -> list[dict[str, object]]:
    [job] = plan.jobs
    return [
        fit_description(job.entrant, name, detector, plan.data["train"], plan.device)
        for name, detector in job.detectors.items()
    ]


def test_a_fit_serves_inspection_attack_and_scores_and_every_later_run(
    run: Run, store: Store, fitted: list[str]
) -> None:
    plan, summary = run()
    assert summary.failures == ()
    assert sorted(fitted) == ["KDE", "MSP"]
    assert all(store.sound(one) for one in fits(plan))
    fitted.clear()
    run(eps="0.1, 0.2")
    assert fitted == []
    run(detectors='"msp", "kde", "energy"')
    assert fitted == ["Energy"]
    fitted.clear()
    run()
    assert fitted == []


def test_a_damaged_fit_is_made_again(run: Run, store: Store, fitted: list[str]) -> None:
    plan, _ = run()
    path = store.path(key_of(fits(plan)[1])) / "tensors.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    fitted.clear()
    plan, summary = run(eps="0.2")
    assert summary.failures == ()
    assert fitted == ["KDE"]
    assert all(store.sound(one) for one in fits(plan))


def test_a_detector_that_cannot_be_fitted_is_told_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no fit today")

    monkeypatch.setattr("gmbench.detectors.kde.KDE.learn", broken)
    _, summary = run()
    told = [(one.what, one.why) for one in summary.failures]
    assert ("detector kde", "RuntimeError: no fit today") in told
    assert len(told) == 2  # and the attack that knows it
    assert "no fit today" in told[1][1] or "no fit today" in told[0][1]
