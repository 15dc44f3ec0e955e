"""Published results are drawn again from their samples alone, and lend their rows to a user's defense."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from gmbench.benchmark.report import published_rows, writer

SUITE = """
name = "tiny-v1"
data = "digits"
samples = 40
models = ["digits-softmax-s0", "digits-lgm-s0"]
surrogate = "digits-surrogate-s0"
detectors = ["likelihood", "msp"]

[[attacks]]
label = "fast"
attack = "fgsm"
eps = [0.1, 0.3]

[[attacks]]
label = "transfer"
attack = "fgsm"
eps = [0.3]
access = "transfer"
"""

DEFENSE = """
from gmbench import Defense, load_checkpoint

def build():
    return Defense("mine", load_checkpoint("digits-center-s0")[0])
"""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def published(gmbench: Callable[..., int], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The suite's file, its store and its results, with every figure."""
    folder = tmp_path_factory.mktemp("published")
    (folder / "tiny.toml").write_text(SUITE)
    (folder / "mine.py").write_text(DEFENSE)
    places = ["--store", folder / "store", "--results", folder / "results"]
    assert gmbench("run", folder / "tiny.toml", *places) == 0
    return folder


@pytest.fixture
def place(published: Path, tmp_path: Path) -> Path:
    """A copy of it without the store."""
    return Path(shutil.copytree(published, tmp_path / "place", ignore=shutil.ignore_patterns("store")))


@pytest.fixture
def run(gmbench: Callable[..., int], place: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """A function that runs a command: its exit code, what it printed, its errors."""

    def command(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = gmbench(*arguments, "--store", place / "store", "--results", place / "results")
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return command


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out figures, which take seconds, where no test looks at them."""
    for figures in ("_figures", "_feature_figures"):
        monkeypatch.setattr(writer, figures, lambda *_: iter(()))


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_the_samples_alone_give_the_very_same_report(run: Run, place: Path) -> None:
    folder = place / "results" / "tiny-v1"
    before = contents(folder)
    code, printed, errors = run("report", folder)
    assert (code, errors) == (0, "")
    assert "results: " in printed
    assert contents(folder) == before
    assert not (place / "store").exists()


def test_whatever_was_lost_is_drawn_again_and_what_takes_the_models_is_kept(run: Run, place: Path) -> None:
    folder = place / "results" / "tiny-v1"
    before = contents(folder)
    text = before["README.md"].decode()
    assert "## Examples" in text
    assert "## Feature space" in text
    for name in ("eer.csv", "leaderboard.md", "figures/accuracy.png", "manifest.json"):
        (folder / name).unlink()
    (folder / "leaderboard.csv").write_text("wrong")
    kept = b"another picture"
    (folder / "figures" / "means.png").write_bytes(kept)
    assert run("report", folder)[0] == 0
    after = contents(folder)
    assert after.pop("figures/means.png") == kept
    after.pop("manifest.json")
    assert after == {name: before[name] for name in after}
    assert len(after) == len(before) - 2


@pytest.mark.usefixtures("plain")
def test_a_failed_check_of_the_run_stays_on_the_page(run: Run, place: Path) -> None:
    folder = place / "results" / "tiny-v1"
    page = folder / "README.md"
    text = page.read_text()
    told = "1 of 9 sanity checks **failed**; all.\n\n| model | check | found |\n| --- | --- | --- |\n"
    row = "| digits-lgm-s0 | completed | fast (Linf 0.1): RuntimeError: no \\| memory |\n"
    start, end = text.index("## Checks\n\n") + len("## Checks\n\n"), text.index("## Summary")
    page.write_text(text[:start] + told + row + "\n" + text[end:])
    code, _, errors = run("report", folder)
    assert code == 1
    assert "fast (Linf 0.1): RuntimeError: no | memory" in errors
    assert row in page.read_text()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "README.md").unlink(), "got no README"),
        (lambda folder: (folder / "samples.parquet").unlink(), "samples.parquet cannot be read"),
        (lambda folder: (folder / "samples.parquet").write_bytes(b"no"), "samples.parquet cannot be read"),
        (lambda folder: (folder / "notes.txt").write_text("mine"), "got one with notes.txt"),
    ],
)
def test_what_is_no_report_is_one_line(
    run: Run, place: Path, spoil: Callable[[Path], object], message: str
) -> None:
    folder = place / "results" / "tiny-v1"
    spoil(folder)
    before = contents(folder)
    code, _, errors = run("report", folder)
    assert code == 2
    assert message in errors
    assert len(errors.splitlines()) == 1
    assert contents(folder) == before


@pytest.mark.usefixtures("plain")
def test_a_defense_is_computed_alone_beside_the_published_rows(run: Run, place: Path) -> None:
    with_mine = ("run", place / "tiny.toml", "--defense", place / "mine.py")
    code, printed, errors = run(*with_mine)
    assert code == 0, errors
    assert "5 cells computed, 0 from the store" in printed
    assert "rows of 2 of the suite's own models, as published for tiny-v1, made on " in printed
    folder = place / "results" / "tiny-v1+mine"
    page = (folder / "README.md").read_text()
    assert "| published rows | of 2 of the suite's own models, as published for tiny-v1, made on " in page
    board = pd.read_csv(folder / "leaderboard.csv")
    samples = pd.read_parquet(folder / "samples.parquet")
    assert "0 cells computed, 5 from the store" in run(*with_mine)[1]
    assert run("report", *with_mine[1:])[0] == 0
    code, printed, _ = run(*with_mine, "--recompute")
    assert code == 0
    assert "10 cells computed, 5 from the store" in printed
    assert "published rows" not in (folder / "README.md").read_text()
    pd.testing.assert_frame_equal(pd.read_csv(folder / "leaderboard.csv"), board)
    key = ["model", "split", "label", "eps", "id"]
    again = pd.read_parquet(folder / "samples.parquet")
    pd.testing.assert_frame_equal(
        *(
            frame.astype(dict.fromkeys(frame.select_dtypes("category"), str)).sort_values(
                key, ignore_index=True
            )
            for frame in (samples, again)
        )
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("eps = [0.1, 0.3]", "eps = [0.1, 0.2]"),
        ('attack = "fgsm"\neps = [0.1', 'attack = "pgd"\noptions = { steps = 1 }\neps = [0.1'),
        ("samples = 40", "samples = 30"),
        ('data = "digits"', 'data = "digits"\nseed = 1'),
        ('data = "digits"', 'data = "digits"\nbatch = 7'),
    ],
)
def test_rows_of_another_question_are_not_taken(run: Run, place: Path, old: str, new: str) -> None:
    (place / "tiny.toml").write_text(SUITE.replace(old, new))
    code, printed, _ = run("run", place / "tiny.toml", "--defense", place / "mine.py", "--dry-run")
    assert code == 0
    assert "digits-softmax-s0" in printed
    assert "digits-lgm-s0" in printed


def test_rows_by_other_numerics_are_not_taken(run: Run, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = ("run", place / "tiny.toml", "--defense", place / "mine.py", "--dry-run")
    assert "digits-softmax-s0" not in run(*plan)[1]
    monkeypatch.setattr(published_rows, "NUMERICS", 99)
    assert "digits-softmax-s0" in run(*plan)[1]


def test_part_of_a_suite_takes_part_of_the_rows(run: Run, place: Path) -> None:
    plan = ("run", place / "tiny.toml", "--defense", place / "mine.py", "--dry-run")
    printed = run(*plan, "--attacks", "fast", "--models", "digits-lgm-s0")[1]
    assert "digits-lgm-s0" not in printed
    assert "mine" in printed


def test_published_results_lend_their_rows(
    gmbench: Callable[..., int], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those in the repository."""
    assert gmbench("run", "digits-v2", "--defense", place / "mine.py", "--dry-run", "--store", place) == 0
    printed = capsys.readouterr().out
    assert "mine" in printed
    assert "digits-lgm-s0" not in printed
