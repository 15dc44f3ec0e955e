"""A new report against the published one: written beside it, put in its place only if it says something else.

So results of another machine that are equal within rounding leave the published files as they are.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...models.files import put_folder
from ..analysis.results_diff import DIFFERENT, ResultsDiff, compare_results
from .results_folder import MANIFEST, check_replaceable, is_intact, read_results

__all__ = ["Draft", "settling"]


@dataclass
class Draft:
    """A report that is being written beside the published one.

    Args:
        built: Where to write it.
        found: Once it is settled, how it compares with what was there; None where no results were.
        kept: Whether what was there stays.
    """

    built: Path
    found: ResultsDiff | None = None
    kept: bool = False

    def __str__(self) -> str:
        if self.found is None:
            return "nothing was there to compare with"
        return f"against what was there: {self.found}; {'which stays' if self.kept else 'which is replaced'}"


@contextmanager
def settling(folder: Path, *, keep: bool) -> Iterator[Draft]:
    """Have a report written into ``built`` and settle whether it takes the place of ``folder``.

    It does not where ``folder`` holds the whole report of the same suite by the same code, and the two are
    equal or equal within rounding.

    Args:
        folder: results/SUITE; new, or an earlier report.
        keep: Whether what is there may stay; else nothing is compared.

    Raises:
        FileExistsError: The folder holds something that is no part of a report.
    """
    check_replaceable(folder)
    draft = Draft(folder.with_name(f".{folder.name}.new"))
    shutil.rmtree(draft.built, ignore_errors=True)
    try:
        yield draft
        draft.found = _compare(folder, draft.built) if keep else None
        same = draft.found is not None and draft.found.kind != DIFFERENT
        draft.kept = same and is_intact(folder) and _drawn_by(folder) == _drawn_by(draft.built)
        if draft.kept:
            _add_vectors(draft.built, folder)
        else:
            put_folder(draft.built, folder)
    finally:
        shutil.rmtree(draft.built, ignore_errors=True)


def _compare(folder: Path, built: Path) -> ResultsDiff | None:
    try:
        return compare_results(read_results(folder), read_results(built))
    except ValueError:  # nothing there, or no whole report
        return None


def _drawn_by(folder: Path) -> str:
    """Tell what wrote a report: its suite's text and the code's number, hashed."""
    return str(json.loads((folder / MANIFEST).read_text()).get("rendering"))


def _add_vectors(built: Path, folder: Path) -> None:
    """Give a clone the SVGs that git has not."""
    for path in built.rglob("*.svg"):
        place = folder / path.relative_to(built)
        if not place.exists():
            path.rename(place)
