"""Runs a suite: entrants, cells, scores. What is finished stays finished, whatever happens next."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

import torch

from ...attacks import ATTACKS
from ...attacks.core.known import KnownDetector
from .cell import Cell, run_cell
from .entry import Entry, StoreError, key_of
from .failure import Failure, say
from .inspection.inspect import inspect, inspection_description
from .plan import Job, Plan
from .progress import Listener, Silent
from .scoring import Fitting, lacking_scores, score_cells
from .store import Store

__all__ = [
    "Summary",
    "estimate_seconds",
    "run_plan",
]

# cost of a backward pass in forward passes, where weights are frozen; for progress and estimates only
BACKWARD = 1


@dataclass(frozen=True)
class Summary:
    """What a run did: cells computed, cells found in the store, and failures, those of the plan too."""

    made: int
    found: int
    failures: tuple[Failure, ...] = field(default=())


def run_plan(plan: Plan, store: Store, listener: Listener | None = None) -> Summary:
    """Compute what the store lacks, cell by cell, each stored as soon as it is done.

    A failed cell stops no other.

    Raises:
        StoreError: The store cannot be written to.
    """
    listener = listener or Silent()
    store.check_writable()
    for outputs in plan.probes:
        store.write(outputs)
    missing = {key_of(cell.description) for cell in plan.cells() if not store.sound(cell.description)}
    unscored = {job.entrant.name for job in plan.jobs if _lacks_scores(plan, job, store)}
    uninspected = sum(_lacks_inspection(plan, job, store) for job in plan.jobs)
    listener.begin(
        sum(_work(plan, job, missing, unscored) for job in plan.jobs),
        len(missing) + len(unscored) + uninspected,
    )
    failures = list(plan.failures)
    for told in failures:
        listener.failed(told)
    made = 0
    for job in plan.jobs:
        finished = []
        fitting = Fitting(
            job.entrant, job.detectors, plan.data["train"], plan.device, report=listener.advance
        )
        failures += _inspect(plan, job, fitting, store, listener)  # first: what counts its calls shows it
        for cell in job.cells:
            is_missing = key_of(cell.description) in missing
            if is_missing and (failure := _make(plan, job, cell, fitting, store, listener)):
                failures.append(failure)
            else:
                finished.append(cell)
                made += is_missing
        if job.entrant.name in unscored:
            failures += _score(plan, fitting, finished, store, listener)
    return Summary(made, sum(len(job.cells) for job in plan.jobs) - len(missing), tuple(failures))


def work_of(cell: Cell) -> float:
    """Estimate a cell's work in forward passes of one image; attacks that stop early need less."""
    if cell.attack is None:
        return cell.samples
    forwards, backwards = ATTACKS.build(cell.attack, **cell.options).passes()
    return cell.samples * (cell.draws * (forwards + BACKWARD * backwards) + 3)  # the judge takes three


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


def _make(
    plan: Plan, job: Job, cell: Cell, fitting: Fitting, store: Store, listener: Listener
) -> Failure | None:
    listener.doing(str(cell))
    share, start = work_of(cell) / cell.samples, time.monotonic()
    try:
        entry = run_cell(
            cell,
            job.entrant,
            plan.surrogate,
            plan.data[cell.split],
            known=_known(plan, cell, fitting),
            proposed=_proposed(plan, cell, store),
            device=plan.device,
            report=_differences(lambda images: listener.advance(images * share)),
        )
    # Another's attack or model may raise anything; the other cells go on
    except Exception as error:  # noqa: BLE001
        failure = Failure(cell.model, cell.title, say(error))
        listener.failed(failure)
        return failure
    store.write(entry)
    listener.finished(str(cell), time.monotonic() - start)
    return None


def _known(plan: Plan, cell: Cell, fitting: Fitting) -> KnownDetector | None:
    """Fit the detector that a cell's threat model names."""
    if cell.threat is None or not cell.threat.knows_detector:
        return None
    return fitting.known(cell.threat.knows, plan.data["validation"])


def _score(
    plan: Plan, fitting: Fitting, finished: Sequence[Cell], store: Store, listener: Listener
) -> list[Failure]:
    what, start = f"{fitting.entrant.name} / detectors", time.monotonic()
    listener.doing(what)
    try:
        broken = score_cells(fitting, finished, store, plan.data)
    except StoreError:  # a full disk is everybody's
        raise
    except Exception as error:  # noqa: BLE001 - a user's model may raise anything; the other models go on
        failures = [Failure(fitting.entrant.name, "detector", say(error))]
    else:
        failures = [Failure(fitting.entrant.name, f"detector {name}", why) for name, why in broken.items()]
        listener.finished(what, time.monotonic() - start)
    for failure in failures:
        listener.failed(failure)
    return failures


def _inspect(plan: Plan, job: Job, fitting: Fitting, store: Store, listener: Listener) -> list[Failure]:
    """Ask the model what its samples cannot tell, unless that is in the store."""
    if not _lacks_inspection(plan, job, store):
        return []
    what, start = f"{job.entrant.name} / inspection", time.monotonic()
    listener.doing(what)
    try:
        entry = inspect(job, plan.data, fitting)
    except Exception as error:  # noqa: BLE001 - likewise
        failure = Failure(job.entrant.name, "inspection", say(error))
        listener.failed(failure)
        return [failure]
    store.write(entry)
    listener.finished(what, time.monotonic() - start)
    return []


def _proposed(plan: Plan, cell: Cell, store: Store) -> Entry | None:
    """Find what a transfer attack proposed against another model.

    The surrogate decides that, whoever is to be fooled.
    """
    if cell.surrogate is None:
        return None
    twins = (replace(cell, fingerprint=other.entrant.fingerprint) for other in plan.jobs)
    return next((entry for twin in twins if (entry := store.read(twin.description))), None)


def _lacks_scores(plan: Plan, job: Job, store: Store) -> bool:
    return any(lacking_scores(cell, job.detectors, plan.data["train"], store) for cell in job.cells)


def _lacks_inspection(plan: Plan, job: Job, store: Store) -> bool:
    description = inspection_description(job, plan.data)
    return description is not None and not store.sound(description)


def _scoring_work(plan: Plan, job: Job) -> float:
    return len(plan.data["train"]) + sum(cell.samples for cell in job.cells)


def _seconds_per_forward(plan: Plan, job: Job) -> float:
    x = plan.data["test"].images(slice(0, min(plan.suite.batch, plan.suite.samples))).to(plan.device)
    with torch.no_grad():
        job.entrant.classifier(x)  # the first pass pays for set-up
        start = time.perf_counter()
        job.entrant.classifier(x).sum().item()
    return (time.perf_counter() - start) / len(x)


def _differences(tell: Callable[[int], None]) -> Callable[[int], None]:
    """Turn "so many by now" into "so many more"."""
    before = 0

    def report(now: int) -> None:
        nonlocal before
        tell(now - before)
        before = now

    return report
