"""From a finished plan to its published results: frames, examples, report.

Skipped where they are there already.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ...models.checkpoint import CheckpointError, read_card
from ...models.files import write_file
from ...models.measurements import wilson_interval
from ..analysis.attack_series import middle_eps
from ..analysis.claims.comparison import Accuracy
from ..analysis.frames import Frames, frames_of
from ..analysis.model_samples import models_of
from ..analysis.results_diff import EQUAL
from ..engine.cell import Cell
from ..engine.plan import Job, Plan
from ..engine.run import Failure, Listener, Silent, Summary, run_plan
from ..engine.samples_table import samples_frame
from ..engine.scoring import score_description
from ..engine.store import Store, key_of
from .features import gather
from .figures.examples import Examples
from .results_folder import MANIFEST, is_intact
from .settle import settling
from .writer import write_report

__all__ = ["REPORT", "is_published", "publish", "run_suite"]

REPORT = 11
"""Raise it when a change of the code changes a table or a figure.

Results are then written again though no cell is new.
"""

SHEET_IMAGES = 3
SHEET_EPS = 0.2  # the sheets show the size nearest to this, at which the changes can be seen


def run_suite(
    plan: Plan, store: Store, folder: Path | None, listener: Listener | None = None
) -> tuple[Summary, str]:
    """Compute what the store lacks and write the report, unless it stands there already or no cell is there.

    Args:
        plan: What to run.
        store: Held while this runs.
        folder: Of the report; None writes none.
        listener: Told how it goes.

    Returns:
        What was done; and how the report of a whole suite compares with what was there, "" for all else.

    Raises:
        StoreError: The store cannot be written to, or another run holds it.
        FileExistsError: The folder holds something that is no report.
    """
    listener = listener or Silent()
    with store.lock():
        summary = run_plan(plan, store, listener)
        if folder is None or not any(store.has(cell.description) for cell in plan.cells()):
            return summary, ""
        whole, told = folder.name == plan.suite.name, f"against what was there: {EQUAL}"
        if summary.failures or not is_published(plan, store, folder):
            listener.doing("writing tables and figures")
            with settling(folder, keep=whole) as draft:
                publish(plan, store, draft.built, failures=summary.failures)
            told = str(draft)
        return summary, told if whole else ""


def is_published(plan: Plan, store: Store, folder: Path) -> bool:
    """Tell whether ``folder`` holds the report of exactly this plan.

    With every figure, no file of it missing or changed.
    """
    try:
        inputs = json.loads((folder / MANIFEST).read_text())["inputs"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(inputs == _inputs(plan, store, features=True)) and is_intact(folder)


def publish(
    plan: Plan,
    store: Store,
    folder: Path,
    *,
    resamples: int = 500,
    features: bool = True,
    failures: Sequence[Failure] = (),
) -> Frames:
    """Write the report of what the store holds of a plan, and return its frames.

    Args:
        plan: What was run; its cells that failed are left out.
        store: Of cells and scores.
        folder: Replaced as a whole.
        resamples: Of the bootstrap.
        features: Whether to draw the feature space, too: for that alone every model looks at some thousand
            images again.
        failures: What failed when it was run; a failed check of its model.
    """
    frames = frames_of(samples_frame(plan, store), resamples=resamples, failures=failures)
    write_report(
        folder,
        title=plan.suite.name,
        samples=frames.samples,
        eer=frames.eer,
        leaderboard=frames.leaderboard,
        checks=frames.checks,
        examples=list(_examples(plan, store)),
        facts=_facts(plan, store),
        features=gather(plan, store, middle_eps(models_of(frames.samples))) if features else (),
        accuracies=_accuracies(plan),
    )
    files = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".svg"  # git has none: a clone's folder is complete without
    }
    digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    manifest = {
        "inputs": _inputs(plan, store, features=features),
        "rendering": key_of({"report": REPORT, "suite": plan.suite.model_dump_json(), "features": features}),
        "files": digests,
    }
    write_file(folder / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
    return frames


def _inputs(plan: Plan, store: Store, *, features: bool) -> str:
    """Hash all that decides the report.

    Contents of cells and scores, the suite's text, the machines, the cards, this code's number.

    The figures of the feature space come from the models and the training images themselves.
    """
    contents = [
        store.head(description)["files"]
        for job in plan.jobs
        for cell in job.cells
        for description in (cell.description, *_scores(plan, job, cell))
    ]
    fingerprints = [job.entrant.fingerprint for job in plan.jobs]
    seen = [plan.data["train"].checksum, *fingerprints] if features else []
    accuracies = [asdict(one) for one in _accuracies(plan)]
    told = {
        "facts": dict(_facts(plan, store)),
        "suite": plan.suite.model_dump_json(),
        "features": seen,
        "accuracies": accuracies,
    }
    return key_of({"contents": contents, **told, "report": REPORT})


def _scores(plan: Plan, job: Job, cell: Cell) -> list[dict[str, Any]]:
    return [
        score_description(cell, name, detector, plan.data["train"])
        for name, detector in job.detectors.items()
    ]


def _facts(plan: Plan, store: Store) -> Mapping[str, str]:
    data = plan.data
    machines = {store.head(cell.description)["facts"].get("machine") for cell in plan.cells()} - {None}
    sizes = ", ".join(f"{len(data[split])} {split}" for split in ("train", "validation"))
    return {
        "suite": f"{plan.suite.name}, seed {plan.suite.seed}, batches of {plan.suite.batch}",
        "about": plan.suite.about,
        "data": f"{plan.suite.data}: {sizes}, {min(plan.suite.samples, len(data['test']))} of "
        f"{len(data['test'])} test images",
        "surrogate": plan.surrogate.name if plan.surrogate else "none",
        "device and versions": "; ".join(sorted(map(str, machines))),
    }


def _accuracies(plan: Plan) -> list[Accuracy]:
    """Take the test accuracies from the cards of the checkpoints that were trained on the suite's data."""
    accuracies, images = [], len(plan.data["test"])
    # users' own defenses come after the suite's models
    for name, job in zip(plan.suite.models, plan.jobs, strict=False):
        entrant = job.entrant
        try:
            card = read_card(name)
        except CheckpointError:  # no checkpoint but another's model or a file
            continue
        if card.name == entrant.name and card.data == plan.suite.data:
            low, high = wilson_interval(round(card.test_accuracy * images), images)
            trained = card.data, card.recipe.features, card.epochs
            accuracies.append(
                Accuracy(card.name, entrant.loss, *trained, card.test_accuracy, low, high, card.note)
            )
    return accuracies


def _examples(plan: Plan, store: Store) -> Iterator[Examples]:
    """Take, for the first model of each loss, the first images that are classified correctly.

    Attacked at about `SHEET_EPS`.
    """
    shown: set[str] = set()
    for job in plan.jobs:
        entrant = job.entrant
        if entrant.loss in shown:
            continue
        shown.add(entrant.loss)
        for cell in _sheet_cells(job.cells):
            entry = store.read(cell.description)
            if entry is None or entry.images is None:
                continue
            table = entry.table
            rows = np.flatnonzero(table["clean_predicted"] == table["label"])[:SHEET_IMAGES]
            if not len(rows):
                continue
            yield Examples(
                label=cell.label,
                eps=cell.threat.eps if cell.threat else 0.0,
                x=plan.data[cell.split].images(slice(0, cell.samples))[rows].numpy(),
                x_adv=entry.images[rows].numpy(),
                y=table["label"].to_numpy()[rows],
                clean_predicted=table["clean_predicted"].to_numpy()[rows],
                predicted=table["predicted"].to_numpy()[rows],
                model=entrant.name,
            )


def _sheet_cells(cells: Sequence[Cell]) -> list[Cell]:
    """Choose one cell for each attack, the one whose eps is nearest to `SHEET_EPS`."""
    chosen: dict[str, Cell] = {}
    for cell in cells:
        if cell.threat is None:
            continue
        other = chosen.get(cell.label)
        if (
            other is None
            or other.threat is None
            or abs(cell.threat.eps - SHEET_EPS) < abs(other.threat.eps - SHEET_EPS)
        ):
            chosen[cell.label] = cell
    return list(chosen.values())
