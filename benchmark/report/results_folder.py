"""A results folder: what it holds, whether it is whole, and read back, for `results_diff`.

The verdicts are read from its README: those of the claims need the models, and stand there alone.
"""

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from filelock import FileLock, Timeout

from ..analysis.results_diff import Results
from .escape import plain_text

__all__ = ["MANIFEST", "check_replaceable", "is_intact", "read_results", "reserved", "rows_of", "sections_of"]

MANIFEST = "manifest.json"

_ENTRIES = {
    "README.md",
    "checks.csv",
    "eer.csv",
    "eer.md",
    "eer.tex",
    "figures",
    "inspections.csv",
    "leaderboard.csv",
    "leaderboard.md",
    MANIFEST,
    "ranking.csv",
    "roc",
    "samples.parquet",
}

_FILES = ("samples.parquet", "eer.csv", "leaderboard.csv", "README.md")


def check_replaceable(folder: Path) -> None:
    """See to it that nothing is replaced but a report.

    Raises:
        FileExistsError: The folder holds something that is no part of one.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise FileExistsError(f"expected {folder} to be a folder, got a file")
    if foreign := sorted(entry.name for entry in folder.iterdir() if entry.name not in _ENTRIES):
        raise FileExistsError(
            f"expected {folder} to be new or an earlier report, which is replaced, got one with "
            f"{', '.join(foreign[:3])}"
        )


@contextmanager
def reserved(folder: Path) -> Iterator[None]:
    """Hold a results folder for one run, before anything is computed for it.

    Raises:
        FileExistsError: It holds something that is no part of a report, or another run writes to it.
        PermissionError: It cannot be written.
    """
    if folder.parent.exists() and not folder.parent.is_dir():
        raise FileExistsError(f"expected {folder.parent} to be a folder, got a file")
    check_replaceable(folder)
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent):
            pass
    except Timeout:
        raise FileExistsError(
            f"another run writes to {folder}; wait for it, or give this one its own folder with --results"
        ) from None
    except OSError as error:
        lock.release()
        raise PermissionError(f"expected {folder} to be writable, got: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


def is_intact(folder: Path) -> bool:
    """Tell whether no file of a report is missing or changed; git has no SVG, so none is missed."""
    try:
        files = json.loads((folder / MANIFEST).read_text())["files"]
        return all(
            hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
            for name, digest in files.items()
            if not name.endswith(".svg")
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def read_results(folder: Path) -> Results:
    """Read the results that `write_report` wrote.

    Raises:
        ValueError: The folder lacks one of the files, or one cannot be read.
    """
    if missing := [name for name in _FILES if not (folder / name).is_file()]:
        raise ValueError(f"expected {folder} to be a results folder, got one without {', '.join(missing)}")
    try:
        return Results(
            pd.read_parquet(folder / "samples.parquet"),
            pd.read_csv(folder / "eer.csv"),
            pd.read_csv(folder / "leaderboard.csv"),
            dict(_verdicts((folder / "README.md").read_text(encoding="utf-8"))),
        )
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"expected the tables in {folder} to be readable, got: {reason}") from None


def _verdicts(text: str) -> Iterator[tuple[str, str]]:
    """Tell what the README judges, and how."""
    sections = sections_of(text)
    checks = sections.get("Checks", "")
    if count := re.search(r"(\d+) sanity checks", checks):
        yield "sanity checks", count[1]
    for model, check, *_ in rows_of(checks):
        yield f"{check} of {model}", "failed"
    for paper, claim, *_, verdict in rows_of(sections.get("The papers' claims", "")):
        yield f"{paper}: {claim}", verdict.strip("*")


def sections_of(text: str) -> dict[str, str]:
    """Split a README into its sections, {heading: text}."""
    return dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", text, re.MULTILINE))


def rows_of(section: str) -> Iterator[list[str]]:
    """Split the rows of a section's table, as `tables.markdown` writes them, into cells."""
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    for line in lines[2:]:
        yield [plain_text(cell) for cell in re.split(r"(?<!\\) \| ", line[2:-2])]
