"""From a finished plan to its published results: frames, examples, report.

Skipped where they are there already.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from ..analysis.attack_series import middle_eps
from ..analysis.claims.comparison import Accuracy
from ..analysis.frames import Frames, frames_of
from ..analysis.model_samples import models_of
from ..analysis.results_diff import EQUAL
from ..engine.cell import NUMERICS, Cell
from ..engine.entry import key_of
from ..engine.failure import Failure
from ..engine.inspection.inspect import inspection_description
from ..engine.plan import Plan
from ..engine.progress import Listener, Silent
from ..engine.run import Summary, run_plan
from ..engine.samples_table import inspections_frame, samples_frame
from ..engine.scores import score_checksums
from ..engine.scoring import described
from ..engine.store import Store
from ..engine.work.crew import Crew
from .accuracies import accuracies_of
from .features import gather
from .figures.examples import Examples
from .manifest import cell_keys, read_manifest, write_manifest
from .results_folder import is_intact, reserved
from .settle import settling
from .writer import write_report

__all__ = ["REPORT", "is_published", "plan_frames", "publish", "run_suite"]

REPORT = 14
"""Raise it when a change of the code changes a table or a figure.

Results are then written again though no cell is new.
"""

SHEET_IMAGES = 3
SHEET_EPS = 0.2  # the sheets show the size nearest to this, at which the changes can be seen


def run_suite(
    plan: Plan,
    store: Store,
    crew: Crew,
    folder: Path | None,
    listener: Listener | None = None,
    *,
    limit: float | None = None,
) -> tuple[Summary, str]:
    """Compute what the store lacks and write the report, unless it stands there already or no cell is there.

    Args:
        plan: What to run.
        store: Of finished work; others may use it meanwhile.
        crew: Who computes.
        folder: Of the report; None writes none.
        listener: Told how it goes.
        limit: Seconds that a cell may take; None for as long as it needs.

    Returns:
        What was done; and how the report of a whole suite compares with what was there, "" for all else.

    Raises:
        StoreError: The store cannot be written to.
        CrewError: Nobody is left who computes.
        FileExistsError: The folder holds something that is no report, or another run writes to it.
        PermissionError: The folder cannot be written.
    """
    listener = listener or Silent()
    with reserved(folder) if folder else nullcontext():
        summary = run_plan(plan, store, crew, listener, limit=limit)
        if folder is None or not any(store.has(cell.description) for cell in plan.cells()):
            return summary, ""
        whole, told = folder.name == plan.suite.name, f"against what was there: {EQUAL}"
        if summary.failures or not is_published(plan, store, folder):
            listener.doing("writing tables and figures")
            with settling(folder, keep=whole) as draft:
                failures = publish(plan, store, draft.built, failures=summary.failures).failures
            for failure in failures:
                if failure not in summary.failures:
                    listener.failed(failure)
            summary, told = replace(summary, failures=failures), str(draft)
        return summary, told if whole else ""


def is_published(plan: Plan, store: Store, folder: Path) -> bool:
    """Tell whether ``folder`` holds the report of exactly this plan.

    With every figure, no file of it missing or changed.
    """
    return read_manifest(folder).get("inputs") == _inputs(plan, store, features=True) and is_intact(folder)


def plan_frames(
    plan: Plan, store: Store, failures: Sequence[Failure] = (), *, resamples: int = 500
) -> Frames:
    """Compute the frames of what the store holds of a plan.

    Args:
        plan: What was run.
        store: Of cells and scores.
        failures: Of the run; what else the store lacks is added.
        resamples: Of the bootstrap.

    Raises:
        StoreError: There is nothing at all.
    """
    samples, lacking = samples_frame(plan, store)
    failed = [*failures, *(one for one in lacking if not any(told.covers(one) for told in failures))]
    return frames_of(samples, failed, inspections_frame(plan, store), resamples=resamples)


def publish(
    plan: Plan,
    store: Store,
    folder: Path,
    *,
    failures: Sequence[Failure] = (),
    resamples: int = 500,
    features: bool = True,
) -> Frames:
    """Write the report of what the store holds of a plan; what it lacks is a failed check on the page.

    Args:
        plan: What was run.
        store: Of cells and scores.
        folder: Replaced as a whole.
        failures: Of the run.
        resamples: Of the bootstrap.
        features: Whether to draw the feature space, too: for that alone every model looks at some thousand
            images again.

    Returns:
        The frames; their failures are those of the run and what the store lacks.

    Raises:
        StoreError: There is nothing to report.
    """
    frames = plan_frames(plan, store, failures, resamples=resamples)
    seen, unseen = gather(plan, store, middle_eps(models_of(frames.samples))) if features else ((), ())
    if unseen:
        frames = frames.with_failures(unseen)
    write_report(
        folder,
        title=plan.suite.name,
        samples=frames.samples,
        eer=frames.eer,
        leaderboard=frames.leaderboard,
        checks=frames.checks,
        inspections=frames.inspections,
        examples=list(_examples(plan, store)),
        facts=_facts(plan, store),
        note=plan.suite.note,
        features=seen,
        accuracies=_accuracies(plan),
    )
    told = {
        "inputs": _inputs(plan, store, features=features, failures=frames.failures),
        "rendering": key_of({"report": REPORT, "suite": plan.suite.model_dump_json(), "features": features}),
        "numerics": NUMERICS,
        "cells": cell_keys(plan.cells()),
    }
    write_manifest(folder, told)
    return frames


def _inputs(plan: Plan, store: Store, *, features: bool, failures: Sequence[Failure] = ()) -> str:
    """Hash all that decides the report.

    Contents of cells and scores, the suite's text, the machines, the cards, this code's number.

    The figures of the feature space come from the models and the training images themselves.
    """
    contents: list[Mapping[str, str]] = []
    for job in plan.jobs:
        detectors = described(job.detectors, plan.data["train"])
        for cell in job.cells:
            contents.append(store.head(cell.description)["files"])
            contents.append(score_checksums(store, key_of(cell.description), detectors))
    asked = [inspection_description(job, plan.data) for job in plan.jobs]
    contents += [store.head(description)["files"] for description in asked if description is not None]
    fingerprints = [job.entrant.fingerprint for job in plan.jobs]
    seen = [plan.data["train"].checksum, *fingerprints] if features else []
    accuracies = [asdict(one) for one in _accuracies(plan)]
    told = {
        "facts": dict(_facts(plan, store)),
        "suite": plan.suite.model_dump_json(),
        "features": seen,
        "accuracies": accuracies,
        "failures": list(map(str, failures)),
        "published": plan.published.checksum if plan.published else "",
    }
    return key_of({"contents": contents, **told, "report": REPORT})


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
        **({"published rows": plan.published.told} if plan.published else {}),
    }


def _accuracies(plan: Plan) -> list[Accuracy]:
    # users' own defenses come after the suite's models
    names = {job.entrant.name: name for name, job in zip(plan.suite.models, plan.jobs, strict=False)}
    return accuracies_of(names, plan.suite.data, len(plan.data["test"]))


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
