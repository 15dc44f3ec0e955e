"""The transfer matrix: does what fools one model fool the others? From stored images, attacking nothing.

Papernot, McDaniel, Goodfellow, "Transferability in machine learning", arXiv 1605.07277, figure 3. Every
white-box attack of a suite has left its images in the store; here every model of the suite predicts them.
"""

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from ...models.classifier import Classifier
from .cell import Cell
from .failure import Failure
from .passes import outputs_of
from .plan import Plan
from .store import Store

__all__ = ["COLUMNS", "Transfer", "transfer_matrix"]

COLUMNS = ("source", "victim", "attack", "label", "norm", "eps", "knows", "n", "wrong")
"""Of the frame, see `transfer_matrix`."""


class Transfer(NamedTuple):
    """The matrix, and the cells whose images the store lacks."""

    frame: pd.DataFrame
    lacking: tuple[Failure, ...]


def transfer_matrix(plan: Plan, store: Store) -> Transfer:
    """Let every model of a plan predict what was proposed against each of them.

    Args:
        plan: Whose models and cells.
        store: Of the cells; read, not written to.

    Returns:
        A row for each attack on a source and each victim, the source itself among them: who was attacked
        (``source``), who predicts (``victim``), how (``attack`` of the registry, ``label``, ``norm``,
        ``eps``, ``knows``), ``n``, the images that the victim classifies correctly when clean, and ``wrong``,
        the share of these that it does not as the attack left them (NaN of none).
    """
    rows: list[tuple[object, ...]] = []
    lacking: list[Failure] = []
    clean = {job.entrant.name: _clean(plan, job.entrant.classifier) for job in plan.jobs}
    for source in plan.jobs:
        for cell in source.cells:
            if cell.threat is None or not cell.threat.has_gradients:
                continue
            entry = store.read(cell.description)
            if entry is None or entry.images is None:
                lacking.append(Failure(cell.model, cell.title, "not in the store"))
            else:
                rows += _rows(plan, cell, entry.images, clean)
    return Transfer(pd.DataFrame(rows, columns=list(COLUMNS)), tuple(lacking))


def _rows(plan: Plan, cell: Cell, x_adv: Tensor, clean: Mapping[str, Tensor]) -> list[tuple[object, ...]]:
    """Give a cell's row for each victim; ``clean`` tells which images each classifies correctly."""
    y, threat = plan.data[cell.split].y[: cell.samples], cell.threat
    if threat is None:
        return []
    how = (cell.attack, cell.label, threat.norm, threat.eps, threat.knows)
    rows: list[tuple[object, ...]] = []
    for job in plan.jobs:
        right = clean[job.entrant.name][: cell.samples]
        wrong = right & (_predicted(plan, job.entrant.classifier, x_adv) != y)
        n = int(right.sum())
        share = int(wrong.sum()) / n if n else float("nan")
        rows.append((cell.model, job.entrant.name, *how, n, share))
    return rows


def _clean(plan: Plan, classifier: Classifier) -> Tensor:
    """Tell which test images a model classifies correctly, (N,)."""
    test = plan.data["test"].head(min(plan.suite.samples, len(plan.data["test"])))
    return _predicted(plan, classifier, test.images()) == test.y


def _predicted(plan: Plan, classifier: Classifier, x: Tensor) -> Tensor:
    parts = [outputs_of(classifier, part, plan.device).predicted.cpu() for part in x.split(plan.suite.batch)]
    return torch.cat(parts)
