"""What a detector is asked: a score of the image and of nothing else."""

import torch

from gmbench.benchmark.engine.inspection.detectors import detector_caller, detector_grid, detector_repeatable
from gmbench.benchmark.engine.inspection.finding import State


def honest(x):
    return x.flatten(1).std(1)


def off_grid(x):
    scaled = x.flatten(1) * 16
    return honest(x) + 9 * ((scaled - scaled.round()).abs().amax(1) > 0.045)


def one(found):
    [finding] = found
    return finding


def test_a_score_of_the_grid_is_seen(subject):
    near = subject("digits-softmax-s0")
    caught, free = list(detector_grid(near, {"grid": off_grid, "honest": honest}))
    assert (caught.state, caught.detector) == (State.FAILED, "grid")
    assert (free.state, free.detector) == (State.PASSED, "honest")


def test_one_that_falls_a_grey_level_away_is_seen_too(subject):
    near = subject("digits-softmax-s0")
    assert one(detector_grid(near, {"": lambda x: -off_grid(x)})).state == State.FAILED


def test_a_score_that_counts_or_depends_on_company_is_seen(subject):
    calls = []

    def counting(x):
        calls.append(x)
        return honest(x) + (len(calls) > 6)

    near = subject("digits-softmax-s0")
    assert one(detector_repeatable(near, {"": counting})).state == State.FAILED
    assert one(detector_repeatable(near, {"": lambda x: honest(x) - honest(x).mean()})).state == State.FAILED
    assert (
        one(detector_repeatable(near, {"": lambda x: honest(x) + torch.arange(len(x))})).state == State.FAILED
    )
    assert one(detector_repeatable(near, {"": honest})).state == State.PASSED


def test_one_that_looks_for_the_cell_is_seen(subject):
    import sys

    def reading(x):
        frame, attacked = sys._getframe(), False
        while frame is not None and not attacked:
            attacked = getattr(frame.f_locals.get("cell"), "attack", None) is not None
            frame = frame.f_back
        return honest(x) + attacked

    near = subject("digits-softmax-s0")
    assert one(detector_caller(near, {"": reading})).state == State.BROKEN
    assert one(detector_caller(near, {"": honest})).state == State.PASSED
