"""Gathers what the figures of the feature space are drawn from.

Every model of a plan looks once more at some training, test and attacked images. Nothing here attacks:
attacked images come from the store. Features and softmax values are no part of samples.parquet, so these
figures alone need the models.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...models.classifier import Classifier
from ...models.losses import loss_name
from ...models.measurements import class_means, mean_distances, non_true_spread
from ..analysis.features.space import Landscape, ModelFeatures, Plane, window
from ..analysis.features.symmetry import symmetry
from ..analysis.wording import eps_text
from ..engine.cell import Cell
from ..engine.defense import Entrant
from ..engine.failure import Failure, say
from ..engine.passes import outputs_of, outputs_of_all
from ..engine.plan import Job, Plan
from ..engine.store import Store

__all__ = ["ATTACKED_IMAGES", "TRAIN_IMAGES", "gather"]


TRAIN_IMAGES = 5000
"""The features and their class means are those of the first so many training images."""

ATTACKED_IMAGES = 300
"""Of the first so many attacked images, those that are classified rightly when clean are drawn."""

SHOWN_ATTACKS = ("pgd", "fgsm")
"""The first of these that every model with two dimensions met is drawn."""

GRID = 240  # places across and up at which the landscape is computed

# share of the landscape in the darkest shade: else corners far from every point would leave one shade for all
# the others
TAIL = 0.2

BATCH = 1000


def gather(
    plan: Plan, store: Store, middles: Mapping[str, float]
) -> tuple[list[ModelFeatures], list[Failure]]:
    """Let every model look at the images, one forward pass for each; one that fails stops no other.

    Args:
        plan: What was run.
        store: Of its cells.
        middles: {norm: eps}, at which attacked images are shown, see `middle_eps`.
    """
    shown = _shown_cells(plan, middles)
    gathered, failures = [], []
    for job in plan.jobs:
        try:
            gathered.append(_model(plan, store, job.entrant, shown.get(job.entrant.name)))
        except Exception as error:  # noqa: BLE001 - a user's model may raise anything; the others go on
            failures.append(Failure(job.entrant.name, "features", say(error)))
    return gathered, failures


def _model(plan: Plan, store: Store, entrant: Entrant, shown: Cell | None) -> ModelFeatures:
    train, test = plan.data["train"].head(TRAIN_IMAGES), plan.data["test"].head(plan.suite.samples)
    features = outputs_of_all(entrant.classifier, train, BATCH, plan.device).features.cpu()
    logits = outputs_of_all(entrant.classifier, test, BATCH, plan.device).logits.cpu()
    spread = _spread(logits, test.y)
    if not features.isfinite().all() or len(train.y.unique()) < train.classes:
        return ModelFeatures(entrant.name, entrant.loss, None, spread, None)
    means = class_means(features, train.y, train.classes)
    within, _ = mean_distances(features.double(), train.y, means)
    plane = (
        _plane(entrant, features, train.y, means, store, shown, plan.device)
        if features.shape[1] == 2
        else None
    )
    return ModelFeatures(
        entrant.name, entrant.loss, symmetry(entrant.name, entrant.loss, means.numpy(), within), spread, plane
    )


def _spread(logits: Tensor, y: Tensor) -> float:
    right = (logits.argmax(1) == y) & logits.isfinite().all(1)
    return non_true_spread(logits[right], y[right]) if right.any() else float("nan")


def _shown_cells(plan: Plan, middles: Mapping[str, float]) -> dict[str, Cell]:
    """Choose the attack whose images are drawn, white-box, at the middle eps.

    The same for all models of two dimensions, {model: cell}.
    """
    few = plan.data["test"].images(slice(0, 2))
    flat = [job for job in plan.jobs if _has_a_plane(job, few, plan.device)]
    met = {
        job.entrant.name: {cell.label: cell for cell in job.cells if _is_plain(cell, middles)} for job in flat
    }
    for attack in SHOWN_ATTACKS:
        for label, cell in met[flat[0].entrant.name].items() if flat else ():
            if cell.attack == attack and all(label in others for others in met.values()):
                return {name: cells[label] for name, cells in met.items()}
    return {}


def _has_a_plane(job: Job, few: Tensor, device: str) -> bool:
    return outputs_of(job.entrant.classifier, few, device).features.shape[1] == 2


def _is_plain(cell: Cell, middles: Mapping[str, float]) -> bool:
    threat = cell.threat
    if threat is None or threat.knows_detector or not threat.has_gradients:
        return False
    return threat.eps == middles.get(threat.norm)


def _plane(
    entrant: Entrant,
    features: Tensor,
    y: Tensor,
    means: Tensor,
    store: Store,
    shown: Cell | None,
    device: str,
) -> Plane:
    """Draw up the picture of one model.

    With the images that ``shown`` made for it where they are in the store.
    """
    entry = store.read(shown.description) if shown else None
    adversarial, true, predicted, attack = (
        np.empty((0, 2), np.float32),
        np.empty(0, np.int32),
        np.empty(0, np.int32),
        "",
    )
    if entry is not None and entry.images is not None and shown is not None and shown.threat is not None:
        table = entry.table[:ATTACKED_IMAGES]
        rows = np.flatnonzero(table["clean_predicted"] == table["label"])
        if len(rows):
            adversarial = outputs_of(entrant.classifier, entry.images[rows], device).features.cpu().numpy()
            true, predicted = (table[name].to_numpy()[rows] for name in ("label", "predicted"))
            attack = f"{shown.label}, {eps_text(shown.threat.eps)}"
    landscape = _landscape(entrant.classifier, window(features.numpy(), adversarial), device)
    return Plane(
        _title(entrant),
        features.numpy(),
        y.numpy(),
        means.numpy(),
        landscape,
        adversarial,
        true,
        predicted,
        attack,
    )


@torch.no_grad()
def _landscape(classifier: Classifier, edges: tuple[float, float, float, float], device: str) -> Landscape:
    """Compute the likelihood, or for a model without mixture the largest softmax value.

    At the middle of every cell of a grid.
    """
    left, right, bottom, top = edges
    middles = (torch.arange(GRID, dtype=torch.float64) + 0.5) / GRID
    up, across = torch.meshgrid(
        bottom + (top - bottom) * middles, left + (right - left) * middles, indexing="ij"
    )
    places = torch.stack([across.flatten(), up.flatten()], 1).float().to(device)
    mixture = getattr(classifier.head, "log_likelihood", None)
    parts = [
        functional.softmax(classifier.head(part), 1) if mixture is None else mixture(part)
        for part in places.split(10 * BATCH)
    ]
    values = torch.cat(parts).amax(1).cpu().view(GRID, GRID).numpy()
    low = float(np.quantile(values, TAIL)) if mixture is not None else 1 / parts[0].shape[1]
    return Landscape(values, edges, "softmax" if mixture is None else "likelihood", low)


def _title(entrant: Entrant) -> str:
    """Name the loss, and its margin where it has one: without it (alpha = 0) the picture is another."""
    alpha = getattr(entrant.classifier.head, "alpha", None)
    return loss_name(entrant.loss) + (f", alpha = {alpha:g}" if isinstance(alpha, (int, float)) else "")
