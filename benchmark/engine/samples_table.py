"""The per-sample table: every cell of every entrant with every score, one row per (model, cell, image).

All else is computed from it.
"""

from typing import Any

import numpy as np
import pandas as pd

from ...detectors.detector import OWN
from ..data.image_set import ImageSet
from .cell import Cell
from .plan import Job, Plan
from .scoring import score_description
from .store import Store

__all__ = ["samples_frame"]

NAMES = ["model", "loss", "split", "attack", "label", "norm", "access", "awareness"]


def samples_frame(plan: Plan, store: Store) -> pd.DataFrame:
    """Join the stored tables of the finished cells; what is not in the store is left out.

    Args:
        plan: What was run.
        store: Of cells and scores.

    Returns:
        The columns of samples.parquet, see docs/results.md; a score that does not apply to a model is NaN.
    """
    parts = [
        part
        for job in plan.jobs
        for cell in job.cells
        if (part := _cell_frame(job, cell, store, plan.data["train"])) is not None
    ]
    applicable = {name for job in plan.jobs for name in job.detectors}
    scores = [f"score_{name}" for name in (*plan.suite.detectors, OWN) if name in applicable]
    frame = pd.concat(parts, ignore_index=True).reindex(columns=[*_columns(parts[0]), *scores])
    return frame.astype(dict.fromkeys(NAMES, "category") | dict.fromkeys(scores, "float32"))


def _cell_frame(job: Job, cell: Cell, store: Store, train: ImageSet) -> pd.DataFrame | None:
    entry = store.read(cell.description)
    if entry is None:
        return None
    entrant, threat = job.entrant, cell.threat
    head: dict[str, Any] = {
        "model": entrant.name,
        "loss": entrant.loss,
        "seed": np.int32(entrant.seed),
        "split": cell.split,
        "attack": cell.attack or "clean",
        "label": cell.label,
        "norm": threat.norm if threat else "",
        "eps": threat.eps if threat else 0.0,
        "access": threat.access if threat else "",
        "awareness": threat.awareness if threat else "",
    }
    table = entry.table.rename(columns={"label": "y"})  # in the store, label is the true class
    frame = table.assign(**head)[[*head, "id", *(name for name in table.columns if name != "id")]]
    for name, detector in job.detectors.items():
        scored = store.read(score_description(cell, name, detector, train))
        frame[f"score_{name}"] = np.float32("nan") if scored is None else scored.table["score"].to_numpy()
    return frame


def _columns(frame: pd.DataFrame) -> list[str]:
    return [name for name in frame.columns if not name.startswith("score_")]
