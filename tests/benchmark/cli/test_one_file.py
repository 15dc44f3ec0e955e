"""One file adds one thing: a loss, an attack, a detector from a folder are found everywhere, with no edit."""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from gmbench.benchmark.cli.console import console
from gmbench.benchmark.report.looks import families, line_of
from gmbench.models.losses import known_losses
from gmbench.models.python_file import running

LOSS = '''
"""Scaled softmax."""

from gmbench import HEADS, About
from gmbench.models.heads.softmax import Softmax


@HEADS.register("scaled")
class Scaled(Softmax):
    """Linear logits, twice as long."""

    about = About(title="Scaled-Softmax", citation="Nobody et al. 2026", family="softmax", detector="slope")

    def forward(self, features):
        return 2 * self.linear(features)
'''

ATTACK = '''
"""Grey noise."""

from dataclasses import dataclass

from gmbench import ATTACKS, About, Attack
from gmbench.attacks.core.norms import NORMS


@ATTACKS.register("darken")
@dataclass(frozen=True)
class Darken(Attack):
    """Take eps from every pixel."""

    about = About(title="Darken", citation="Nobody 2025")
    access = "decision"

    strength: float = 1.0

    def passes(self):
        return 0, 0

    def __call__(self, victim, x, y, threat, /, *, random):
        return NORMS[threat.norm].perturb(x, -self.strength * threat.eps * x.new_ones(x.shape), threat.eps)
'''

DETECTOR = '''
"""The slope of the logits."""

from dataclasses import dataclass

from gmbench import DETECTORS, About, Detector


@DETECTORS.register("slope")
@dataclass
class Slope(Detector):
    """Minus the lead of the predicted class."""

    about = About(title="slope", citation="Nobody 2024")

    def score(self, outputs):
        best = outputs.logits.topk(2).values
        return best[:, 1] - best[:, 0]
'''

RECIPE = """
name = "digits-scaled"
source = "This test."
data = "digits"
net = "digits-mlp"
features = 8
epochs = 1
batch = 100
lr = 0.1
weight_decay = 0.0

[loss]
name = "scaled"
"""

SUITE = """
name = "own-v1"
data = "digits"
samples = 60
models = ["digits-lgm-s0", "{checkpoint}"]
detectors = ["likelihood", "slope", "msp"]

[[attacks]]
label = "darker"
attack = "darken"
options = {{ strength = 0.5 }}
eps = [0.3]
access = "decision"

[[attacks]]
label = "fgsm"
attack = "fgsm"
eps = [0.3]
"""


@pytest.fixture
def _plugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "width", 200)
    for name, source in (("scaled", LOSS), ("darken", ATTACK), ("slope", DETECTOR)):
        path = tmp_path / f"{name}.py"
        path.write_text(source)
        with running(path, ValueError):
            pass


@pytest.mark.usefixtures("forgetful", "_plugged")
def test_one_file_adds_one_thing(
    gmbench: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gmbench("list") == 0
    printed = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert "darken Darken (Nobody 2025) Take eps from every pixel." in printed
    assert "slope slope (Nobody 2024) Minus the lead of the predicted class." in printed
    assert "scaled Scaled-Softmax (Nobody et al. 2026) Linear logits, twice as long." in printed

    (tmp_path / "digits-scaled.toml").write_text(RECIPE)
    assert gmbench("train", tmp_path / "digits-scaled.toml", "--out", tmp_path) == 0
    suite = tmp_path / "own.toml"
    suite.write_text(SUITE.format(checkpoint=tmp_path / "digits-scaled-s0.safetensors"))
    assert gmbench("run", suite, "--store", tmp_path / "store", "--results", tmp_path / "results") == 0

    folder = tmp_path / "results" / "own-v1"
    samples = pd.read_parquet(folder / "samples.parquet")
    assert set(samples["loss"]) == {"lgm", "scaled"}
    assert {"darken", "fgsm"} <= set(samples["attack"])
    page = (folder / "README.md").read_text()
    assert "| Scaled-Softmax | Nobody et al. 2026 | slope |" in page  # its own detector, not msp
    eer = (folder / "eer.md").read_text()
    assert "## darker (" in eer
    assert "n/a: likelihood does not apply to Scaled-Softmax: the classifier states no likelihood." in eer
    assert (folder / "figures" / "histogram-scaled.png").exists()
    assert (folder / "figures" / "histogram-scaled.png").stat().st_size > 1000

    losses = known_losses()
    assert losses[-1] == "scaled"
    assert "scaled" in families(losses)["softmax"]
    assert line_of("scaled", ["scaled"]) == line_of("scaled", losses)
    assert line_of("scaled", losses) not in [line_of(loss, losses) for loss in losses[:-1]]


def test_what_a_test_registers_is_forgotten(gmbench: Callable[..., int]) -> None:
    assert "scaled" not in known_losses()
    assert gmbench("train", "digits-scaled") == 2
