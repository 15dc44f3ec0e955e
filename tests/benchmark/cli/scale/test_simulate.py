"""The simulation against runs that can be worked out by hand, and against bounds that no schedule breaks."""

import random

import pytest

from gmbench.benchmark.cli.scale.simulate import Cluster, Piece, simulate

FREE = Cluster(start=0.0, client=0.0, bandwidth=float("inf"), weights=0.0)


def pieces(*seconds: float) -> list[Piece]:
    return [Piece("lgm", one, 0.0) for one in seconds]


def test_graham_longest_first() -> None:
    # his own worst case for two workers: 3 3 2 2 2 takes 7, and 6 would be possible
    assert simulate(pieces(2, 3, 2, 3, 2), FREE, 2).seconds == 7
    assert simulate(pieces(2, 3, 2, 3, 2), FREE, 1).seconds == 12
    assert simulate(pieces(2, 3, 2, 3, 2), FREE, 5).seconds == 3


def test_start_up_and_client_are_added() -> None:
    cluster = Cluster(start=10.0, client=1.0, bandwidth=float("inf"), weights=0.0)
    assert simulate(pieces(5, 5), cluster, 1).seconds == 10 + 5 + 5 + 1
    # both come at once, and the client takes one after the other
    assert simulate(pieces(5, 5), cluster, 2).seconds == 10 + 5 + 1 + 1


def test_network_is_one_line() -> None:
    cluster = Cluster(start=0.0, client=0.0, bandwidth=10.0, weights=20.0)
    # weights go out at 0 to 2 and 2 to 4, pieces end at 7 and 9, each result takes 1
    two = simulate([Piece("lgm", 5.0, 10.0)] * 2, cluster, 2)
    assert two.seconds == 10
    assert two.busy == pytest.approx(10 / 20)
    # one worker gets them once: pieces end at 7 and 12
    assert simulate([Piece("lgm", 5.0, 10.0)] * 2, cluster, 1).seconds == 13
    # and of another model again: 2 + 5, 2 + 5, with the first result on the line in between
    assert simulate([Piece("a", 5.0, 0.0), Piece("b", 5.0, 0.0)], cluster, 1).seconds == 14


@pytest.mark.parametrize(
    ("cluster", "workers", "limit"),
    [
        (FREE, 4, "workers"),
        (FREE, 1000, "the longest piece"),
        (Cluster(0.0, 10.0, float("inf"), 0.0), 1000, "the client"),
        (Cluster(0.0, 0.0, 1.0, 10.0), 1000, "the network"),
    ],
)
def test_limit_is_named(cluster: Cluster, workers: int, limit: str) -> None:
    outcome = simulate(pieces(*range(1, 101)), cluster, workers)
    assert outcome.limit == limit
    assert outcome.seconds >= max(outcome.limits.values())


def test_no_schedule_breaks_its_bounds() -> None:
    rng = random.Random(0)
    for _ in range(50):
        many = [
            Piece(rng.choice("abc"), rng.uniform(1, 100), rng.uniform(0, 1e6))
            for _ in range(rng.randrange(1, 60))
        ]
        cluster = Cluster(rng.uniform(0, 9), rng.uniform(0, 1), rng.uniform(1e5, 1e7), rng.uniform(0, 1e6))
        workers = rng.randrange(1, 40)
        found = simulate(many, cluster, workers)
        assert found.seconds >= max(found.limits.values()) - 1e-6
        free = simulate(many, FREE, workers)
        longest = max(piece.seconds for piece in many)
        assert free.seconds <= sum(piece.seconds for piece in many) / workers + longest  # Graham's bound
        assert 0 < found.busy <= 1
