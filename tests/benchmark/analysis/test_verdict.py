"""Verdicts, and the false alarms that chance gives honest models."""

import numpy as np
import pytest

from gmbench.benchmark.analysis.attack_strength import TOLERANCE, p_by_image, p_together
from gmbench.benchmark.analysis.metrics import threshold_at_fpr
from gmbench.benchmark.analysis.verdict import FALSE_ALARMS, holm, same_quantile, verdict
from gmbench.benchmark.engine.inspection.finding import State

P, F, B, N, A = State.PASSED, State.FAILED, State.BROKEN, State.NOT_RUN, State.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ((P, P, A), "sound"),
        ((P, N, A), "unchecked"),
        ((), "unchecked"),
        ((A, A), "unchecked"),
        ((P, N, F), "suspect"),
        ((P, N, F, B), "broken"),
    ],
)
def test_the_worst_state_decides(states, expected):
    assert verdict(states) == expected


def test_holm_by_hand():
    """.004 <= .02 / 4, .006 <= .02 / 3, .011 > .02 / 2, and what comes after falls with it."""
    assert holm([0.011, 0.004, np.nan, 0.006, 0.015]) == [False, True, False, True, False]
    assert holm([0.02]) == [True]
    assert holm([0.0201]) == [False]
    assert holm([]) == []


def fpr_p(draw, tied=False):
    held, clean = draw.normal(0, 1, 250), draw.normal(0, 1, 200)
    if tied:
        held, clean = held.round(), clean.round()
    threshold = threshold_at_fpr(held, 0.05)
    counts = [
        int(found.sum())
        for found in (held > threshold, held >= threshold, clean > threshold, clean >= threshold)
    ]
    return same_quantile(counts[0], len(held), counts[1], counts[2], counts[3], len(clean))


def test_at_most_one_honest_model_in_fifty_has_a_false_alarm():
    """Every null hypothesis is true, some at their very edge."""
    draw = np.random.default_rng(0)
    models, alarms = 1500, 0
    for _ in range(models):
        reference = draw.random(200) < 0.5
        missed = draw.random(200) < TOLERANCE
        either = draw.random(200) < 0.1
        sides = either & (draw.random(200) < 0.5)
        p = [
            p_by_image(missed, np.zeros(200, bool)),
            p_by_image(missed[::-1], np.zeros(200, bool)),
            p_together(sides, either & ~sides),
            p_together(reference, reference),
            *(fpr_p(draw, tied) for tied in (False, False, True)),
        ]
        alarms += any(holm(p))
    assert FALSE_ALARMS == 0.02
    assert alarms / models <= 0.02 + 3 * np.sqrt(0.02 * 0.98 / models)
    assert alarms > 0, "a test that never fails tests nothing"


def test_the_share_above_a_threshold_is_compared_exactly():
    """P-values of a true hypothesis are no smaller than uniform ones, and not much larger without ties."""
    draw = np.random.default_rng(1)
    p = np.array([fpr_p(draw) for _ in range(2000)])
    for level in (0.01, 0.05, 0.2):
        assert level / 3 < (p <= level).mean() <= level + 3 * np.sqrt(level / 2000)


def test_a_score_that_knows_the_test_images_is_refuted():
    assert same_quantile(12, 250, 13, 0, 0, 500) < 1e-5  # none of 500 where 5 % are promised
    assert same_quantile(12, 250, 13, 80, 80, 500) < 1e-4
    assert same_quantile(12, 250, 13, 25, 25, 500) > 0.5
    assert same_quantile(0, 250, 250, 0, 500, 500) == 1.0  # all tied: nothing can be said
