"""Many workers and one client, simulated: list scheduling, longest piece first (Graham, 1969).

Workers compute. The client's network is one line on which a model's weights go out, once to every worker that
needs it, and results come back, one after the other; the client's processor then checks and stores each. Both
are queues, first come, first served, and no worker waits for them but for weights.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import NamedTuple

__all__ = ["Cluster", "Outcome", "Piece", "simulate"]


class Piece(NamedTuple):
    """What a worker does at once.

    Args:
        model: On which.
        seconds: On one worker.
        sent: Bytes of its result.
        what: It is, for people.
    """

    model: str
    seconds: float
    sent: float
    what: str = ""


@dataclass(frozen=True)
class Cluster:
    """What is between the pieces.

    Args:
        start: Seconds from a worker's start to its first piece.
        client: Seconds that the client spends on a result.
        bandwidth: Bytes a second of the client's network.
        weights: Bytes of a model.
    """

    start: float
    client: float
    bandwidth: float
    weights: float


class Outcome(NamedTuple):
    """How a run went.

    Args:
        seconds: Until the last result is stored.
        busy: The share of the workers' time in which they computed.
        limits: What must pass at least, by what makes it so; the run is no shorter than the longest of them.
    """

    seconds: float
    busy: float
    limits: dict[str, float]

    @property
    def limit(self) -> str:
        """What holds the run up most."""
        return max(self.limits, key=self.limits.__getitem__)


def simulate(pieces: Sequence[Piece], cluster: Cluster, workers: int) -> Outcome:
    """Simulate a run.

    Args:
        pieces: In any order.
        cluster: What is between them.
        workers: How many, >= 1.
    """
    waiting = deque(sorted(pieces, key=lambda piece: -piece.seconds))
    idle = [(cluster.start, worker) for worker in range(workers)]
    heapify(idle)
    done: list[tuple[float, float]] = []  # when a piece is computed, and the bytes of its result
    known: set[tuple[int, str]] = set()
    line = processor = 0.0
    while waiting or done:
        if waiting and (not done or idle[0][0] <= done[0][0]):
            now, worker = heappop(idle)
            piece = waiting.popleft()
            if (worker, piece.model) not in known:
                known.add((worker, piece.model))
                now = line = max(line, now) + cluster.weights / cluster.bandwidth
            end = now + piece.seconds
            heappush(idle, (end, worker))
            heappush(done, (end, piece.sent))
        else:
            now, sent = heappop(done)
            line = max(line, now) + sent / cluster.bandwidth
            processor = max(processor, line) + cluster.client
    work = sum(piece.seconds for piece in pieces)
    sent = sum(piece.sent for piece in pieces) + len(known) * cluster.weights
    limits = {
        "workers": cluster.start + work / workers,
        "the longest piece": cluster.start + max(piece.seconds for piece in pieces),
        "the client": cluster.start + len(pieces) * cluster.client,
        "the network": cluster.start + sent / cluster.bandwidth,
    }
    return Outcome(processor, work / (workers * processor), limits)
