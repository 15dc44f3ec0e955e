"""``gmbench transfer``: what was proposed against each model of a suite, shown to all the others."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ..engine.transfer import Transfer, transfer_matrix
from .choice import Choice, takes_choice
from .console import console, fail

__all__ = ["transfer"]


@takes_choice
def transfer(
    choice: Choice,
    out: Annotated[Path, typer.Option("--out", help="Where to write the table.")] = Path("transfer.csv"),
) -> None:
    """Show each model of a suite what its white-box attacks proposed against the others; attacks nothing.

    The images come from the store, where `gmbench run` has left them. Writes a row a source, victim, attack
    and eps: the share of the images that the victim classifies correctly when clean and not when attacked.
    """
    plan, _ = choice.plan()
    found = transfer_matrix(plan, choice.place)
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
