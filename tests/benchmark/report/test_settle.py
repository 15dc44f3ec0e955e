"""Which of two reports stays: the published one, unless it is stale or the new one says something else."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gmbench.benchmark.analysis.results_diff import DIFFERENT, EQUAL, WITHIN_ROUNDING
from gmbench.benchmark.report.results_folder import MANIFEST, is_intact
from gmbench.benchmark.report.settle import settling

DIGITS = Path(__file__).parents[3] / "results" / "digits-v1"


def write(folder: Path, *, margin: float = 0.0, page: str = "", rendering: str = "by 10") -> None:
    """Write a report as far as it is compared: digits-v1's, with margins and a page of one's own."""
    folder.mkdir(parents=True)
    for name in ("eer.csv", "leaderboard.csv"):
        shutil.copy(DIGITS / name, folder)
    samples = pd.read_parquet(DIGITS / "samples.parquet")
    samples.assign(margin=samples["margin"] + np.float32(margin)).to_parquet(folder / "samples.parquet")
    (folder / "README.md").write_text(f"{(DIGITS / 'README.md').read_text()}{page}")
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    (folder / MANIFEST).write_text(json.dumps({"rendering": rendering, "files": digests}))
    (folder / "figures").mkdir()
    (folder / "figures" / "a.svg").write_text(page)


def write_in_part(folder: Path, error: Exception) -> None:
    write(folder, margin=1)
    raise error


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "digits-v1"
    write(folder)
    return folder


@pytest.mark.parametrize(
    ("margin", "kind", "kept"), [(0, EQUAL, True), (1e-4, WITHIN_ROUNDING, True), (1, DIFFERENT, False)]
)
def test_what_is_published_stays_unless_the_new_says_something_else(
    folder: Path, margin: float, kind: str, kept: bool
) -> None:
    before = contents(folder)
    with settling(folder, keep=True) as draft:
        write(draft.built, margin=margin, page="Another machine.")
        new = contents(draft.built)
    assert draft.found is not None
    assert (draft.found.kind, draft.kept) == (kind, kept)
    assert contents(folder) == (before if kept else new)
    assert str(draft).startswith(f"against what was there: {kind}")
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_stale_a_damaged_and_an_incomplete_report_are_replaced(folder: Path) -> None:
    for name, old, new in (
        (MANIFEST, "by 10", "by 9"),
        ("README.md", "digits", "digit"),
        (MANIFEST, "{", "["),
        ("eer.csv", "model", "mode"),
    ):
        (folder / name).write_text((folder / name).read_text().replace(old, new))
        with settling(folder, keep=True) as draft:
            write(draft.built, page="New.")
            written = contents(draft.built)
        assert not draft.kept
        assert contents(folder) == written
        assert is_intact(folder)


def test_a_clone_gets_the_svgs_that_git_has_not(folder: Path) -> None:
    (folder / "figures" / "a.svg").unlink()
    assert is_intact(folder)
    with settling(folder, keep=True) as draft:
        write(draft.built, page="New.")
    assert draft.kept
    assert (folder / "figures" / "a.svg").read_text() == "New."


def test_a_run_of_ones_own_is_compared_with_nothing(folder: Path) -> None:
    with settling(folder, keep=False) as draft:
        write(draft.built, page="New.")
    assert (draft.found, draft.kept) == (None, False)
    assert (folder / "README.md").read_text().endswith("New.")


def test_a_report_that_fails_leaves_what_was_there(folder: Path) -> None:
    before = contents(folder)
    full = OSError("full")
    with pytest.raises(OSError, match="full"), settling(folder, keep=True) as draft:
        write_in_part(draft.built, full)
    assert contents(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    (folder / "mine.txt").write_text("")
    with pytest.raises(FileExistsError, match=r"mine\.txt"), settling(folder, keep=True):
        pass
