"""Runs a suite: what the store lacks goes to a crew in pieces, and what comes back is checked and stored.

What is finished stays finished, whatever happens next.
"""

import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, replace

import torch

from .entry import key_of
from .failure import Failure
from .plan import Job, Plan
from .progress import Listener, Silent
from .scoring import lacking_scores
from .store import Store
from .work.check import damage
from .work.crew import Crew
from .work.lacking import Lacking
from .work.piece import Done, Piece, work_of

__all__ = [
    "Summary",
    "estimate_seconds",
    "run_plan",
]

TRIES = 3
"""How often a piece is asked for that comes back damaged."""


@dataclass(frozen=True)
class Summary:
    """What a run did: cells computed, cells found in the store, and failures, those of the plan too."""

    made: int
    found: int
    failures: tuple[Failure, ...] = field(default=())


def run_plan(
    plan: Plan, store: Store, crew: Crew, listener: Listener | None = None, *, limit: float | None = None
) -> Summary:
    """Have what the store lacks computed, piece by piece, each stored as soon as it is done.

    A failed cell stops no other.

    Args:
        plan: What to run.
        store: Of finished work; other runs may use it meanwhile.
        crew: Who computes.
        listener: Told how it goes.
        limit: Seconds that a cell may take; None for as long as it needs.

    Raises:
        StoreError: The store cannot be written to.
        CrewError: Nobody is left who computes.
    """
    listener = listener or Silent()
    store.check_writable()
    for outputs in plan.probes:
        store.write(outputs)
    lacking = Lacking(plan, store, listener, limit)
    agenda = lacking.agenda
    listener.begin(lacking.work, lacking.things)
    for failure in plan.failures:
        listener.failed(failure)
    damaged: Counter[Piece] = Counter()
    while True:
        while crew.room > 0 and (piece := agenda.next()) is not None:
            listener.doing(str(piece))
            crew.submit(piece, store.read_packed)
        if agenda.over:
            break
        piece, done = _finished(crew, listener)
        if why := damage(piece, done, plan):
            damaged[piece] += 1
            if damaged[piece] < TRIES:
                crew.submit(piece, store.read_packed)
                continue
            done = Done(why=f"came back damaged {TRIES} times: {why}")
        for key, packed in done.entries.items():
            store.write_packed(packed, key)
        agenda.settle(piece, replace(done, entries={}))  # what is stored is not held
    return Summary(lacking.made, lacking.found, (*plan.failures, *lacking.failures))


def _finished(crew: Crew, listener: Listener) -> tuple[Piece, Done]:
    """Wait for the next piece, and have the listener know of all its work."""
    told = 0.0

    def report(work: float) -> None:
        nonlocal told
        told += work
        listener.advance(work)

    piece, done = crew.finished(report)
    listener.advance(piece.work - told)
    return piece, done


def estimate_seconds(plan: Plan, store: Store) -> dict[str, float]:
    """Estimate what the missing cells and scores of each entrant will take.

    From the measured speed of one batch.
    """
    missing = {key_of(cell.description) for cell in plan.cells() if not store.has(cell.description)}
    unscored = {job.entrant.name for job in plan.jobs if _lacks_scores(plan, job, store)}
    return {
        job.entrant.name: _seconds_per_forward(plan, job) * _work(plan, job, missing, unscored)
        for job in plan.jobs
        if job.cells
    }


def _work(plan: Plan, job: Job, missing: Collection[str], unscored: Collection[str]) -> float:
    cells = sum(work_of(cell) for cell in job.cells if key_of(cell.description) in missing)
    return cells + (_scoring_work(plan, job) if job.entrant.name in unscored else 0)


def _lacks_scores(plan: Plan, job: Job, store: Store) -> bool:
    return any(lacking_scores(cell, job.detectors, plan.data["train"], store) for cell in job.cells)


def _scoring_work(plan: Plan, job: Job) -> float:
    return len(plan.data["train"]) + sum(cell.samples for cell in job.cells)


def _seconds_per_forward(plan: Plan, job: Job) -> float:
    x = plan.data["test"].images(slice(0, min(plan.suite.batch, plan.suite.samples))).to(plan.device)
    with torch.no_grad():
        job.entrant.classifier(x)  # the first pass pays for set-up
        start = time.perf_counter()
        job.entrant.classifier(x).sum().item()
    return (time.perf_counter() - start) / len(x)
