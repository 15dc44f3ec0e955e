"""``gmbench store``: what lies in the store, and how it is cleaned, verified and carried elsewhere."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ...models.files import store_root
from ..data.datasets import DataError
from ..engine.entry import StoreError
from ..engine.keeping.archive import read_archive, write_archive
from ..engine.keeping.inventory import Item, inventory
from ..engine.keeping.needs import needed
from ..engine.plan import plan_suite
from ..engine.store import Store
from ..engine.suite import load_suite, suites
from .console import console, fail, warn
from .options import DataRoot, Defenses, Plugins, StoreRoot, load_plugins
from .telling.bar import Bar

__all__ = ["store"]

store = typer.Typer(invoke_without_command=True)

Named = Annotated[
    list[str] | None,
    typer.Argument(help="Suites beside those that can be run today: TOML files, with your own models, say."),
]

ArchiveFile = Annotated[Path, typer.Argument(help="The file.")]


@store.callback()
def sizes(context: typer.Context, data_root: DataRoot = None, store: StoreRoot = None) -> None:
    """Show what the store holds, by suite and model; prune, verify, export or import it.

    The store keeps whatever was computed: a cell is an attack on a model at one size, with its images; beside
    it lie the detectors' scores, what detectors have learned, and what models were asked. Several runs may
    use it at once. An entry is verified whenever it is read, and made again where it is damaged.
    """
    if context.invoked_subcommand is not None:
        return
    place = Store(store_root(store))
    items = inventory(place)
    if not items:
        console.print(f"nothing in the store at {place.root}; gmbench run fills it")
        return
    of_suites: dict[str, set[str]] = {}
    for name in todays(items):
        try:
            of_suites[name] = needed_by([name], items, place, data_root)
        except DataError as error:
            warn(f"{name} cannot be told from the rest: {error}")
    rows: dict[tuple[str, str], list[Item]] = defaultdict(list)
    for item in items:
        named = [name for name, keys in of_suites.items() if item.key in keys]
        rows[(", ".join(named) or "none of today's", item.model or "(any)")].append(item)
    _show(rows, items)
    console.print(f"in {place.root}")


@store.command()
def prune(
    suites: Named = None,
    defense: Defenses = None,
    plugin: Plugins = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; remove nothing.")] = False,
    data_root: DataRoot = None,
    store: StoreRoot = None,
) -> None:
    """Remove what no suite needs: not those that can be run today, and none that is named.

    That is what was computed by older rules, for other numbers of samples, for models and suites that are no
    more, and for defenses of your own, unless you name them with --defense, beside the suites that they were
    run in (else: beside those of today). It would be computed again if it were asked for.
    """
    load_plugins(plugin)
    place = Store(store_root(store))
    items = inventory(place)
    keys = needed_by(todays(items), items, place, data_root)
    if suites or defense:
        keys |= needed_by(suites or todays(items), items, place, data_root, defense or ())
    gone = [item for item in items if item.key not in keys]
    if not gone:
        console.print(f"nothing to prune: a suite needs each of the {len(items)} entries in {place.root}")
        return
    rows: dict[tuple[str, str], list[Item]] = defaultdict(list)
    for item in gone:
        rows[(item.kind, item.model or "(any)")].append(item)
    _show(rows, gone, first="what")
    console.print(f"{len(gone)} of {len(items)} entries in {place.root}")
    if dry_run:
        return
    if not yes and not _agrees(f"remove these {_megabytes(gone)}?"):
        console.print("nothing was removed")
        return
    for item in gone:
        place.remove(item.key)
    console.print(f"removed {len(gone)} entries, {_megabytes(gone)}")


@store.command()
def verify(store: StoreRoot = None) -> None:
    """Read every entry and verify its checksums; exit code 1 if one is damaged.

    A damaged one is made again by the next run that needs it.
    """
    place = Store(store_root(store))
    keys, damaged = place.keys(), 0
    with Bar() as bar:
        bar.begin(len(keys))
        for key in keys:
            bar.advance(1)
            try:
                place.read_key(key)
            except StoreError as error:
                damaged += 1
                fail(error)
    console.print(f"{len(keys) - damaged} of {len(keys)} entries in {place.root} are sound")
    if damaged:
        raise typer.Exit(1)


@store.command("export")
def export_suite(
    suite: Annotated[str, typer.Argument(help="A suite's name (see: gmbench list) or a TOML file.")],
    file: ArchiveFile,
    defense: Defenses = None,
    plugin: Plugins = None,
    data_root: DataRoot = None,
    store: StoreRoot = None,
) -> None:
    """Write all that the store holds of a suite to one file, to be imported elsewhere.

    Where it is imported, gmbench report writes the same tables and figures, and gmbench run computes what is
    lacking; neither attacks what is there. The suite's data and models are not in the file.
    """
    load_plugins(plugin)
    place = Store(store_root(store))
    items = inventory(place)
    keys = needed_by([suite], items, place, data_root, defense or ())
    if not keys:
        raise ValueError(
            f"expected the store at {place.root} to hold something of {suite}, got nothing of it"
        )
    size = write_archive(file, place, sorted(keys))
    kinds = Counter(item.kind for item in items if item.key in keys)
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    console.print(f"{len(keys)} entries ({told}), {size / 1e6:.1f} MB: {file}")


@store.command("import")
def import_file(file: ArchiveFile, store: StoreRoot = None) -> None:
    """Take entries from a file that gmbench store export wrote; what the store holds already stays.

    All are verified before the first is stored. A stranger's file can hold made-up numbers, as any result
    can, but nothing that is run, and it writes nowhere but into the store.
    """
    if not file.is_file():
        raise ValueError(f"expected {file} to be a file, got none")
    place = Store(store_root(store))
    new, there = read_archive(file, place)
    console.print(f"{new} entries taken, {there} were there; in {place.root}")


def todays(items: Sequence[Item]) -> Iterator[str]:
    """Name our suites that can be run today, of those data sets that a cell of the store is of.

    The others need nothing of it, and their data may not be there to plan them.
    """
    there = {item.description.get("data") for item in items if item.kind == "cell"}
    for name in suites():
        suite = load_suite(name)
        if not suite.outdated and suite.data in there:
            yield name


def needed_by(
    names: Iterable[str],
    items: Sequence[Item],
    place: Store,
    data_root: Path | None,
    defenses: Sequence[str] = (),
) -> set[str]:
    """Give the keys of what suites need of a store; each is planned for it.

    Raises:
        ValueError: A suite cannot be planned: what it needs is not known then.
    """
    keys: set[str] = set()
    for name in names:
        plan, _ = plan_suite(name, defenses=defenses, device="cpu", root=data_root, store=place)
        keys |= needed(plan, items)
    return keys


def _agrees(question: str) -> bool:
    try:
        return typer.confirm(question)
    except typer.Abort:
        raise ValueError("expected an answer, got none; say --yes where nobody can be asked") from None


def _show(rows: dict[tuple[str, str], list[Item]], items: Sequence[Item], first: str = "suite") -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in (first, "model", "cells", "entries", "MB"):
        table.add_column(column, justify="left" if column in (first, "model") else "right", no_wrap=True)
    for (suite, model), own in sorted(rows.items()):
        table.add_row(suite, model, *_counts(own))
    if len(rows) > 1:
        table.add_row("together", "", *_counts(items))
    table.width = console.measure(table, options=console.options.update(max_width=1000)).maximum
    console.print(table)


def _counts(items: Sequence[Item]) -> tuple[str, str, str]:
    size = sum(item.size for item in items)
    return str(sum(item.kind == "cell" for item in items)), str(len(items)), f"{size / 1e6:.1f}"


def _megabytes(items: Sequence[Item]) -> str:
    return f"{sum(item.size for item in items) / 1e6:.1f} MB"
