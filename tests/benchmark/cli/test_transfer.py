"""The transfer matrix against the samples of the run and against images made apart."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from gmbench import FGSM, load_checkpoint
from gmbench.attacks import SampleRandom, ThreatModel, Victim
from gmbench.benchmark.data.datasets import load_data

pytestmark = pytest.mark.usefixtures("no_figures")

SUITE = """
name = "small-v1"
data = "digits"
samples = 40
models = ["digits-lgm-s0", "digits-softmax-s0"]
surrogate = ["digits-surrogate-s0", "digits-center-s0"]
detectors = ["msp"]

[[attacks]]
label = "one step"
attack = "fgsm"
eps = [0.1, 0.2]
samples = 30

[[attacks]]
label = "transfer"
attack = "fgsm"
eps = [0.2]
access = "transfer"
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SUITE.replace("one step", "one-step"))
    return path


def test_every_model_sees_what_fooled_the_others(
    gmbench: Callable[..., int], suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, out = ["--store", tmp_path / "store"], tmp_path / "new" / "transfer.csv"
    assert gmbench("transfer", suite, *store, "--out", out) == 1
    assert "digits-lgm-s0 / one-step (Linf 0.1, white-box" in capsys.readouterr().err
    assert not out.exists()
    assert gmbench("run", suite, *store, "--results", tmp_path) == 0
    assert gmbench("transfer", suite, *store, "--out", out) == 0
    assert "digits-softmax-s0" in capsys.readouterr().out
    found = pd.read_csv(out, keep_default_na=False).set_index(["source", "victim", "eps"])
    assert len(found) == 8
    assert set(found["label"]) == {"one-step"}  # a surrogate's images are no model's of the suite
    assert (found["attack"] == "fgsm").all()

    samples = pd.read_parquet(tmp_path / "small-v1" / "samples.parquet")
    attacked = samples[
        (samples["label"].astype(str) == "one-step") & (samples["clean_predicted"] == samples["y"])
    ]
    for (model, eps), rows in attacked.groupby(["model", "eps"], observed=True):
        row = found.loc[(model, model, round(float(eps), 6))]
        assert row["n"] == len(rows)
        assert row["wrong"] == pytest.approx((rows["predicted"] != rows["y"]).mean(), abs=1e-6)

    source, victim = (load_checkpoint(name)[0].eval() for name in ("digits-lgm-s0", "digits-softmax-s0"))
    test = load_data("digits", "test").head(30)
    with Victim(source, 30) as asked:
        threat, random = ThreatModel("Linf", 0.2), SampleRandom.of("", test.ids)
        x_adv = FGSM()(asked, test.images(), test.y, threat, random=random)
    right = victim(test.images()).argmax(1) == test.y
    wrong = (victim(x_adv).argmax(1) != test.y)[right].float().mean()
    row = found.loc[("digits-lgm-s0", "digits-softmax-s0", 0.2)]
    assert row["n"] == int(right.sum())
    assert row["wrong"] == pytest.approx(float(wrong), abs=1e-6)
    assert torch.isfinite(wrong)


def test_the_default_suite_is_one_that_can_be_run(
    gmbench: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gmbench("transfer", "--store", tmp_path, "--out", tmp_path / "transfer.csv") == 1
    assert "digits-lgm-s0 / fgsm (Linf 0.0509804, white-box" in capsys.readouterr().err
