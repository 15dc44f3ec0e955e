"""``gmbench transfer``: what was proposed against each model of a suite, shown to all the others."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ...models.files import store_root
from ..engine.plan import plan_suite
from ..engine.store import Store
from ..engine.transfer import Transfer, transfer_matrix
from .console import console, fail
from .options import Attacks, DataRoot, Defenses, Device, Models, Plugins, Samples, StoreRoot, load_plugins

__all__ = ["transfer"]


def transfer(
    suite: Annotated[
        str, typer.Argument(help="A suite's name (see: gmbench list) or a TOML file.")
    ] = "digits-v1",
    models: Models = None,
    attacks: Attacks = None,
    samples: Samples = None,
    defense: Defenses = None,
    plugin: Plugins = None,
    device: Device = "auto",
    data_root: DataRoot = None,
    store: StoreRoot = None,
    out: Annotated[Path, typer.Option("--out", help="Where to write the table.")] = Path("transfer.csv"),
) -> None:
    """Show each model of a suite what its white-box attacks proposed against the others; attacks nothing.

    The images come from the store, where `gmbench run` has left them. Writes a row a source, victim, attack
    and eps: the share of the images that the victim classifies correctly when clean and not when attacked.
    """
    load_plugins(plugin)
    place = Store(store_root(store))
    plan, _ = plan_suite(
        suite,
        models=models or (),
        attacks=attacks or (),
        samples=samples,
        defenses=defense or (),
        device=device,
        root=data_root,
        store=place,
    )
    found = transfer_matrix(plan, place)
    for failure in (*plan.failures, *found.lacking):
        fail(failure)
    if not found.frame.empty:
        out.parent.mkdir(parents=True, exist_ok=True)
        found.frame.to_csv(out, index=False, float_format="%.6g", lineterminator="\n")
        _show(found)
        console.print(f"results: {out}")
    if found.frame.empty or plan.failures or found.lacking:
        raise typer.Exit(1)


def _show(found: Transfer) -> None:
    """Draw, for each norm, the worst share of each pair over the attacks at the largest finite eps."""
    frame = found.frame
    for norm, group in frame[frame["eps"] < float("inf")].groupby("norm"):
        eps = group["eps"].max()
        worst = group[group["eps"] == eps].pivot_table("wrong", "source", "victim", "max", sort=False)
        table = Table(title=f"{norm} {eps:g}: wrong in %, the worst attack on each source")
        table.add_column("source \\ victim")
        for victim in worst.columns:
            table.add_column(str(victim), justify="right")
        for source, row in worst.iterrows():
            table.add_row(str(source), *(f"{100 * value:.1f}" for value in row))
        console.print(table)
