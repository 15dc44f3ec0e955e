"""The rows of a suite's own models, taken from where they are published.

Whoever runs a suite on a defense of his own wants the others beside it, not their hours again.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ..analysis.samples_file import read_samples
from ..engine.cell import NUMERICS, Cell
from ..engine.plan import Job, Plan, PublishedRows
from ..engine.suite import Suite, load_suite, suites
from .inspections_file import read_inspections
from .kept import read_kept
from .manifest import cell_keys, read_manifest

__all__ = ["OURS", "take_published"]

OURS = Path(__file__).parents[2] / "results"
"""Results that come with a clone of gmbench; an installed package has none."""

FIRST_NUMERICS = 1
"""Of results whose manifest does not tell."""

_CELL = ["split", "label", "norm", "eps", "access", "knows"]


def take_published(plan: Plan, places: Sequence[Path]) -> Plan:
    """Replace the jobs of the suite's own models by their published rows, where those are of the same cells.

    Args:
        plan: With a defense of the user's; without, it is to be computed, and is given back as it is.
        places: Folders of results, one subfolder a suite; the first that has one is taken.
    """
    if all(job.entrant.of_suite for job in plan.jobs):
        return plan
    for folder in (place / plan.suite.name for place in places):
        if not (folder / "samples.parquet").is_file():
            continue
        try:
            rows = read_samples(folder / "samples.parquet", plan.suite)
            machine = read_kept(folder).facts.get("device and versions", "a machine that is not told")
        except ValueError:
            continue
        keys = _keys(folder, plan.suite)
        found = {job.entrant.name: _rows(job, rows, keys) for job in plan.jobs if job.entrant.of_suite}
        taken = {name: own for name, own in found.items() if own is not None}
        if taken:
            told = f"of {len(taken)} of the suite's own models, as published for {plan.suite.name}, made on "
            asked = read_inspections(folder)
            asked = asked[asked["model"].isin(taken)]
            written = (folder / "samples.parquet").read_bytes() + asked.to_csv(index=False).encode()
            checksum = hashlib.sha256(written).hexdigest()
            rows = pd.concat(taken.values(), ignore_index=True)
            published = PublishedRows(rows, told + machine, checksum, asked)
            jobs = tuple(replace(job, cells=()) if job.entrant.name in taken else job for job in plan.jobs)
            return replace(plan, jobs=jobs, published=published)
    return plan


def _keys(folder: Path, suite: Suite) -> set[str] | None:
    """Name the cells that are published; None where the folder does not tell and all of the suite's are.

    An older manifest does not tell. Then the suite must be ours, as it is now.
    """
    manifest = read_manifest(folder)
    if manifest.get("numerics", FIRST_NUMERICS) != NUMERICS:
        return set()
    if "cells" in manifest:
        return set(manifest["cells"])
    return None if suite.name in suites() and _is_part_of(suite, load_suite(suite.name)) else set()


def _is_part_of(suite: Suite, whole: Suite) -> bool:
    """Tell whether a suite, perhaps narrowed, asks the same of its models."""
    same = ("data", "seed", "batch", "surrogate")
    attacks = {plan.label: plan.model_dump(exclude={"samples"}) for plan in whole.attacks}
    return all(getattr(suite, name) == getattr(whole, name) for name in same) and all(
        attacks.get(plan.label) == plan.model_dump(exclude={"samples"}) for plan in suite.attacks
    )


def _rows(job: Job, rows: pd.DataFrame, keys: set[str] | None) -> pd.DataFrame | None:
    """Select a model's rows; None unless every cell is there, on the very images, with every score."""
    own = rows[rows["model"] == job.entrant.name]
    if own.empty or (keys is not None and not keys.issuperset(cell_keys(job.cells))):
        return None
    parts = dict(iter(own.groupby(_CELL, observed=True)))
    chosen = []
    for cell in job.cells:
        part = parts.get(_place(cell))
        if part is None or len(part) != cell.samples or not _is_scored(part, job):
            return None
        chosen.append(part)
    return pd.concat(chosen)


def _place(cell: Cell) -> tuple[str, str, str, float, str, str]:
    threat = cell.threat
    if threat is None:
        return cell.split, cell.label, "", 0.0, "", ""
    return cell.split, cell.label, threat.norm, threat.eps, threat.access, threat.knows


def _is_scored(part: pd.DataFrame, job: Job) -> bool:
    columns = [f"score_{name}" for name in job.detectors]
    return set(columns) <= set(part.columns) and bool(part[columns].notna().to_numpy().all())
