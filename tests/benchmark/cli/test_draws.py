"""A randomised defense is attacked by the mean of several passes, as its suite says."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.usefixtures("no_figures")

SUITE = """
name = "tiny-v1"
data = "digits"
samples = 20
models = ["digits-softmax-s0"]
detectors = ["msp"]

[[attacks]]
label = "quick"
attack = "pgd"
options = { steps = 2 }
eps = [0.1]
draws = 3
"""

RANDOM = """
import torch
from gmbench import Defense, load_checkpoint

class Noisy(torch.nn.Module):
    def __init__(self, head):
        super().__init__()
        self.head = head
    def forward(self, features):
        logits = self.head(features)
        return logits + torch.randn_like(logits)

def build():
    classifier, _ = load_checkpoint("digits-softmax-s0")
    classifier.head = Noisy(classifier.head)
    return Defense("noisy", classifier.eval())
"""


def test_a_randomised_defense_is_attacked_by_mean_gradients(
    gmbench: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    defense, suite = tmp_path / "noisy.py", tmp_path / "tiny.toml"
    defense.write_text(RANDOM)
    suite.write_text(SUITE)
    command = ["run", suite, "--defense", defense, "--store", tmp_path / "store", "--results", tmp_path]
    assert gmbench(*command) == 0
    samples = pd.read_parquet(next(tmp_path.glob("*+noisy*")) / "samples.parquet")
    quick = samples[(samples["model"] == "noisy") & (samples["label"] == "quick")]
    assert len(quick) == 20
    assert (quick["backwards"] == 6).all()
    capsys.readouterr()
    assert gmbench(*command) == 0
    assert "0 cells computed" in capsys.readouterr().out
