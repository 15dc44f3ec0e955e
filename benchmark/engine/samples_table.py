"""The per-sample table: every cell of every entrant with every score, one row per (model, cell, image).

All else is computed from it.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ...detectors.detector import OWN
from ..data.image_set import ImageSet
from .cell import Cell
from .entry import Entry, StoreError, key_of
from .failure import Failure
from .inspection.finding import INSPECTION_COLUMNS
from .inspection.inspect import inspection_description
from .plan import Job, Plan
from .scores import read_scores
from .scoring import described
from .store import Store

__all__ = ["Samples", "inspections_frame", "samples_frame"]

CLEAN_THREAT = {"norm": "", "eps": 0.0, "access": "", "awareness": "", "knows": ""}
NAMES = ["model", "loss", "split", "attack", "label", "norm", "access", "awareness", "knows"]


class Samples(NamedTuple):
    """What the store holds of a plan.

    Args:
        frame: The columns of samples.parquet, see docs/results.md; a score that does not apply to a model, or
            is lacking, is NaN.
        lacking: What is missing or damaged.
    """

    frame: pd.DataFrame
    lacking: tuple[Failure, ...]


def samples_frame(plan: Plan, store: Store) -> Samples:
    """Join the stored tables of the finished cells, and name those that are missing or damaged.

    Args:
        plan: What was run.
        store: Of cells and scores.

    Raises:
        StoreError: There is nothing at all.
    """
    parts = [] if plan.published is None else [plan.published.frame]
    lacking: list[Failure] = []
    for job in plan.jobs:
        for cell in job.cells:
            entry = store.read(cell.description, with_images=False)
            if entry is None:
                lacking.append(_lacking(cell, "", store.has(cell.description)))
            else:
                part, unscored = _cell_frame(job, cell, entry, store, plan.data["train"])
                parts.append(part)
                lacking += unscored
    if not parts:
        raise StoreError(
            f"nothing of {plan.suite.name} is in the store at {store.root}; compute it with: gmbench run"
        )
    applicable = {name for job in plan.jobs for name in job.detectors}
    scores = [f"score_{name}" for name in (*plan.suite.detectors, OWN) if name in applicable]
    frame = pd.concat(parts, ignore_index=True).reindex(columns=[*_columns(parts[-1]), *scores])
    typed = frame.astype(dict.fromkeys(NAMES, "category") | dict.fromkeys(scores, "float32"))
    return Samples(typed, tuple(lacking))


def inspections_frame(plan: Plan, store: Store) -> pd.DataFrame:
    """Join what the models themselves were asked, one row per (model, check, finding).

    A model whose inspection is missing or damaged has no rows: its checks have not run.
    """
    parts = [] if plan.published is None else [plan.published.inspections]
    for job in plan.jobs:
        description = inspection_description(job, plan.data)
        entry = None if description is None else store.read(description)
        if entry is not None:
            parts.append(entry.table.assign(model=job.entrant.name))
    columns = ["model", *INSPECTION_COLUMNS]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _cell_frame(
    job: Job, cell: Cell, entry: Entry, store: Store, train: ImageSet
) -> tuple[pd.DataFrame, list[Failure]]:
    """Give a cell's rows and the scores that it lacks."""
    entrant, threat = job.entrant, cell.threat
    head: dict[str, Any] = {
        "model": entrant.name,
        "loss": entrant.loss,
        "seed": np.int32(entrant.seed),
        "split": cell.split,
        "attack": cell.attack or "clean",
        "label": cell.label,
        **(threat.row() if threat else CLEAN_THREAT),
    }
    table = entry.table.rename(columns={"label": "y"})  # in the store, label is the true class
    frame = table.assign(**head)[[*head, "id", *(name for name in table.columns if name != "id")]]
    lacking = []
    scores = read_scores(store, key_of(cell.description), described(job.detectors, train))
    for name in job.detectors:
        values = scores.columns.get(name, np.float32("nan"))
        if not np.isfinite(values).all():
            lacking.append(_lacking(cell, f"detector {name}, ", scores.damaged))
            values = np.float32("nan")
        frame[f"score_{name}"] = values
    return frame, lacking


def _lacking(cell: Cell, what: str, damaged: bool) -> Failure:
    why = "damaged in the store" if damaged else "not in the store"
    return Failure(cell.model, f"{what}{cell.title}", why)


def _columns(frame: pd.DataFrame) -> list[str]:
    return [name for name in frame.columns if not name.startswith("score_")]
