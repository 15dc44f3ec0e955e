"""No check flags an honest net: twenty that are trained here, whose answers are known to be their own."""

import pytest

from gmbench.benchmark.data.datasets import load_data
from gmbench.benchmark.engine.defense import Entrant
from gmbench.benchmark.engine.inspection.finding import State, findings_of
from gmbench.benchmark.engine.inspection.inspect import inspect
from gmbench.benchmark.engine.plan import plan_suite
from gmbench.benchmark.engine.scoring import Fitting

from .honest import NETS, train

QUICK = ("linear",)  # the others take ten seconds and more: make frauds runs them
SPLITS = {split: load_data("digits", split) for split in ("train", "validation", "test")}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in NETS]
)
def test_nothing_is_flagged(name):
    entrant = Entrant(name, name, 0, name, train(name))
    asked = {"models": ["digits-softmax-s0"], "detectors": ["msp", "energy", "gaussian", "kde"]}
    plan, _ = plan_suite("digits-v2", **asked, samples=200, defenses=[entrant], device="cpu")
    job = plan.jobs[-1]
    fitting = Fitting(job.entrant, job.detectors, SPLITS["train"])
    for check, found in findings_of(inspect(job, SPLITS, fitting).table):
        assert found.state in (State.PASSED, State.NOT_APPLICABLE), (check, found)
        assert not found.p < 0.02, (check, found)


def test_there_are_twenty_and_no_two_alike():
    assert len(NETS) == 20
    assert (
        len(
            {
                str((net.loss, net.steps, net.adversarial, net.noise, net.net(), net.head()))
                for net in NETS.values()
            }
        )
        == 20
    )
