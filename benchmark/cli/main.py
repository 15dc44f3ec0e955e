"""The command line. Exit codes.

0 done, 1 something failed and the rest is finished, 2 wrong usage or input, 130 interrupted.
"""

import json
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.table import Table

from ...attacks import ATTACKS
from ...detectors import DETECTORS
from ...models import HEADS, NETS, CheckpointError, checkpoints, load_recipe, read_card
from ...models.about import about_of
from ...models.files import store_root
from ...models.losses import about_loss, known_losses
from ...models.plugins import load_plugin
from ...models.recipe import recipes
from ...models.registry import PluginWarning, Registry
from ...models.training import Diverged
from ..data.datasets import DATASETS, DataError, fetch_data, load_data
from ..engine.defense import DefenseError
from ..engine.failure import Failure
from ..engine.plan import Plan, pick_device, plan_suite
from ..engine.run import estimate_seconds
from ..engine.store import Store, StoreError
from ..engine.suite import load_suite, suites
from ..report.publish import publish, run_suite
from ..report.published_rows import OURS, take_published
from ..report.redraw import redraw
from ..report.results_folder import reserved
from .console import Bar, console, fail, warn
from .diff import diff
from .zoo import DataRoot, Device, train_showing, zoo

__all__ = ["app", "main"]

WRONG_INPUT = (
    CheckpointError,
    DataError,
    DefenseError,
    StoreError,
    ValueError,
    KeyError,
    ImportError,
    FileExistsError,
    PermissionError,
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


app.add_typer(zoo, name="zoo")
app.command()(diff)


StoreRoot = Annotated[
    Path | None,
    typer.Option(
        "--store", help="Folder of finished cells. Default: $GMBENCH_STORE, else the user's cache folder."
    ),
]

Results = Annotated[
    Path, typer.Option("--results", help="Folder for the tables and figures, one subfolder per suite.")
]

Models = Annotated[
    list[str] | None,
    typer.Option("--models", help="Only these models (name or pattern such as '*-s0'); repeat it for more."),
]

Attacks = Annotated[
    list[str] | None,
    typer.Option(
        "--attacks", help="Only these attacks, by the suite's labels or a pattern; repeat it for more."
    ),
]

Detectors = Annotated[
    list[str] | None, typer.Option("--detectors", help="Only these detectors; repeat it for more.")
]

Samples = Annotated[int | None, typer.Option("--samples", help="Only the first so many test images.")]

Defenses = Annotated[
    list[str] | None,
    typer.Option(
        "--defense",
        help="FILE.py whose build() returns a gmbench.Defense (it is run), or another's model: "
        "torchvision:NAME, timm:NAME, "
        "robustbench:NAME, PATH.pt2, torchscript:PATH, FILE.py:CLASS@WEIGHTS. Repeat it for "
        "more.",
    ),
]


Plugins = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        help="FILE.py that registers attacks, detectors, losses, nets or data sets (it is run). Repeat it "
        "for more.",
    ),
]


Recompute = Annotated[
    bool,
    typer.Option(
        "--recompute",
        help="With --defense: compute the suite's own models, too, whose published rows are taken otherwise.",
    ),
]


def _version(wanted: bool) -> None:
    if wanted:
        console.print(f"gmbench {metadata.version('gmbench')}")
        raise typer.Exit


@app.callback()
def whole(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Does a classifier with a likelihood-based defense really hold?

    Start with: gmbench run digits-v1
    """


@app.command()
def run(
    suite: Annotated[
        str, typer.Argument(help="A suite's name (see: gmbench list) or a TOML file.")
    ] = "digits-v1",
    models: Models = None,
    attacks: Attacks = None,
    detectors: Detectors = None,
    samples: Samples = None,
    defense: Defenses = None,
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
    _load(plugin)
    place = Store(store_root(store))
    plan, name = _plan(suite, models, attacks, detectors, samples, defense, device, data_root, place)
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


@app.command()
def report(
    suite: Annotated[
        str, typer.Argument(help="A suite's name, a TOML file, or a folder of results with samples.parquet.")
    ] = "digits-v1",
    models: Models = None,
    attacks: Attacks = None,
    detectors: Detectors = None,
    samples: Samples = None,
    defense: Defenses = None,
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
    _load(plugin)
    if Path(suite).is_dir():
        if models or attacks or detectors or samples or defense:
            raise ValueError(f"expected no choice beside a folder of results, got one beside {suite}")
        folder = Path(suite)
        with reserved(folder):
            failures = redraw(folder).failures
        _end(folder, failures)
        return
    place = Store(store_root(store))
    plan, name = _plan(suite, models, attacks, detectors, samples, defense, device, data_root, place)
    if not recompute:
        plan = take_published(plan, (results, OURS))
    folder = results / name
    with reserved(folder):
        failures = publish(plan, place, folder, failures=plan.failures, features=figures).failures
    _end(folder, failures)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A recipe's name (see: gmbench list) or a TOML file.")],
    seed: Annotated[
        int, typer.Option("--seed", help="Of the initial weights, the order and the shifts.", min=0)
    ] = 0,
    out: Annotated[Path, typer.Option("--out", help="Folder for the checkpoint and its card.")] = Path(
        "checkpoints"
    ),
    plugin: Plugins = None,
    device: Device = "auto",
    data_root: DataRoot = None,
) -> None:
    """Train a model from a recipe: weights (safetensors) and a card (JSON).

    A stopped training goes on after its last epoch.
    """
    _load(plugin)
    card = train_showing(load_recipe(recipe), seed, out, data_root, pick_device(device))
    console.print(
        f"{out / card.name}.safetensors: test accuracy {card.test_accuracy:.2%}, validation "
        f"{card.validation_accuracy:.2%}"
    )


@app.command("list")
def list_names(plugin: Plugins = None) -> None:
    """List suites, models, attacks, detectors, data sets, recipes, losses and nets."""
    _load(plugin)
    tables: dict[str, Sequence[tuple[str, ...]]] = {
        "suites": [(name, load_suite(name).about) for name in suites()],
        "models": [(name, _card_line(name)) for name in checkpoints()],
        "attacks": _declared(ATTACKS),
        "detectors": _declared(DETECTORS),
        "data": [(name, _first_line(DATASETS[name])) for name in DATASETS]
        + [
            ("folder:PATH", "Your own images, a folder per class."),
            ("parquet:PATH", "Your own images in Parquet files."),
        ],
        "recipes": [(name, "") for name in recipes()],
        "losses": [(name, str(about_loss(name)), _loss_line(name)) for name in known_losses()],
        "nets": [(name, _first_line(NETS[name])) for name in NETS],
    }
    for title, rows in tables.items():
        table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 2))
        for row in rows:
            table.add_row(*row)
        console.print(table, "")


@app.command()
def data(
    name: Annotated[str, typer.Argument(help="digits, mnist, cifar10-jpeg, folder:PATH or parquet:PATH.")],
    data_root: DataRoot = None,
) -> None:
    """Download a data set where it is missing, and verify it."""
    place = fetch_data(name, data_root)
    for split in ("train", "validation", "test"):
        images = load_data(name, split, data_root)
        console.print(
            f"{name} {split}: {len(images)} images {tuple(images.x.shape[1:])}, {images.classes} classes, "
            f"sha256 {images.checksum[:16]}"
        )
    console.print(f"in {place}")


@app.command()
def show(
    cell: Annotated[str | None, typer.Argument(help="The beginning of a cell's key; none lists all.")] = None,
    store: StoreRoot = None,
) -> None:
    """Show what the store knows of a cell: its description, its facts and a summary of its images."""
    place = Store(store_root(store))
    if cell is None:
        for key in place.keys():  # noqa: SIM118 - a store is no mapping
            entry = place.read_key(key)
            if "label" in entry.facts:
                console.print(
                    f"{key[:12]}  {entry.facts['model']} / {entry.facts['label']}  "
                    f"{json.dumps(entry.description['threat'])}"
                )
        return
    entry = place.find(cell)
    console.print_json(json.dumps({"description": dict(entry.description), "facts": dict(entry.facts)}))
    console.print(
        entry.table.describe()
        .T[["mean", "std", "min", "50%", "max"]]
        .to_string(float_format=lambda value: f"{value:.4g}")
    )


def main() -> None:
    """Run the command line; every expected error is one line."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", PluginWarning)
        warnings.showwarning = _tell_plugin(warnings.showwarning)
        sys.exit(_run())


def _tell_plugin(other: Callable[..., None]) -> Callable[..., None]:
    """Make what shows warnings tell a plug-in's in one line, and leave all else to ``other``."""

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, PluginWarning):
            warn(message)
        else:
            other(message, category, *where, **more)

    return show


def _run() -> int:
    try:
        code = app(standalone_mode=False)
    except typer.Exit as error:
        code = error.exit_code
    except KeyboardInterrupt:
        fail("interrupted")
        code = 130
    except (typer.Abort, EOFError):
        code = 130
    except Diverged as error:
        fail(error)
        code = 1
    except WRONG_INPUT as error:
        fail(error)
        code = 2
    except Exception as error:
        if type(error).__module__.split(".")[0] not in ("click", "typer"):
            raise
        fail(error.format_message() if hasattr(error, "format_message") else error)
        code = 2
    return code or 0


def _load(plugins: Sequence[Path] | None) -> None:
    for plugin in plugins or ():
        load_plugin(plugin)


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


def _card_line(name: str) -> str:
    card = read_card(name)
    return f"{card.loss} on {card.data}, test accuracy {card.test_accuracy:.2%}"


def _declared(registry: Registry[Any]) -> list[tuple[str, ...]]:
    """Give name, title with paper, and what it does, of each."""
    return [(name, str(about_of(name, registry[name])), _first_line(registry[name])) for name in registry]


def _loss_line(loss: str) -> str:
    return _first_line(HEADS[loss]) if loss in HEADS else "A recipe's: another loss on adversarial images."


def _first_line(thing: object) -> str:
    return next(iter((thing.__doc__ or "").strip().splitlines()), "")


if __name__ == "__main__":
    main()
