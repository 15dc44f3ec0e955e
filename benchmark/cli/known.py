"""``gmbench list``, ``data`` and ``show``: what there is, by name."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ...attacks import ATTACKS
from ...detectors import DETECTORS
from ...models import HEADS, NETS, checkpoints, read_card
from ...models.about import about_of
from ...models.files import images_root, store_root
from ...models.losses import about_loss, known_losses
from ...models.recipe import recipes
from ...models.registry import Registry
from ..data.datasets import DATASETS, SPLITS, DataError, ImageSet, fetch_data, load_data
from ..data.shown_classes import few_of_each, numbered
from ..engine.keeping.inventory import inventory
from ..engine.store import Store
from ..engine.suite import load_suite, suites
from .console import console
from .options import DataRoot, Plugins, StoreRoot, load_plugins

__all__ = ["data", "list_names", "show"]

SHEET_IMAGES, SHEET_CLASSES = 10, 40
"""Images of a class on a sheet, and classes, a longer list of which nobody looks at."""


def list_names(plugin: Plugins = None) -> None:
    """List suites, models, attacks, detectors, data sets, recipes, losses and nets."""
    load_plugins(plugin)
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


def data(
    name: Annotated[
        str,
        typer.Argument(
            help="A data set (see: gmbench list), folder:PATH or parquet:PATH; options: 'folder:PATH?mode=L'."
        ),
    ],
    sheet: Annotated[
        Path | None,
        typer.Option(
            "--sheet",
            help="A PNG file for some images of each class. Default: in the user's cache folder.",
            show_default=False,
        ),
    ] = None,
    data_root: DataRoot = None,
) -> None:
    """Download a data set where it is missing, verify it, and show its sizes, classes and some images."""
    if sheet is not None and sheet.suffix.lower() != ".png":
        raise ValueError(f"expected --sheet to be a .png file, got {sheet}")
    place = fetch_data(name, data_root)
    for split in SPLITS:
        images = load_data(name, split, data_root)
        console.print(
            f"{name} {split}: {len(images)} images {tuple(images.x.shape[1:])}, {images.classes} classes, "
            f"sha256 {images.checksum[:16]}"
        )
        if images.note:
            console.print(images.note)
        if split == "train":
            console.print(f"classes in order: {', '.join(numbered(images))}")
            drawn = _draw_sheet(name, images, sheet)
    console.print(f"in {place}")
    console.print(f"some images of each class: {drawn}")


def _draw_sheet(name: str, images: ImageSet, path: Path | None) -> Path:
    # imported late: drawing takes a second to load
    from ..report.figures.sheet import save_sheet, sheet_figure

    called = re.sub(r"[^\w.+-]+", "-", name)[-100:]
    file = path or images_root() / "sheets" / f"{called}.png"
    left_out = images.classes - SHEET_CLASSES
    title = f"{name}: {images.split}" + (f", without the last {left_out} classes" if left_out > 0 else "")
    try:
        return save_sheet(sheet_figure(title, few_of_each(images, SHEET_IMAGES, SHEET_CLASSES)), file)
    except OSError as error:
        raise DataError(f"cannot write the sheet {file}: {error.strerror}; another place: --sheet") from error


def show(
    cell: Annotated[str | None, typer.Argument(help="The beginning of a cell's key; none lists all.")] = None,
    store: StoreRoot = None,
) -> None:
    """Show what the store knows of a cell: its description, its facts and a summary of its images."""
    place = Store(store_root(store))
    if cell is None:
        for item in inventory(place):
            if item.kind == "cell":
                threat = json.dumps(item.description["threat"])
                console.print(f"{item.key[:12]}  {item.model} / {item.label}  {threat}")
        return
    entry = place.find(cell)
    console.print_json(json.dumps({"description": dict(entry.description), "facts": dict(entry.facts)}))
    if entry.table.empty:
        return
    console.print(
        entry.table.describe()
        .T[["mean", "std", "min", "50%", "max"]]
        .to_string(float_format=lambda value: f"{value:.4g}")
    )


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
