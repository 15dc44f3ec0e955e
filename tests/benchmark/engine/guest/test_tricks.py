"""What a hostile file may try, all of it in one run beside honest models: nobody's numbers move but its own.

The tricks are those that worked when a defense ran in the judge's process (a stack reader had 100 % robust
accuracy, a patched judge changed L-GM's row and the store kept it).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gmbench import load_checkpoint
from gmbench.benchmark.data.datasets import load_data
from gmbench.benchmark.engine.plan import make_plan
from gmbench.benchmark.engine.run import run_plan
from gmbench.benchmark.engine.samples_table import samples_frame
from gmbench.benchmark.engine.store import Store
from gmbench.benchmark.engine.suite import load_suite
from gmbench.benchmark.engine.work.crews import in_process

pytestmark = pytest.mark.slow  # two minutes; `make frauds` runs it

SUITE = """
name = "tricks-v1"
data = "digits"
samples = 60
batch = 40
models = ["digits-lgm-s0", "digits-softmax-s0"]
detectors = ["likelihood", "msp"]

[[attacks]]
label = "pgd"
attack = "pgd"
options = { steps = 3 }
eps = [0.1]
"""

FILE = """
import gc, importlib, os, random, sys
import numpy, torch
import gmbench
from gmbench import Defense, Detector, Outputs, load_checkpoint

calls = {"head": 0, "detector": 0}
kept = []

def frames():
    frame = sys._getframe()
    while frame:
        yield frame
        frame = frame.f_back

def everything():
    for frame in frames():
        yield from frame.f_locals.values()
        yield from frame.f_globals.values()
    yield from gc.get_objects()

def labels(count):
    for thing in everything():
        if isinstance(thing, torch.Tensor) and thing.dtype == torch.int64 and thing.shape == (count,):
            return thing

class Head(torch.nn.Module):
    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, features):
        calls["head"] += 1
        logits = self.head(features)
        FORWARD
        return logits

class Sure(Detector):
    def score(self, outputs):
        calls["detector"] += 1
        scores = -outputs.logits.softmax(1).amax(1)
        SCORE
        return scores

BESIDE

def build():
    classifier, _ = load_checkpoint("digits-softmax-s0")
    classifier.head = Head(classifier.head)
    return Defense("NAME", classifier.eval(), Sure())
"""

GIVEN = "return torch.nn.functional.one_hot(y, 10).float() * 9 if y is not None else logits"

PATCHED = """
for name, thing in (
    ("benchmark.engine.judge", "judge"), ("benchmark.engine.cell", "judge"),
    ("benchmark.engine.cell", "run_cell"), ("benchmark.engine.scoring", "score"),
    ("benchmark.analysis.metrics", "eer"),
    ("benchmark.engine.store", "Store"), ("attacks.core.victim", "Victim"),
):
    setattr(importlib.import_module("gmbench." + name), thing, lambda *_, **__: 1 / 0)
gmbench.PGD.__call__ = lambda self, victim, x, y, threat, random: x
gmbench.FGSM.__call__ = lambda self, victim, x, y, threat, random: x
gmbench.DETECTORS._factories["msp"] = Sure
"""

OTHERS = """
for thing in gc.get_objects():
    if isinstance(thing, torch.nn.Module):
        for parameter in thing.parameters():
            parameter.data *= 0
"""

FLAGS = """
torch.set_default_dtype(torch.float64)
torch.set_num_threads(3)
torch.set_flush_denormal(True)
torch.backends.mkldnn.enabled = False
torch.manual_seed(7); numpy.random.seed(7); random.seed(7)
"""

HOOKS = "torch.nn.modules.module.register_module_forward_hook(lambda module, given, out: out * 0.5)"

PLAIN = {
    "honest": {},
    "reads-y": {"FORWARD": f"y = labels(len(features)); {GIVEN}"},
    "reads-cell": {
        "SCORE": "cells = [f for f in frames() if 'cell' in f.f_locals]\n"
        "        if cells: return scores * 0 + float(cells[0].f_locals['cell'].attack is not None)"
    },
    "patches": {"BESIDE": PATCHED},
    "scales-others": {"BESIDE": OTHERS},
    "looks-for-places": {
        "BESIDE": "assert not [name for name in os.environ if 'STORE' in name]\n"
        "assert not [arg for arg in sys.argv if 'store' in arg]"
    },
}
"""Tricks that must come to nothing: rows as those of the honest file."""

SELF = {
    "counts-calls": {
        "SCORE": "scores = scores * 0 + calls['detector'] + torch.linspace(0, .5, len(scores))",
    },
    "remembers": {  # the judge asked for clean images, then for the same ones attacked, then rounded
        "FORWARD": "if not torch.is_grad_enabled():\n"
        "            if calls['head'] % 3 == 1: kept[:] = [logits]\n"
        "            elif kept[0].shape == logits.shape: logits = kept[0]"
    },
    "counts-places": {"SCORE": "scores = torch.linspace(0, 1, len(scores))"},
    "hooks": {"BESIDE": HOOKS},
    "flags": {"BESIDE": FLAGS},
    "changes-late": {"FORWARD": "if calls['head'] == 2: self.head.linear.weight.data.mul_(0)"},
    "exits": {"FORWARD": "sys.exit(0) if calls['head'] > 3 else None"},
    "kills": {"FORWARD": "os._exit(0) if len(features) > 8 else None"},
}
"""Tricks that change the file's own rows."""


@dataclass(frozen=True)
class Ran:
    """A run of the suite with hostile files: its store, its samples, what failed, how many cells it made."""

    store: Store
    frame: pd.DataFrame
    failures: tuple[str, ...]
    made: int

    def of(self, model: str) -> pd.DataFrame:
        """Give a model's rows without its name."""
        rows = self.frame[self.frame["model"] == model]
        return rows.drop(columns=["model", "loss"]).reset_index(drop=True)


def run(folder: Path, tricks: Mapping[str, Mapping[str, str]]) -> Ran:
    """Run the suite with files of these tricks."""
    (folder / "suite.toml").write_text(SUITE)
    files = []
    for name, parts in tricks.items():
        text = FILE.replace("NAME", name)
        for place in ("FORWARD", "SCORE", "BESIDE"):
            text = text.replace(place, parts.get(place, "pass"))
        files.append(folder / f"{name}.py")
        files[-1].write_text(text)
    store = Store(folder / "store")
    plan = make_plan(load_suite(str(folder / "suite.toml")), defenses=files, store=store)
    with in_process(plan) as crew:
        summary = run_plan(plan, store, crew)
    return Ran(store, samples_frame(plan, store).frame, tuple(map(str, summary.failures)), summary.made)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The honest models by themselves."""
    return run(tmp_path_factory.mktemp("alone"), {})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("beside")


@pytest.fixture(scope="module")
def beside(folder: Path) -> Ran:
    """The same with every hostile file beside them."""
    return run(folder, {**PLAIN, **SELF})


MODELS = ("digits-lgm-s0", "digits-softmax-s0")


def test_the_rows_of_honest_models_are_what_they_were(alone: Ran, beside: Ran) -> None:
    for model in MODELS:
        assert len(alone.of(model)) > 2 * 60
        found = beside.of(model).drop(columns="score_own")
        pd.testing.assert_frame_equal(found, alone.of(model).drop(columns="score_own", errors="ignore"))


def test_the_store_of_honest_models_is_what_it_was(alone: Ran, beside: Ran) -> None:
    keys = alone.store.keys()
    assert len(keys) > 6
    for key in keys:
        for name in ("table.parquet", "images.parquet"):
            wanted, found = alone.store.path(key) / name, beside.store.path(key) / name
            assert found.exists() == wanted.exists()
            if wanted.exists():
                assert found.read_bytes() == wanted.read_bytes()


@pytest.mark.usefixtures("beside")
def test_a_later_honest_run_finds_them_there(alone: Ran, folder: Path) -> None:
    later = run(folder, {"honest": {}})
    assert (later.made, later.failures) == (0, ())
    for model in MODELS:
        columns = alone.of(model).columns
        pd.testing.assert_frame_equal(later.of(model)[columns], alone.of(model))


@pytest.mark.parametrize("trick", sorted(set(PLAIN) - {"honest"}))
def test_it_comes_to_nothing(beside: Ran, trick: str) -> None:
    pd.testing.assert_frame_equal(beside.of(trick), beside.of("honest"))


def test_an_honest_file_is_its_model(beside: Ran) -> None:
    columns = [name for name in beside.frame if name not in ("model", "loss", "score_own")]
    pd.testing.assert_frame_equal(beside.of("honest")[columns], beside.of("digits-softmax-s0")[columns])
    images = load_data("digits", "test").head(60).images()
    scores = -load_checkpoint("digits-softmax-s0")[0](images).softmax(1).amax(1)
    rows = beside.of("honest")
    found = rows[(rows["split"] == "test") & (rows["label"] == "clean")]["score_own"]
    np.testing.assert_allclose(found, scores.detach(), rtol=1e-5)


@pytest.mark.parametrize("trick", ["counts-calls", "counts-places"])
def test_calls_and_places_tell_nothing(beside: Ran, trick: str) -> None:
    rows = beside.of(trick)
    clean, attacked = (
        rows[(rows["split"] == "test") & (rows["label"] == label)]["score_own"].to_numpy()
        for label in ("clean", "pgd")
    )
    # scores by the order in which the judge once asked tell them apart perfectly
    assert 0.25 < (attacked[:, None] > clean).mean() < 0.75


def test_what_was_answered_before_is_of_other_images(beside: Ran) -> None:
    rows = beside.of("remembers")
    attacked = rows[rows["label"] == "pgd"]
    assert (attacked["predicted"] == attacked["y"]).mean() < 0.8  # by memory alone: clean accuracy, .97
    assert (attacked["clean_predicted"] == attacked["y"]).mean() < 0.8


def test_what_ends_its_process_fails_alone(beside: Ran) -> None:
    told = {name: [one for one in beside.failures if one.startswith(name)] for name in SELF}
    assert any("SystemExit: 0" in one for one in told["exits"])
    assert any("to answer, got its end (exit code 0)" in one for one in told["kills"])
    assert not [one for one in beside.failures if one.startswith(tuple(PLAIN)) or one.startswith(MODELS)]
    assert all("\n" not in one for one in beside.failures)
