"""``gmbench train`` makes a checkpoint.

``gmbench zoo`` lists, verifies and measures them and writes their page.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ...models.checkpoint import ZOO, Card, CheckpointError, checkpoints, read_card
from ...models.recipe import Recipe, load_recipe, recipes
from ...models.training import Diverged, Progress
from ..data.datasets import DataError
from ..engine.plan import pick_device
from ..engine.zoo.checkpoints import fetched, matching, refresh, untrained, verify
from ..engine.zoo.training import train_checkpoint
from ..report.zoo_page import accuracy_text, ece_text, zoo_page
from .console import console, fail
from .options import DataRoot, Device, Plugins, load_plugins
from .telling.bar import Bar

__all__ = ["train", "zoo"]

Names = Annotated[
    list[str] | None, typer.Argument(help="Checkpoints, by name or pattern such as '*-s0'; none means all.")
]

Folder = Annotated[
    Path,
    typer.Option(
        "--folder", help="Folder of the checkpoints. Default: the zoo of gmbench itself.", show_default=False
    ),
]

zoo = typer.Typer(invoke_without_command=True)


@zoo.callback()
def show(context: typer.Context) -> None:
    """List the checkpoints; verify, measure, train them or write their page."""
    if context.invoked_subcommand is not None:
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("checkpoint", "loss", "data", "seed", "test accuracy (%)", "ECE (%)", "minutes"):
        table.add_column(
            column, justify="left" if column in ("checkpoint", "loss", "data") else "right", no_wrap=True
        )
    for card in map(read_card, checkpoints()):
        minutes = f"{card.seconds / 60:.1f}"
        table.add_row(
            card.name, card.loss, card.data, str(card.seed), accuracy_text(card), ece_text(card), minutes
        )
    # As wide as it must be, so that a pipe, for which 80 columns are assumed, gets whole lines as well.
    table.width = console.measure(table, options=console.options.update(max_width=1000)).maximum
    console.print(table)


@zoo.command("verify")
def verify_all(
    names: Names = None, folder: Folder = ZOO, device: Device = "auto", data_root: DataRoot = None
) -> None:
    """Recompute every test accuracy from the weights; exit code 1 if one is not that of its card."""
    chosen, place = matching(names or (), folder), pick_device(device)
    verifications = []
    with Bar() as bar:
        bar.begin(len(chosen))
        for name in chosen:
            bar.doing(name)
            verifications.append(verify(name, folder, data_root, place))
            bar.advance(1)
    for verification in verifications:
        if verification.holds:
            console.print(str(verification))
        else:
            fail(verification)
    wrong = sum(not verification.holds for verification in verifications)
    console.print(
        f"{len(verifications) - wrong} of {len(verifications)} checkpoints are what their cards say"
    )
    if wrong:
        raise typer.Exit(1)


@zoo.command("measure")
def measure_all(
    names: Names = None, folder: Folder = ZOO, device: Device = "auto", data_root: DataRoot = None
) -> None:
    """Measure calibration and features anew and write them into the cards.

    Exit code 1 if a card could not be written.
    """
    chosen, place = matching(names or (), folder), pick_device(device)
    failed = False
    with Bar() as bar:
        bar.begin(len(chosen))
        for name in chosen:
            bar.doing(name)
            try:
                refresh(name, folder, data_root, place)
            except (CheckpointError, DataError) as error:
                fail(error)
                failed = True
            bar.advance(1)
    if failed:
        raise typer.Exit(1)


@zoo.command("page")
def write_page(
    out: Annotated[Path, typer.Option("--out", help="The file to write.")] = Path("docs/zoo.md"),
    folder: Folder = ZOO,
) -> None:
    """Write the page of all checkpoints from their cards."""
    page = zoo_page(
        [read_card(name, folder) for name in matching((), folder)], [load_recipe(name) for name in recipes()]
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    console.print(f"{out}")


@zoo.command("train")
def train_missing(folder: Folder = ZOO, device: Device = "auto", data_root: DataRoot = None) -> None:
    """Train what models/zoo.toml lists and has no checkpoint yet.

    A stopped training goes on after its last epoch. Recipes for data that cannot come with gmbench are left
    out where the data are missing.
    """
    place, failed = pick_device(device), False
    # a wrong name stops it before the first training
    wanted = [(load_recipe(recipe), seed) for recipe, seed in untrained(folder)]
    for recipe, seed in wanted:
        try:
            card = _train_showing(recipe, seed, folder, data_root, place)
        except (Diverged, DataError) as error:
            if isinstance(error, DataError) and recipe.name in fetched():
                console.print(f"{recipe.name} s{seed} left out: {error}")
                continue
            fail(f"{recipe.name} s{seed}: {error}")
            failed = True
            continue
        console.print(f"{card.name}: test accuracy {card.test_accuracy:.2%}")
    if failed:
        raise typer.Exit(1)


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
    load_plugins(plugin)
    card = _train_showing(load_recipe(recipe), seed, out, data_root, pick_device(device))
    console.print(
        f"{out / card.name}.safetensors: test accuracy {card.test_accuracy:.2%}, validation "
        f"{card.validation_accuracy:.2%}"
    )


def _train_showing(recipe: Recipe, seed: int, folder: Path, root: Path | None, device: str) -> Card:
    """Train a checkpoint under a progress bar; see `train_checkpoint`."""
    with Bar() as bar:
        done = 0

        def tell(progress: Progress) -> None:
            nonlocal done
            if done == 0:
                bar.begin(progress.steps)
            if progress.step == progress.steps or progress.step % 100 == 0:
                bar.doing(
                    f"{recipe.name} s{seed}, epoch {progress.epoch} of {recipe.epochs}, loss "
                    f"{progress.loss:.3f}"
                )
            bar.advance(progress.step - done)
            done = progress.step

        return train_checkpoint(recipe, seed, folder, root=root, device=device, report=tell)
