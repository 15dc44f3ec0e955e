"""``gmbench run`` and ``gmbench report``: a suite computed, and its results written again."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from ..engine.failure import Failure
from ..engine.plan import Plan
from ..engine.store import Store
from ..engine.work.crews import crew_for
from ..report.publish import publish, run_suite
from ..report.published_rows import OURS, take_published
from ..report.redraw import redraw
from ..report.results_folder import reserved
from .choice import Choice, takes_choice
from .console import console, fail
from .dry_run import show_costs
from .options import CellLimit, Recompute, Results, Scheduler, Workers
from .telling.teller import Teller, teller_for, where

__all__ = ["report", "run"]


@takes_choice
def run(
    choice: Choice,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and its estimated time; compute no attack.")
    ] = False,
    recompute: Recompute = False,
    results: Results = Path("results"),
    workers: Workers = None,
    scheduler: Scheduler = None,
    cell_limit: CellLimit = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but what fails.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print events as JSON, one a line: begin, finished, failed, end.")
    ] = False,
) -> None:
    """Run a suite and write its tables and figures.

    What the store holds already is not computed again: a run that was stopped goes on where it was, and one
    with fewer models or attacks takes its cells from a full one. A narrowed run, or one with your own
    defense, writes to a folder of its own and leaves the published results alone. Of your own defense alone
    the cells are computed where the suite's own models are published.
    """
    teller = teller_for(quiet=quiet, as_json=as_json)
    if dry_run and (quiet or as_json):
        raise ValueError(f"expected --dry-run without {'--quiet' if quiet else '--json'}, got both")
    place = choice.place
    plan, name = choice.plan()
    for note in _notes(plan):
        teller.note(note)
    if not recompute:
        plan = take_published(plan, (results, OURS))
    for note in _origins(plan):
        teller.note(note)
    if dry_run:
        show_costs(plan, place, workers or 1)
        return
    folder = results / name
    try:
        with _ended_like_interrupted(), crew_for(plan, place, workers, scheduler) as crew:
            teller.note(str(crew))
            with teller:
                summary, compared = run_suite(plan, place, crew, folder, teller, limit=cell_limit)
    except KeyboardInterrupt:
        _interrupted(plan, place, teller)
    teller.end(summary, place.root, folder if summary.made + summary.found else None, compared)
    if summary.failures:
        raise typer.Exit(1)


@takes_choice
def report(
    choice: Choice,
    recompute: Recompute = False,
    results: Results = Path("results"),
    figures: Annotated[
        bool,
        typer.Option(
            "--figures/--no-figures",
            help="Draw the feature space, too: every model looks at some thousand images again.",
        ),
    ] = True,
) -> None:
    """Write a suite's tables and figures again from the store; attacks nothing.

    What the store lacks or holds damaged is named, here and on the page, and the exit code is 1. Of a folder
    of results, whatever its samples.parquet decides is drawn again in its place, without store and models.
    """
    if Path(choice.suite).is_dir():
        if choice.narrows:
            raise ValueError(f"expected no choice beside a folder of results, got one beside {choice.suite}")
        folder = Path(choice.suite)
        with reserved(folder):
            failures = redraw(folder).failures
        _end(folder, failures)
        return
    plan, name = choice.plan()
    if not recompute:
        plan = take_published(plan, (results, OURS))
    folder = results / name
    with reserved(folder):
        failures = publish(plan, choice.place, folder, failures=plan.failures, features=figures).failures
    _end(folder, failures)


@contextmanager
def _ended_like_interrupted() -> Iterator[None]:
    """Have a polite request to end (SIGTERM) do what an interrupt from the keyboard does."""

    def interrupt(_signal: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _notes(plan: Plan) -> Iterator[str]:
    """Say what was done to models of others that their users should know."""
    for job in plan.jobs:
        if note := getattr(job.entrant.classifier, "note", ""):
            yield f"{job.entrant.name}: {note}"


def _origins(plan: Plan) -> Iterator[str]:
    """Say whose rows are taken, and whose cells are not."""
    if plan.published:
        yield f"rows {plan.published.told}; --recompute makes them anew"
    for name in plan.changed:
        yield (
            f"{name}: its files and weights are those of an earlier run and its outputs are not; its cells "
            "are made anew"
        )


def _end(folder: Path, failures: Sequence[Failure]) -> None:
    """Say where the results are and what is not among them; exit code 1 if anything is."""
    console.print(where(folder))
    for failure in failures:
        fail(failure)
    if failures:
        raise typer.Exit(1)


def _interrupted(plan: Plan, store: Store, teller: Teller) -> NoReturn:
    cells = list(plan.cells())
    teller.stopped(sum(store.has(cell.description) for cell in cells), len(cells), store.root)
    raise typer.Exit(130)
