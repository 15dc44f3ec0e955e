"""Options that several commands have, described once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ...models.plugins import load_plugin

__all__ = [
    "Attacks",
    "CellLimit",
    "DataRoot",
    "Defenses",
    "Detectors",
    "Device",
    "GuestLimit",
    "Models",
    "Plugins",
    "Recompute",
    "Results",
    "Samples",
    "Scheduler",
    "StoreRoot",
    "Workers",
    "load_plugins",
]

DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--data-root", help="Folder of the data sets. Default: $GMBENCH_DATA, else the user's cache folder."
    ),
]

Device = Annotated[str, typer.Option("--device", help="auto (a GPU where there is one), cpu or cuda.")]

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


GuestLimit = Annotated[
    float,
    typer.Option(
        "--guest-limit",
        min=0.001,
        help="Seconds that a --defense FILE.py may take over the answer about one batch.",
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


Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        help="Processes that compute, one torch thread each; 1 computes in this one. Default: the cores, "
        "where there is enough to do and gmbench[distributed] is installed.",
    ),
]


Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler", help="A Dask scheduler whose workers compute: tcp://HOST:PORT. See docs/cluster.md."
    ),
]


CellLimit = Annotated[
    float | None,
    typer.Option("--cell-limit", min=0.001, help="Seconds after which a cell is given up."),
]


Recompute = Annotated[
    bool,
    typer.Option(
        "--recompute",
        help="With --defense: compute the suite's own models, too, whose published rows are taken otherwise.",
    ),
]


def load_plugins(plugins: Sequence[Path] | None) -> None:
    """Load the files that a command's ``--plugin`` names, before anything looks a name up."""
    for plugin in plugins or ():
        load_plugin(plugin)
