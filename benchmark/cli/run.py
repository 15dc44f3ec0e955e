"""``gmbench run`` and ``gmbench report``: a suite computed, and its results written again."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.table import Table

from ...models.files import store_root
from ..engine.failure import Failure
from ..engine.guest.process import LIMIT
from ..engine.plan import Plan, plan_suite
from ..engine.run import estimate_seconds
from ..engine.store import Store
from ..engine.suite import DEFAULT
from ..report.publish import publish, run_suite
from ..report.published_rows import OURS, take_published
from ..report.redraw import redraw
from ..report.results_folder import reserved
from .console import Bar, console, fail
from .options import (
    Attacks,
    DataRoot,
    Defenses,
    Detectors,
    Device,
    GuestLimit,
    Models,
    Plugins,
    Recompute,
    Results,
    Samples,
    StoreRoot,
    load_plugins,
)

__all__ = ["report", "run"]


def run(
    suite: Annotated[
        str, typer.Argument(help="A suite's name (see: gmbench list) or a TOML file.")
    ] = DEFAULT,
    models: Models = None,
    attacks: Attacks = None,
    detectors: Detectors = None,
    samples: Samples = None,
    defense: Defenses = None,
    guest_limit: GuestLimit = LIMIT,
    plugin: Plugins = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and its estimated time; compute no attack.")
    ] = False,
    recompute: Recompute = False,
    device: Device = "auto",
    data_root: DataRoot = None,
    store: StoreRoot = None,
    results: Results = Path("results"),
) -> None:
    """Run a suite and write its tables and figures.

    What the store holds already is not computed again: a run that was stopped goes on where it was, and one
    with fewer models or attacks takes its cells from a full one. A narrowed run, or one with your own
    defense, writes to a folder of its own and leaves the published results alone. Of your own defense alone
    the cells are computed where the suite's own models are published.
    """
    load_plugins(plugin)
    place = Store(store_root(store))
    plan, name = _plan(
        suite, models, attacks, detectors, samples, defense, guest_limit, device, data_root, place
    )
    _say_notes(plan)
    if not recompute:
        plan = take_published(plan, (results, OURS))
    folder = results / name
    if dry_run:
        _show_plan(plan, place)
        return
    _tell_origin(plan)
    try:
        with Bar() as bar:
            summary, compared = run_suite(plan, place, folder, bar)
    except KeyboardInterrupt:
        _interrupted(plan, place)
    console.print(
        f"{summary.made} cells computed, {summary.found} from the store at {place.root}, "
        f"{len(summary.failures)} failures"
    )
    if not summary.made + summary.found:
        _fail(summary.failures)
    _end(folder, summary.failures, compared)


def report(
    suite: Annotated[
        str, typer.Argument(help="A suite's name, a TOML file, or a folder of results with samples.parquet.")
    ] = DEFAULT,
    models: Models = None,
    attacks: Attacks = None,
    detectors: Detectors = None,
    samples: Samples = None,
    defense: Defenses = None,
    guest_limit: GuestLimit = LIMIT,
    plugin: Plugins = None,
    recompute: Recompute = False,
    device: Device = "auto",
    data_root: DataRoot = None,
    store: StoreRoot = None,
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
    load_plugins(plugin)
    if Path(suite).is_dir():
        if models or attacks or detectors or samples or defense:
            raise ValueError(f"expected no choice beside a folder of results, got one beside {suite}")
        folder = Path(suite)
        with reserved(folder):
            failures = redraw(folder).failures
        _end(folder, failures)
        return
    place = Store(store_root(store))
    plan, name = _plan(
        suite, models, attacks, detectors, samples, defense, guest_limit, device, data_root, place
    )
    if not recompute:
        plan = take_published(plan, (results, OURS))
    folder = results / name
    with reserved(folder):
        failures = publish(plan, place, folder, failures=plan.failures, features=figures).failures
    _end(folder, failures)


def _say_notes(plan: Plan) -> None:
    """Say what was done to models of others that their users should know."""
    for job in plan.jobs:
        if note := getattr(job.entrant.classifier, "note", ""):
            console.print(f"{job.entrant.name}: {note}")


def _plan(
    suite: str,
    models: Sequence[str] | None,
    attacks: Sequence[str] | None,
    detectors: Sequence[str] | None,
    samples: int | None,
    defenses: Sequence[str] | None,
    guest_limit: float,
    device: str,
    root: Path | None,
    store: Store,
) -> tuple[Plan, str]:
    return plan_suite(
        suite,
        models=models or (),
        attacks=attacks or (),
        detectors=detectors or (),
        samples=samples,
        defenses=defenses or (),
        guest_limit=guest_limit,
        device=device,
        root=root,
        store=store,
    )


def _show_plan(plan: Plan, store: Store) -> None:
    table = Table(title=f"{plan.suite.name} on {plan.device}: what would be run")
    for column in ("model", "attack", "threat model", "images", "in the store"):
        table.add_column(column, justify="right" if column == "images" else "left")
    for cell in plan.cells():
        table.add_row(
            cell.model,
            cell.label,
            str(cell.threat or cell.split),
            str(cell.samples),
            "yes" if store.has(cell.description) else "no",
        )
    console.print(table)
    _tell_origin(plan)
    seconds = estimate_seconds(plan, store)
    for name, value in seconds.items():
        console.print(f"{name}: about {value / 60:.1f} min")
    console.print(
        f"together about {sum(seconds.values()) / 60:.1f} min at most; attacks that stop early take less"
    )


def _tell_origin(plan: Plan) -> None:
    if plan.published:
        console.print(f"rows {plan.published.told}; --recompute makes them anew")
    for name in plan.changed:
        console.print(
            f"{name}: its files and weights are those of an earlier run and its outputs are not; its cells "
            "are made anew"
        )


def _end(folder: Path, failures: Sequence[Failure], told: str = "") -> None:
    """Say where the results are and what is not among them; exit code 1 if anything is."""
    console.print(f"results: {folder}/README.md and {folder}/leaderboard.csv")
    if told:
        console.print(told)
    if failures:
        _fail(failures)


def _fail(failures: Sequence[Failure]) -> NoReturn:
    for failure in failures:
        fail(failure)
    raise typer.Exit(1)


def _interrupted(plan: Plan, store: Store) -> NoReturn:
    cells = list(plan.cells())
    done = sum(store.has(cell.description) for cell in cells)
    console.print(
        f"\ninterrupted: {done} of {len(cells)} cells are finished and kept in {store.root}; the same "
        "command goes on from there"
    )
    raise typer.Exit(130)
