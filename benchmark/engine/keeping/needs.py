"""Which entries of a store a plan needs: what its report reads, and what a run of it would compute again."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..cell import NUMERICS
from ..entry import key_of
from ..inspection.inspect import inspection_description
from ..plan import Job, Plan
from ..probe import of_generation
from ..scores import held
from ..scoring import Fitting, described
from .inventory import Item

__all__ = ["needed"]

DEVICES = ("cpu", "cuda")
"""A store may be shared by machines with and without a GPU; what each has made is needed."""


def needed(plan: Plan, items: Sequence[Item]) -> set[str]:
    """Give the keys of those entries that a plan needs.

    Args:
        plan: With every job's cells, none taken from published rows.
        items: All of the store, see `inventory`.
    """
    there = {item.key for item in items}
    everybody = [job.entrant for job in plan.jobs] + ([plan.surrogate] if plan.surrogate else [])
    keys = set(_probes({entrant.fingerprint for entrant in everybody}, items))
    for job in plan.jobs:
        cells = {key_of(replace(cell, device=device).description) for cell in job.cells for device in DEVICES}
        keys |= cells | set(_of_model(plan, job))
        detectors = described(job.detectors, plan.data["train"])
        for item in items:
            if item.about not in cells:
                continue
            scored = item.kind == "scores" and any(held(item.description, detectors))
            if scored or (item.kind == "part" and item.about not in there):
                keys.add(item.key)
    return keys & there


def _of_model(plan: Plan, job: Job) -> Iterator[str]:
    """Give the keys of what its detectors have learned and of what the model itself was asked."""
    for device in DEVICES:
        fitting = Fitting(job.entrant, job.detectors, plan.data["train"], device)
        yield from (key_of(fitting.description(name)) for name in job.detectors)
        told = inspection_description(job, plan.data)
        if told is not None:
            yield key_of({**told, "device": device})


def _probes(fingerprints: set[str], items: Sequence[Item]) -> Iterator[str]:
    """Give the keys of all generations of outputs, where one of them is a model's of the plan."""
    probes = [item for item in items if item.kind == "probe" and item.description["numerics"] == NUMERICS]
    wanted = {
        item.fingerprint
        for item in probes
        if of_generation(str(item.fingerprint), item.description["generation"]) in fingerprints
    }
    return (item.key for item in probes if item.fingerprint in wanted)
