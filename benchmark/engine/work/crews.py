"""Chooses who performs the pieces of a plan: this process, worker processes, or a cluster that stands."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import accumulate

from ....models.processors import processors
from ..cell import Cell
from ..estimate import estimate
from ..plan import Job, Plan
from ..scoring import lacking_scores
from ..store import Store
from .crew import Crew, CrewError
from .here import Here
from .perform import Place, members_of, perform

__all__ = ["crew_for", "in_process"]

WORTH = 20.0
"""Estimated seconds of work, from which on worker processes are started where nobody says how many."""


@contextmanager
def crew_for(
    plan: Plan, store: Store, workers: int | None = None, scheduler: str | None = None
) -> Iterator[Crew]:
    """Give the crew that a user asks for; processes of ours end with it.

    Args:
        plan: Whose pieces.
        store: Of what is done.
        workers: Processes, of one torch thread each, but no more than there are pieces; 1 for this process;
            None for the cores, if there is enough to do for them.
        scheduler: Address of a Dask scheduler, instead of workers of ours.

    Raises:
        CrewError: There is no such scheduler, its workers cannot do what will be asked, or an entrant cannot
            be sent to them.
        ImportError: The extra that workers need is not installed.
        ValueError: There are fewer than one worker, or some beside a scheduler's.
    """
    _check(workers, scheduler)
    count = _worth(plan, store, workers) if scheduler is None else 0
    if count == 1 or not _sendable(plan, asked=workers is not None or scheduler is not None):
        with in_process(plan) as here:
            yield here
        return
    from .workers.cluster import local_cluster, standing_cluster
    from .workers.worker import perform_remotely

    if scheduler is not None:
        crew = standing_cluster(scheduler, perform_remotely, plan)
    else:
        crew = local_cluster(count, perform_remotely, plan)
    with crew as cluster:
        yield cluster


def in_process(plan: Plan) -> Here:
    """Give the crew that is this process."""
    place = Place(plan.device, plan.data, members_of(plan).__getitem__)
    return Here(lambda piece, supply, report: perform(piece, place, supply, report))


def _worth(plan: Plan, store: Store, wanted: int | None) -> int:
    """Say how many workers are worth their start."""
    if wanted == 1:
        return 1
    pieces = sum(_lacks(store, plan, job, cell) for job in plan.jobs for cell in job.cells)
    if wanted is not None:
        return max(1, min(wanted, pieces))
    most = min(processors(), pieces)
    if most < 2 or plan.device != "cpu" or not _can_distribute():
        return 1
    sums = accumulate(cost.seconds for cost in estimate(plan, store))
    return most if any(seconds >= WORTH for seconds in sums) else 1


def _sendable(plan: Plan, *, asked: bool) -> bool:
    """Tell whether all whom a plan asks can be sent to workers.

    Raises:
        CrewError: They cannot, and workers were asked for.
    """
    from .workers.cluster import check_sendable

    try:
        check_sendable(plan)
    except CrewError:
        if asked:
            raise
        return False
    return True


def _lacks(store: Store, plan: Plan, job: Job, cell: Cell) -> bool:
    if not store.has(cell.description):
        return True
    return bool(lacking_scores(cell, job.detectors, plan.data["train"], store))


def _check(workers: int | None, scheduler: str | None) -> None:
    if workers is not None and workers < 1:
        raise ValueError(f"expected workers to be at least 1, got {workers}")
    if scheduler is not None and not re.fullmatch(r"(tcp|tls)://.+:\d+", scheduler):
        raise ValueError(f"expected a scheduler to be tcp://HOST:PORT or tls://HOST:PORT, got '{scheduler}'")
    if scheduler is not None and workers is not None:
        raise ValueError("expected workers or a scheduler, which has its own, got both")
    if (scheduler is not None or (workers or 1) > 1) and not _can_distribute():
        raise ImportError(
            "more than one worker, or a scheduler, needs Dask; install it with: pip install "
            "'gmbench[distributed]'"
        )


def _can_distribute() -> bool:
    return find_spec("distributed") is not None
