"""The command line: a small suite, stopped and continued, good and bad defenses, every kind of bad input."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from torch import Tensor

from gmbench.attacks import Attack
from gmbench.benchmark.cli.console import fail
from gmbench.benchmark.engine import cell
from gmbench.benchmark.engine.store import Store
from gmbench.benchmark.engine.suite import SUITES
from gmbench.models import Classifier

pytestmark = pytest.mark.usefixtures("no_figures")

DEFENSE = """
import torch
from gmbench import Classifier, Defense, Detector, load_checkpoint

class Sure(Detector):
    def score(self, outputs):
        return {sign} outputs.logits.amax(1)

def build():
    classifier, _ = load_checkpoint("digits-lgm-s0")
    return Defense("{name}", classifier, Sure())
"""


@pytest.fixture(scope="module")
def finished(
    gmbench: Callable[..., int], tmp_path_factory: pytest.TempPathFactory, small: str
) -> list[object]:
    """The small suite, run: its path and the options that name its store and results."""
    folder = tmp_path_factory.mktemp("finished")
    path = folder / "small.toml"
    path.write_text(small)
    arguments: list[object] = [path, "--store", folder / "store", "--results", folder / "results"]
    assert gmbench("run", *arguments) == 0
    return arguments


def test_a_damaged_cell_is_made_again(
    gmbench: Callable[..., int], finished: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    image_file = next(Path(str(finished[2])).glob("??/*/images.parquet"))
    content = image_file.read_bytes()
    image_file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert gmbench("run", *finished) == 0
    assert "1 cells computed" in capsys.readouterr().out
    assert image_file.read_bytes() == content


def test_published_results_that_were_touched_are_written_again(
    gmbench: Callable[..., int], finished: list[object]
) -> None:
    readme = Path(str(finished[4])) / "small-v1" / "README.md"
    text, before = readme.read_text(), readme.stat()
    assert gmbench("run", *finished) == 0
    now = readme.stat()
    assert (now.st_ino, now.st_mtime_ns) == (
        before.st_ino,
        before.st_mtime_ns,
    )  # nothing new, nothing written
    readme.write_text(text.replace("0", "9"))
    assert gmbench("run", *finished) == 0
    assert readme.read_text() == text


def test_programs_hear_events_and_who_wants_quiet_hears_nothing(
    gmbench: Callable[..., int], suite: Path, places: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    short = ("run", suite, "--models", "digits-lgm-s0", "--attacks", "fgsm", "--workers", 1, *places)
    assert gmbench(*short, "--json") == 0
    told = capsys.readouterr()
    events = [json.loads(line) for line in told.out.splitlines()]
    assert told.err == "in this process, one torch thread\n"  # a note
    assert [event["event"] for event in events] == ["begin", *["finished"] * events[0]["things"], "end"]
    assert len({event["what"] for event in events[1:-1]}) == events[0]["things"]
    assert [event["done"] for event in events[1:-1]] == list(range(1, len(events) - 1))
    end = events[-1]
    assert (end["made"], end["found"], end["failures"]) == (4, 0, 0)
    assert (Path(end["folder"]) / "leaderboard.csv").exists()
    assert gmbench(*short, "--quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_numbers_of_another_machine_are_told_and_published_only_if_they_say_something_else(
    gmbench: Callable[..., int], finished: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    """As another machine would have them: the same keys, other contents."""
    folder = Path(str(finished[4])) / "small-v1"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    store = Store(Path(str(finished[2])))
    key = next(key for key in store.keys() if store.read_key(key).facts.get("label") == "pgd")  # noqa: SIM118
    entry = store.read_key(key)
    for by, told in ((0.0, "equal"), (1e-5, "equal within rounding (0 of "), (1.0, "different (0 of ")):
        store.remove(key)
        store.write(replace(entry, table=entry.table.assign(margin=entry.table["margin"] + by)))
        assert gmbench("run", *finished) == 0
        assert capsys.readouterr().out.splitlines()[-1].startswith(f"against what was there: {told}")
        now = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert (now == before) == (by < 1)
    store.remove(key)
    store.write(entry)
    assert gmbench("run", *finished) == 0
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_list_and_show(
    gmbench: Callable[..., int], finished: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    assert gmbench("list") == 0
    printed = capsys.readouterr().out
    for name in ("digits-v2", "digits-lgm-s0", "pgd", "mahalanobis", "cifar10-jpeg"):
        assert name in printed
    assert gmbench("show", "--store", finished[2]) == 0
    key = next(line for line in capsys.readouterr().out.splitlines() if "pgd" in line).split()[0]
    assert gmbench("show", key, "--store", finished[2]) == 0
    assert json.loads(capsys.readouterr().out.split("\n}\n")[0] + "\n}")["description"]["attack"] == "pgd"


@pytest.mark.slow
def test_defenses_stand_beside_lgm_and_a_wrong_sign_is_caught(
    gmbench: Callable[..., int], tmp_path: Path, suite: Path, places: list[object]
) -> None:
    defenses: list[object] = []
    for name, sign in (("mine", "-"), ("swapped", "+")):
        (tmp_path / f"{name}.py").write_text(DEFENSE.format(name=name, sign=sign))
        defenses += ["--defense", tmp_path / f"{name}.py"]
    assert gmbench("run", suite, *defenses, *places) == 0
    folder = tmp_path / "results" / "small-v1+mine+swapped"
    board = pd.read_csv(folder / "leaderboard.csv")
    assert set(board["model"]) == {"mine", "swapped", "digits-lgm-s0", "digits-softmax-s0"}
    own = board[(board["model"] == "mine") & (board["detector"] == "own")]
    likelihood = board[(board["model"] == "digits-lgm-s0") & (board["detector"] == "likelihood")]
    assert len(own) == len(likelihood) > 0
    # It is L-GM's own likelihood by another way, so everything must come out the same.
    for column in ("eer_all", "robust_accuracy", "robust_accuracy_with_detection"):
        assert (
            own.sort_values(["eps", "access"])[column].tolist()
            == likelihood.sort_values(["eps", "access"])[column].tolist()
        )
    swapped = board[(board["model"] == "swapped") & (board["detector"] == "own")]
    assert swapped["verdict"].str.contains("sign").all()
    assert "wrong sign" in (folder / "README.md").read_text()
    assert not own["verdict"].str.contains("sign").any()


ROGUE = """
from dataclasses import dataclass
from gmbench import ATTACKS, Attack

@ATTACKS.register("rogue-{name}")
@dataclass(frozen=True)
class Rogue(Attack):
    def passes(self): return 0, 0
    def __call__(self, victim, x, y, threat, /, *, random):
        return {result}
"""


def test_a_failed_cell_stops_no_other(
    gmbench: Callable[..., int],
    suite: Path,
    places: list[object],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A cheat and an attack that gives NaN.

    Their cells fail, the others are finished and reported, the exit code is 1.
    """
    for name, result in (("cheat", "(x + 2 * threat.eps).clamp(0, 1)"), ("nan", "x / 0 * 0")):
        exec(compile(ROGUE.format(name=name, result=result), name, "exec"), {"__name__": "rogue"})
        suite.write_text(
            suite.read_text() + f'\n[[attacks]]\nlabel = "{name}"\nattack = "rogue-{name}"\neps = [0.1]\n'
        )
    assert gmbench("run", suite, "--models", "digits-lgm-s0", *places) == 1
    printed = capsys.readouterr()
    assert "norm at most" in printed.err
    assert "finite" in printed.err
    assert "2 failures" in printed.out
    board = pd.read_csv(tmp_path / "results" / "small-v1-narrowed" / "leaderboard.csv")
    assert not board["attacks"].str.contains("cheat|nan").any()
    assert board["attacks"].str.contains("pgd").any()
    assert board["verdict"].str.contains("completed").all()
    page = (tmp_path / "results" / "small-v1-narrowed" / "README.md").read_text()
    assert "| digits-lgm-s0 | completed | cheat (Linf 0.1, white-box, oblivious): Cheat: " in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "digit-v2"], "did you mean 'digits-v2'"),
        (["run", "digits-v2", "--models", "digits-lgn-s0"], "did you mean 'digits-lgm-s0'"),
        (["run", "digits-v2", "--attacks", "fsgm"], "did you mean 'fgsm'"),
        (["run", "digits-v2", "--detectors", "mps"], "did you mean 'msp'"),
        (["run", "digits-v2", "--samples", "0"], "samples to be between 1"),
        (["run", "digits-v2", "--device", "tpu"], "auto, cpu or cuda, got 'tpu'"),
        (["run", "digits-v2", "--defense", "nowhere.py"], "no defense file at nowhere.py"),
        (["run", "digits-v2", "--no-such-option"], "o such option"),
        (["run", "digits-v2", "--quiet", "--json"], "expected --quiet or --json, got both"),
        (["run", "digits-v2", "--dry-run", "--json"], "expected --dry-run without --json, got both"),
        (["train", "mnist-lgn"], "did you mean 'mnist-lgm'"),
        (["data", "mnits"], "did you mean 'mnist'"),
        (["report", "digits-v2"], "nothing of digits-v2 is in the store"),
        (["show", "zzz"], "got 0"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(
    gmbench: Callable[..., int],
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("GMBENCH_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    assert gmbench(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


def test_a_message_with_brackets_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    fail("torchattacks is not installed; pip install 'gmbench[torchattacks]'\nsecond line")
    assert (
        capsys.readouterr().err
        == "error: torchattacks is not installed; pip install 'gmbench[torchattacks]' second line\n"
    )


def test_missing_data_names_the_command(
    gmbench: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = (SUITES / "mnist-v2.toml").read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(ours.replace("outdated = true\n", ""), encoding="utf-8")
    places = ("--data-root", tmp_path, "--store", tmp_path / "store")
    assert gmbench("run", tmp_path / "mine.toml", *places) == 2
    assert "gmbench data mnist" in capsys.readouterr().err


def test_an_interrupted_run_says_how_to_go_on(
    gmbench: Callable[..., int],
    suite: Path,
    places: list[object],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import gmbench.benchmark.engine.work.perform as perform

    calls: list[object] = []

    def interrupted(*arguments: object, **options: object) -> object:
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return original(*arguments, **options)  # type: ignore[arg-type]

    original = perform.run_cell
    monkeypatch.setattr(perform, "run_cell", interrupted)
    assert gmbench("run", suite, *places) == 130
    assert "3 of 14 cells are finished" in capsys.readouterr().out
    monkeypatch.undo()
    assert gmbench("run", suite, *places) == 0
    assert "11 cells computed, 3 from the store" in capsys.readouterr().out


def test_a_transfer_attack_runs_once_for_all_victims(
    gmbench: Callable[..., int],
    tmp_path: Path,
    suite: Path,
    places: list[object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def counting(attack: Attack, target: Classifier, x: Tensor, *others: Any, **how: Any) -> object:
        attacked.append(target)
        return original(attack, target, x, *others, **how)

    attacked: list[Classifier] = []
    original = cell.propose
    monkeypatch.setattr(cell, "propose", counting)
    assert gmbench("run", suite, *places) == 0
    # the surrogate, and FGSM and PGD at two eps on each model
    assert sorted(map(attacked.count, set(attacked))) == [1, 4, 4]
    table = pd.read_parquet(tmp_path / "results" / "small-v1" / "samples.parquet")
    transfer = table[table["label"] == "transfer-pgd"]
    assert (transfer.groupby("model", observed=True)["backwards"].sum() == 60 * 5).all()


def test_a_dry_run_computes_nothing(
    gmbench: Callable[..., int],
    tmp_path: Path,
    suite: Path,
    places: list[object],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert gmbench("run", suite, "--dry-run", *places) == 0
    printed = capsys.readouterr().out
    assert "transfer-pgd" in printed
    assert "together about" in printed
    assert not (tmp_path / "store").exists()


def test_a_store_that_cannot_be_written_is_found_before_anything_is_computed(
    gmbench: Callable[..., int],
    tmp_path: Path,
    suite: Path,
    places: list[object],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gmbench.benchmark.engine.work.perform.run_cell", pytest.fail)
    monkeypatch.setattr("gmbench.benchmark.engine.work.perform.inspect", pytest.fail)
    (tmp_path / "store").write_text("")
    assert gmbench("run", suite, *places) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "to be writable" in line
