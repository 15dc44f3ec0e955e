"""Planted frauds end at the robustness of the model underneath, or suspect or broken; none is sound.

Each is run in this process, where there is something to look at and to patch; what a guest keeps out is held
by tests/benchmark/engine/guest.
"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gmbench.attacks.pgd import PGD
from gmbench.benchmark.engine.defense import Entrant, building, entrant_from_checkpoint
from gmbench.benchmark.engine.plan import plan_suite
from gmbench.benchmark.engine.run import run_plan
from gmbench.benchmark.engine.store import Store
from gmbench.benchmark.engine.work.crews import in_process
from gmbench.benchmark.report.publish import plan_frames

pytestmark = pytest.mark.slow  # some minutes: `make frauds` runs them

FILES = sorted(path for path in (Path(__file__).parent / "files").glob("*.py") if path.stem != "base")
WITHIN = 0.02
"""Of the robustness of the model underneath."""

UNDERNEATH = "digits-softmax-s0"
SUITE = """
name = "frauds-v1"
data = "digits"
samples = 100
models = ["digits-softmax-s0"]
detectors = ["msp"]
[[attacks]]
label = "noise"
attack = "uniform-noise"
eps = ["13/255", "26/255"]
access = "decision"
[[attacks]]
label = "pgd-ce"
attack = "pgd"
options = { loss = "ce", steps = 20 }
eps = ["13/255", "26/255"]
[[attacks]]
label = "pgd"
attack = "pgd"
options = { loss = "margin", steps = 40 }
eps = ["13/255", "26/255"]
[[attacks]]
label = "square"
attack = "square"
options = { queries = 300 }
eps = ["13/255", "26/255"]
access = "query"
"""

# What catches each; nothing where it ends at its true robustness.
CAUGHT = {
    "constant_detector": "detector-constant:own",
    "counting_detector": "detector-repeatable:own",
    "fixed_noise": "finite-differences",
    "flipped_gradients": "finite-differences",
    "four_bits": "zero-gradients",
    "grid_detector": "detector-grid:own",
    "hashed_images": "leaked-images",
    "logits_1e3": "zero-gradients",
    "logits_1e6": "zero-gradients",
    "nan_detector": "completed",
    "nearest_image": "leaked-images",
    "other_with_gradients": "gradient-mode",
    "patched_pgd": "planted",
    "random_gradients": "finite-differences",
    "random_resize": "repeatable",
    "reads_cell": "detector-caller:own",
    "reads_y": "caller",
    "reversed_detector": "detector-sign:own",
    "softmax_as_logits": "probabilities",
    "temperature": "zero-gradients",
    "zeroed_gradients": "zero-gradients",
}


@pytest.fixture(scope="module")
def board(tmp_path_factory):
    """A function that runs an entrant through the suite and gives its frames."""
    place = tmp_path_factory.mktemp("frauds")
    (place / "suite.toml").write_text(SUITE)

    def judged(entrant):
        plan, _ = plan_suite(str(place / "suite.toml"), defenses=[entrant], device="cpu", store=None)
        [job] = [one for one in plan.jobs if one.entrant.name == entrant.name]
        store = Store(place / "store")
        alone = replace(plan, jobs=(job,))
        with in_process(alone) as crew:
            summary = run_plan(alone, store, crew)
        return plan_frames(alone, store, summary.failures, resamples=50)

    return judged


@pytest.fixture(scope="module")
def truth(board):
    """The robust accuracy of the model underneath at each eps, over all attacks."""
    rows = board(entrant_from_checkpoint(UNDERNEATH)).leaderboard
    assert set(rows["verdict"]) == {"sound"}, rows["verdict"].unique()
    return robust(rows)


def robust(rows):
    white = rows[(rows["access"] == "white-box") & (rows["knows"] == "")]
    return white.groupby("eps")["robust_accuracy"].min()


def test_there_are_twenty_at_least_and_all_are_run():
    assert len(FILES) >= 20
    assert {path.stem for path in FILES} == set(CAUGHT)


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.stem) for path in FILES],
)
def test_a_fraud_is_not_sound(path, board, truth, monkeypatch):
    monkeypatch.setattr(PGD, "__call__", PGD.__call__)  # whoever replaces it does so for one test
    torch.manual_seed(0)
    with building(path) as (defense, _):
        entrant = Entrant(defense.name, defense.name, 0, path.stem, defense.classifier, defense.detector)
        frames = board(entrant)
    checks = frames.checks.set_index("check")["state"]
    assert checks[CAUGHT[path.stem]] in ("failed", "broken")
    rows = frames.leaderboard
    doubted = rows["verdict"].str.match("suspect|broken")
    of_detector = path.stem.endswith("_detector") or path.stem == "reads_cell"
    assert doubted[(rows["detector"] == "own") | (not of_detector)].all(), rows["verdict"]
    # no reader is warned of the other rows, and of the model underneath a detector nothing is wrong
    for believed in (robust(rows[~doubted]), robust(rows) if of_detector else truth):
        assert ((believed - truth[believed.index]).abs() <= WITHIN).all()


def test_lgm_is_sound(board):
    assert set(board(entrant_from_checkpoint("digits-lgm-s0")).leaderboard["verdict"]) == {"sound"}


def test_an_honest_detector_of_ones_own_is_sound(board):
    with building(Path(__file__).parents[3] / "docs" / "my_defense.py") as (defense, _):
        entrant = Entrant(defense.name, defense.name, 0, "honest", defense.classifier, defense.detector)
        rows = board(entrant).leaderboard
    assert set(rows["detector"]) == {"msp", "own"}
    assert set(rows["verdict"]) == {"sound"}, rows["verdict"].unique()
