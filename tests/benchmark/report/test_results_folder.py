"""What a results folder says of itself, read back."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from gmbench.benchmark.analysis.results_diff import EQUAL, compare_results
from gmbench.benchmark.report.results_folder import read_results
from gmbench.benchmark.report.tables import markdown

RESULTS = Path(__file__).parents[3] / "results"
DIGITS = RESULTS / "digits-v1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A results folder of one's own, as far as it is read."""
    for name in ("samples.parquet", "eer.csv", "leaderboard.csv", "README.md"):
        shutil.copy(DIGITS / name, tmp_path)
    return tmp_path


def test_published_results_are_read_and_equal_themselves(folder: Path) -> None:
    assert compare_results(read_results(DIGITS), read_results(folder)).kind == EQUAL


def test_every_verdict_of_the_page_is_read() -> None:
    text = (RESULTS / "cifar10-jpeg-v1" / "README.md").read_text(encoding="utf-8")
    verdicts = read_results(RESULTS / "cifar10-jpeg-v1").verdicts
    judged = {
        what: verdict
        for what, verdict in verdicts.items()
        if verdict in ("holds", "does not hold", "not decided")
    }
    assert len(judged) == sum(text.count(f"| **{verdict}** |") for verdict in set(judged.values())) > 10
    failed = [what for what, verdict in verdicts.items() if verdict == "failed"]
    assert f"{len(failed)} of {verdicts['sanity checks']} sanity checks **failed**" in text
    assert "zero-gradients of cifar10-jpeg-mmc-s0" in failed


def test_a_cell_may_hold_the_tables_own_sign(folder: Path) -> None:
    row = {"paper": "P | Q", "claim": "a | b", "measured here": "| 1 |", "verdict": "**holds**"}
    table = markdown([row, row | {"paper": "R"}])
    page = f"# x\n\n## The papers' claims\n\nRules.\n\n{table}\n\n## Leaderboard\n"
    (folder / "README.md").write_text(page, encoding="utf-8")
    assert read_results(folder).verdicts == {"P | Q: a | b": "holds", "R: a | b": "holds"}


@pytest.mark.parametrize("name", ["samples.parquet", "eer.csv", "leaderboard.csv", "README.md"])
def test_what_is_no_results_folder_is_one_line(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ValueError, match=f"to be a results folder, got one without {name}"):
        read_results(folder)


@pytest.mark.parametrize("name", ["samples.parquet", "eer.csv"])
def test_a_damaged_table_is_one_line(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"")
    with pytest.raises(ValueError, match="to be readable, got: ") as caught:
        read_results(folder)
    assert "\n" not in str(caught.value)


def test_the_command_says_which_of_the_three(
    gmbench: Callable[..., int], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gmbench("diff", DIGITS, folder) == 0
    assert capsys.readouterr().out == "equal\n"
    samples = pd.read_parquet(folder / "samples.parquet")
    samples["margin"] += samples["margin"].abs().to_numpy() * 1e-6
    samples.to_parquet(folder / "samples.parquet")
    assert gmbench("diff", DIGITS, folder) == 0
    told = capsys.readouterr().out
    assert "samples.margin" in told
    assert told.splitlines()[-1].startswith("equal within rounding (0 of 71250 predictions differ")
    board = (folder / "leaderboard.csv").read_text()
    (folder / "leaderboard.csv").write_text(board.replace(",unchecked\n", ",noise-weakest\n", 1))
    assert gmbench("diff", DIGITS, folder) == 1
    *_, where, last = capsys.readouterr().out.splitlines()
    assert (
        "digits-softmax-s0, L2, eps inf, white-box, oblivious, msp, verdict: unchecked -> noise-weakest"
        in where
    )
    assert last.startswith("different (0 of 71250 predictions differ; 1 departures, the first: leaderboard")
    assert gmbench("diff", DIGITS, folder / "nowhere") == 2
    assert "to be a results folder" in capsys.readouterr().err
