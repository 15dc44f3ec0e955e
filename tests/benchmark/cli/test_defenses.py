"""A user's defenses: what changes is computed anew, what fails stops no other and is told."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from gmbench.benchmark.engine.store import Store

pytestmark = pytest.mark.usefixtures("no_figures")

SUITE = """
name = "tiny-v1"
data = "digits"
samples = 20
models = ["digits-softmax-s0"]
detectors = ["msp"]

[[attacks]]
label = "fgsm"
attack = "fgsm"
eps = [0.1]

[[attacks]]
label = "quick"
attack = "pgd"
options = { steps = 2 }
eps = [0.1]
"""

DEFENSE = """
from pathlib import Path
import torch
from gmbench import Defense, Detector, load_checkpoint
from helper_of_tests import SCALE

class Shifted(torch.nn.Module):
    def __init__(self, head):
        super().__init__()
        self.head = head
        self.register_buffer("shift", torch.tensor([BUFFER, *[0.0] * 9]), persistent=False)
    def forward(self, features):
        return self.head(features) * SCALE + self.shift

def build():
    classifier, _ = load_checkpoint("digits-softmax-s0")
    classifier.head = Shifted(classifier.head)
    data = Path(__file__).with_name("data.txt")
    classifier.head.head.linear.bias.requires_grad_(False)
    classifier.head.factor = 1.0
    classifier.head.register_forward_hook(lambda _, __, out: out + float(data.read_text()))
    return Defense("mine", classifier.eval())
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(SUITE)
    return path


@pytest.fixture
def run(
    gmbench: Callable[..., int],
    tmp_path: Path,
    suite: Path,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str, str]]:
    """A function that runs a command on the suite: its exit code, what it printed, its errors."""

    def command(name: str, *arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        places = ["--store", tmp_path / "store", "--results", tmp_path / "results"]
        code = gmbench(name, suite, *arguments, *places)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return command


def write(folder: Path, scale: float = 1.0, shift: float = 0.0, data: float = 0.0) -> Path:
    (folder / "helper_of_tests.py").write_text(f"SCALE = {scale}\n")
    (folder / "data.txt").write_text(str(data))
    path = folder / "mine.py"
    if not path.exists():
        path.write_text(DEFENSE.replace("BUFFER", "float(Path(__file__).with_name('shift.txt').read_text())"))
    (folder / "shift.txt").write_text(str(shift))
    return path


def test_whatever_of_a_defense_changes_has_its_cells_made_anew(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    path = write(tmp_path)
    assert "8 cells computed, 0 from" in run("run", "--defense", path)[1]
    assert "0 cells computed, 8 from" in run("run", "--defense", path)[1]
    write(tmp_path, scale=2.0)  # a module beside the file
    assert "4 cells computed, 4 from" in run("run", "--defense", path)[1]
    write(tmp_path, shift=1.0)  # a buffer that no state_dict holds
    assert "4 cells computed, 4 from" in run("run", "--defense", path)[1]
    write(tmp_path, data=1.0)  # what nothing but the outputs tells
    printed = run("run", "--defense", path)[1]
    assert "mine: its files and weights are those of an earlier run and its outputs are not" in printed
    assert "4 cells computed, 4 from" in printed
    # each is kept: nothing is computed twice
    for options in ({}, {"scale": 2.0}):
        printed = run("run", "--defense", write(tmp_path, **options))[1]
        assert "0 cells computed, 8 from" in printed
        assert "its outputs are not" not in printed


def test_outputs_that_differ_as_machines_do_are_the_same(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    run("run", "--defense", write(tmp_path))
    assert "0 cells computed, 8 from" in run("run", "--defense", write(tmp_path, data=1e-5))[1]


GOOD = """
from gmbench import Defense, Detector, load_checkpoint

{code}

def build():
    classifier, _ = load_checkpoint("digits-softmax-s0")
    return Defense("{name}", classifier, {detector})
"""

DETECTOR = """
calls = []

class Mine(Detector):
    def learn(self, outputs, y):
        {learn}
    def score(self, outputs):
        calls.append(1)
        return {score}
"""


def detector(learn: str = "pass", score: str = "outputs.logits.amax(1)") -> str:
    return DETECTOR.format(learn=learn, score=score)


BAD = {
    "1 / 0": "{name}.py: {name}.py failed: ZeroDivisionError",
    "import nothing_of_this_name": "{name}.py: {name}.py failed: ModuleNotFoundError",
    "load_checkpoint = lambda _: (3, 4)": "the classifier of '{name}' to be a gmbench.Classifier, got int",
    detector(learn="1 / 0"): "{name} / detector own: ZeroDivisionError",
    detector(score="outputs.logits.amax(1) / 0"): "{name} / detector own: ValueError: expected scores to be",
    detector(score="outputs.logits"): "{name} / detector own: ValueError: expected scores of shape",
}
"""What a defense's file does -> what is told of it."""


def test_whatever_fails_in_a_defense_the_others_are_reported(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    files, names = [], [f"bad{number}" for number in range(len(BAD))]
    for name, code in zip([*names, "good"], [*BAD, ""], strict=True):
        files.append(tmp_path / f"{name}.py")
        own = "Mine()" if "class Mine" in code else "None"
        files[-1].write_text(GOOD.format(name=name, code=code, detector=own))
    status, _, errors = run("run", *(word for file in files for word in ("--defense", file)))
    assert status == 1
    (folder,) = (tmp_path / "results").iterdir()
    board, page = pd.read_csv(folder / "leaderboard.csv"), (folder / "README.md").read_text()
    assert {"good", "digits-softmax-s0"} <= set(board["model"])
    for name, message in zip(names, BAD.values(), strict=True):
        assert message.format(name=name) in errors
        rows = board[board["model"] == name]
        assert rows["verdict"].str.contains("completed").all()
        assert (f"{name}.py" if rows.empty else f"| {name} |") in page
    assert "| completed |" in page
    assert not board[board["model"] == "good"]["verdict"].str.contains("completed").any()


def test_a_defense_alone_that_cannot_be_had_is_wrong_input(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("1 / 0")
    status, _, errors = run("run", "--defense", bad)
    assert status == 2
    assert errors == "error: bad.py failed: ZeroDivisionError: division by zero\n"


@pytest.mark.parametrize(
    "name", ["../../x", "/abs/x", "my/net", "", "x" * 300, "two\nlines", "=cmd|' /C calc'!A0", "lgm"]
)
def test_hostile_names_of_defenses_are_refused(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path, name: str
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(GOOD.format(name="NAME", code="", detector="None").replace('"NAME"', repr(name)))
    before = sorted(tmp_path.parent.iterdir())
    status, _, errors = run("run", "--defense", path)
    assert status == 2
    assert len(errors.splitlines()) == 1
    assert "to be named after no loss" in errors if name == "lgm" else "to be a name of letters" in errors
    assert not (tmp_path / "results").exists()
    assert sorted(tmp_path.parent.iterdir()) == before


def damage(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def entry(store: Store, **wanted: object) -> Path:
    """Find the folder of a cell or of its scores."""
    for key in store.keys():  # noqa: SIM118 - a store is no mapping
        description = store.read_key(key).description
        if all(description.get(name) == value for name, value in wanted.items()):
            return store.path(key)
    raise AssertionError(wanted)


@pytest.mark.parametrize("kind", ["cell", "score"])
@pytest.mark.parametrize("how", ["damaged", "missing"])
def test_report_names_what_is_missing_or_damaged_and_the_page_says_so(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path, kind: str, how: str
) -> None:
    assert run("run")[0] == 0
    folder, store = tmp_path / "results" / "tiny-v1", Store(tmp_path / "store")
    sound = pd.read_csv(folder / "leaderboard.csv")
    assert not sound["verdict"].str.contains("completed").any()
    cell = entry(store, attack="pgd")
    path = cell if kind == "cell" else entry(store, of=cell.name)
    if how == "damaged":
        damage(path / "table.parquet")
    else:
        (path / "entry.json").unlink()
    status, _, errors = run("report")
    assert status == 1
    what = "quick (Linf 0.1, white-box, oblivious)"
    why = "damaged in the store" if how == "damaged" else "not in the store"
    assert f"digits-softmax-s0 / {'' if kind == 'cell' else 'detector msp, '}{what}: {why}" in errors
    board = pd.read_csv(folder / "leaderboard.csv")
    assert board["verdict"].str.contains("completed").all()
    assert f"{what}: {why}" in (folder / "README.md").read_text()
    assert run("run")[0] == 0
    pd.testing.assert_frame_equal(pd.read_csv(folder / "leaderboard.csv"), sound)


def test_a_report_of_nothing_is_no_report(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    status, _, errors = run("report")
    assert status == 2
    assert "nothing of tiny-v1 is in the store" in errors
    assert not (tmp_path / "results" / "tiny-v1").exists()


LATE = """
import torch

class Late(torch.nn.Module):
    def __init__(self, head):
        super().__init__()
        self.head, self.many = head, MANY
    def forward(self, features):
        if len(features) > self.many:
            raise ArithmeticError("too many images")
        return self.head(features)

def load_checkpoint(name):
    import gmbench
    classifier, card = gmbench.load_checkpoint(name)
    classifier.head = Late(classifier.head)
    return classifier.eval(), card
"""


@pytest.mark.parametrize("many", [8, 900])
def test_a_late_exception_is_one_models(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path, many: int
) -> None:
    """Attacked images pass 20 at a time, training images more: it fails in the cells, or in the detectors."""
    path = tmp_path / "late.py"
    path.write_text(GOOD.format(name="late", code=LATE.replace("MANY", str(many)), detector="None"))
    status, _, errors = run("run", "--defense", path)
    assert status == 1
    assert "ArithmeticError: too many images" in errors
    page = (tmp_path / "results" / "tiny-v1+late" / "README.md").read_text()
    assert "| late | completed |" in page
    board = pd.read_csv(tmp_path / "results" / "tiny-v1+late" / "leaderboard.csv")
    assert not board[board["model"] == "digits-softmax-s0"]["verdict"].str.contains("completed").any()


def test_results_that_cannot_be_written_are_told_before_anything_is_computed(
    gmbench: Callable[..., int], tmp_path: Path, suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "mine" / "tiny-v1").mkdir(parents=True)
    (tmp_path / "mine" / "tiny-v1" / "thesis.tex").write_text("mine")
    for results, message in (
        ("file", "file to be a folder, got a file"),
        ("mine", "got one with thesis.tex"),
    ):
        assert gmbench("run", suite, "--store", tmp_path / "store", "--results", tmp_path / results) == 2
        errors = capsys.readouterr().err
        assert message in errors
        assert len(errors.splitlines()) == 1
        assert Store(tmp_path / "store").keys() == []
    assert (tmp_path / "file").read_text() == "mine"
