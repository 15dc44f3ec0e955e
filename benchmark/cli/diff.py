"""``gmbench diff``: whether two results folders say the same."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ..analysis.results_diff import DIFFERENT, ResultsDiff, compare_results
from ..report.results_folder import read_results
from .console import console

__all__ = ["diff"]

SHOWN = 20

Folder = Annotated[Path, typer.Argument(help="A results folder, such as results/digits-v2.")]


def diff(one: Folder, other: Folder) -> None:
    """Compare two results folders: equal, equal within rounding, or different (exit code 1).

    Within rounding: at most .5 % of the predictions differ, no figure leaves the other's interval, and no
    verdict changes.
    """
    found = compare_results(read_results(one), read_results(other))
    _show(found)
    if found.kind == DIFFERENT:
        raise typer.Exit(1)


def _show(found: ResultsDiff) -> None:
    if found.largest:
        table = Table(box=None, padding=(0, 2, 0, 0))
        table.add_column("column")
        table.add_column("largest difference", justify="right")
        for column, size in found.largest.items():
            table.add_row(column, f"{size:.3g}")
        console.print(table)
    for departure in found.departures[:SHOWN]:
        console.print(str(departure))
    if more := len(found.departures[SHOWN:]):
        console.print(f"and {more} more")
    console.print(str(found))
