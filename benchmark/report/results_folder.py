"""A results folder: what it holds, whether it is whole, and read back, for `results_diff`.

The verdicts are read from its README: those of the claims need the models, and stand there alone.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from ..analysis.results_diff import Results

__all__ = ["MANIFEST", "check_replaceable", "is_intact", "read_results"]

MANIFEST = "manifest.json"

_ENTRIES = {
    "README.md",
    "eer.csv",
    "eer.md",
    "eer.tex",
    "figures",
    "leaderboard.csv",
    "leaderboard.md",
    MANIFEST,
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
    sections = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", text, re.MULTILINE))
    checks = sections.get("Checks", "")
    if count := re.search(r"(\d+) sanity checks", checks):
        yield "sanity checks", count[1]
    for model, check, *_ in _rows(checks):
        yield f"{check} of {model}", "failed"
    for paper, claim, *_, verdict in _rows(sections.get("The papers' claims", "")):
        yield f"{paper}: {claim}", verdict.strip("*")


def _rows(section: str) -> Iterator[list[str]]:
    """Split the rows of a section's table, as `tables.markdown` writes them, into cells."""
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    for line in lines[2:]:
        yield [cell.replace("\\|", "|") for cell in re.split(r"(?<!\\) \| ", line[2:-2])]
