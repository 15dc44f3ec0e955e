"""Runs a suite: what the store lacks goes to a crew in pieces, and what comes back is checked and stored.

What is finished stays finished, whatever happens next.
"""

from collections import Counter
from dataclasses import dataclass, field, replace

from .failure import Failure
from .plan import Plan
from .progress import Listener, Silent
from .store import Store
from .work.check import damage
from .work.crew import Crew
from .work.lacking import Lacking
from .work.piece import Done, Piece

__all__ = [
    "Summary",
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
