"""``gmbench run SUITE --dry-run``: what would be run, and what it would take."""

import pandas as pd
from rich.table import Table

from ..analysis.samples_file import read_samples
from ..api.progress import duration
from ..engine.estimate import FITTING, INSPECTION, SCORING, Attacked, Passes, estimate, published_passes
from ..engine.plan import Plan
from ..engine.store import Store
from ..report.published_rows import OURS
from .console import console

__all__ = ["show_costs"]

REST = (FITTING, SCORING, INSPECTION)


def show_costs(plan: Plan, store: Store, workers: int = 1) -> None:
    """Print what the store lacks and has of a plan by attack, and what it would take by model.

    Args:
        plan: What would be run.
        store: Of what is there.
        workers: Processes that share the work.
    """
    costs = pd.DataFrame(list(estimate(plan, store, _published(plan))))
    if costs.empty:
        return
    console.print(_attacks_table(costs, f"{plan.suite.name} on {plan.device}: what would be run"))
    console.print(_models_table(costs))
    total = costs["seconds"].sum() / workers
    shared = f" by {workers} workers" if workers > 1 else ""
    console.print(f"together about {duration(total)}{shared}, as measured on one batch of each model")


def _published(plan: Plan) -> dict[Attacked, Passes]:
    """Tell what the suite's attacks have spent where its results are published."""
    if plan.published is not None:
        return published_passes(plan.published.frame)
    path = OURS / plan.suite.name / "samples.parquet"
    try:
        return published_passes(read_samples(path, plan.suite)) if path.is_file() else {}
    except ValueError:  # of an older format
        return {}


def _attacks_table(costs: pd.DataFrame, title: str) -> Table:
    table = Table(title=title)
    for column in ("attack", "cells missing", "in the store", "about"):
        table.add_column(column, justify="left" if column == "attack" else "right")
    sums = costs.groupby("what", sort=False)[["missing", "found", "seconds"]].sum()
    order = [*(what for what in sums.index if what not in REST), *REST]
    for what, (missing, found, seconds) in sums.loc[order].iterrows():
        table.add_row(str(what), f"{missing:.0f}", f"{found:.0f}", duration(seconds))
    return table


def _models_table(costs: pd.DataFrame) -> Table:
    table = Table(title="by model")
    for column in ("model", "cells", *REST, "together"):
        table.add_column(column, justify="left" if column == "model" else "right")
    kinds = costs["what"].where(costs["what"].isin(REST), "cells")
    spent = costs.pivot_table("seconds", "model", kinds, "sum", sort=False)
    for model, row in spent[["cells", *REST]].iterrows():
        table.add_row(str(model), *map(duration, row), duration(row.sum()))
    return table
