"""An inspection as an entry: what decides it, what it holds, what a check that raises does to the others."""

from dataclasses import replace

import pandas as pd
import pytest
from torch import Tensor, nn

from gmbench.benchmark.data.datasets import load_data
from gmbench.benchmark.engine.entry import key_of
from gmbench.benchmark.engine.inspection import strength
from gmbench.benchmark.engine.inspection.finding import Finding, State, findings_of, table_of
from gmbench.benchmark.engine.inspection.inspect import (
    DETECTOR_CHECKS,
    MODEL_CHECKS,
    inspect,
    inspection_description,
    middle_threats,
)
from gmbench.benchmark.engine.plan import plan_suite
from gmbench.benchmark.engine.scoring import Fitting
from gmbench.models import Classifier, load_checkpoint

SPLITS = {split: load_data("digits", split) for split in ("train", "validation", "test")}


def job(**asked):
    plan, _ = plan_suite("digits-v2", models=["digits-lgm-s0"], device="cpu", **{"samples": 40, **asked})
    return plan.jobs[0]


def fitting(asked):
    return Fitting(asked.entrant, asked.detectors, SPLITS["train"])


def test_what_decides_it_is_in_its_description():
    told = [
        job(),
        job(samples=50),
        job(detectors=["kde"]),
        job(attacks=["fgsm"]),
    ]
    keys = [key_of(inspection_description(one, SPLITS)) for one in told]
    assert len(set(keys[:3])) == 3
    assert keys[0] == keys[3], "fgsm is run at the same sizes"
    assert keys[0] == key_of(inspection_description(job(), SPLITS))


def test_the_middle_size_of_each_norm_is_looked_at():
    assert [(threat.norm, threat.eps) for threat in middle_threats(job().cells)] == [
        ("Linf", 26 / 255),
        ("Linf", 13 / 255),
    ]
    assert middle_threats([cell for cell in job().cells if cell.attack == "cw"]) == ()


def test_all_is_asked_and_comes_back_from_the_table(monkeypatch):
    monkeypatch.setattr(strength, "STRONGER", strength.STRONGER[:1])
    asked = job(detectors=["msp", "kde"])
    entry = inspect(asked, SPLITS, fitting(asked))
    found = list(findings_of(entry.table))
    assert {name for name, _ in found} == {*MODEL_CHECKS, *DETECTOR_CHECKS}
    assert {one.detector for name, one in found if name in DETECTOR_CHECKS} == {"msp", "kde"}
    assert all(one.detector == "" for name, one in found if name in MODEL_CHECKS)
    assert {one.state for _, one in found} <= {State.PASSED, State.NOT_APPLICABLE}
    again = table_of(found)
    pd.testing.assert_frame_equal(again, entry.table)
    assert entry.description == inspection_description(asked, SPLITS)


def test_ids_and_probabilities_survive_a_csv(tmp_path):
    found = [
        ("stronger-attack", Finding(State.PASSED, "told", norm="Linf", eps=0.1, met=(3, 5), fooled=(5,))),
        ("leaked-answers", Finding(State.PASSED, "told, too", p=0.25)),
        ("detector-grid", Finding(State.NOT_RUN, "", "kde")),
        ("stronger-attack", Finding(State.PASSED, "told", norm="L2", eps=0.5, met=(7,))),
    ]
    table_of(found).to_csv(tmp_path / "found.csv", index=False)
    back = list(findings_of(pd.read_csv(tmp_path / "found.csv")))
    assert list(map(str, back)) == list(map(str, found))


def test_a_check_that_raises_has_not_run_and_stops_no_other(monkeypatch):
    class Moody(nn.Module):
        """Fails on images of nothing but black."""

        def forward(self, x: Tensor) -> Tensor:
            if (x.flatten(1).amax(1) == 0).any():
                raise RuntimeError("no black images,\nplease")
            return x.flatten(1)

    softmax = load_checkpoint("digits-softmax-s0")[0]
    asked = job(detectors=["msp"], attacks=["cw"])
    monkeypatch.setattr(
        asked.entrant.classifier,
        "outputs",
        Classifier(nn.Sequential(Moody(), nn.Unflatten(1, (1, 8, 8)), softmax.net), softmax.head)
        .eval()
        .outputs,
    )
    states = dict(findings_of(inspect(asked, SPLITS, fitting(asked)).table))
    assert states["finite-logits"].state == State.NOT_RUN
    assert states["finite-logits"].detail == "RuntimeError: no black images, please"
    assert states["unbounded-attack"].state == State.PASSED


def test_a_job_without_cells_has_none():
    empty = replace(job(), cells=())
    assert inspection_description(empty, SPLITS) is None
    with pytest.raises(ValueError, match="to have cells"):
        inspect(empty, SPLITS, fitting(empty))
