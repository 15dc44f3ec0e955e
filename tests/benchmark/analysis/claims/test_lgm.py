"""The claims of the L-GM paper in at least two opposite outcomes.

From numbers whose judgement is known by hand.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ...made_results import EMPTY, FAILS, HOLDS, OPEN, claim, eers, judged


@pytest.mark.parametrize(
    ("curves", "held"),
    [
        ({0: [0.2, 0.05, 0.02]}, HOLDS),  # comes down to 3.1 % between two eps
        ({0: [0.02, 0.01, 0.01]}, HOLDS),  # better than the paper everywhere
        ({0: [0.2, 0.1, 0.034]}, OPEN),  # within the interval at the last eps
        ({0: [0.2, 0.1, 0.05]}, FAILS),
        ({0: [0.2, 0.1, 0.02], 1: [0.2, 0.1, 0.06]}, OPEN),  # one seed does, their mean does not
        ({0: [0.2, 0.1, np.nan]}, FAILS),
        ({0: [0.2, 0.1, 0.02], 1: [0.2, 0.1, np.nan]}, FAILS),  # of one seed of two it is another number
    ],
)
def test_the_eer_of_lgm(curves, held):
    assert judged(claim("L-GM verifies"), eer=eers({"lgm": curves}, eps=(0.1, 0.2, 0.3))) == held


def test_an_interval_at_another_eps_than_the_nearest_contains_the_eer_too():
    frame = eers({"lgm": {0: [0.06, 0.05]}}, eps=(0.1, 0.3))
    assert judged(claim("L-GM verifies"), eer=frame) == FAILS
    frame.loc[frame["eps"] == 0.1, "eer_low"] = 0.02
    assert judged(claim("L-GM verifies"), eer=frame) == OPEN


def test_the_eer_of_few_images_counts_for_nothing():
    assert judged(claim("L-GM verifies"), eer=eers({"lgm": {0: [0.01]}}, adversarials=3)) is None


def test_populations_that_disagree_decide_nothing():
    frame = eers({"lgm": {0: [0.02]}})
    frame.loc[frame["population"] == "successful", ["eer", "eer_low", "eer_high"]] += 0.2
    assert judged(claim("L-GM verifies"), eer=frame) == OPEN
    order = eers({"lgm": {0: [0.02]}, "center": {0: [0.1]}, "softmax": {0: [0.2]}})
    order.loc[
        (order["population"] == "successful") & (order["loss"] == "lgm"), ["eer", "eer_low", "eer_high"]
    ] += 0.2
    judgement = claim("L-GM < center")(replace(EMPTY, eer=order))
    assert judgement.held == OPEN
    assert "depends on the population" in judgement.measured


def test_an_eer_below_the_papers_everywhere_is_no_miss():
    judgement = claim("L-GM verifies")(replace(EMPTY, eer=eers({"lgm": {0: [0.02]}})))
    assert judgement.held == HOLDS
    assert "below the paper's at every eps" in judgement.measured


@pytest.mark.parametrize(
    ("lgm", "held"),
    [
        ([0.01, 0.01], HOLDS),
        ([0.01, 0.3], OPEN),
        ([0.3, 0.3], FAILS),
        ([0.095, 0.095], OPEN),  # the means are in order, the intervals overlap
        ([0.01, 0.105], HOLDS),  # holds at one, overlaps at the other, though the mean is not in order there
        ([0.3, 0.105], FAILS),
    ],
)
def test_the_order(lgm, held):
    frame = eers({"lgm": {0: lgm}, "center": {0: [0.1, 0.1]}, "softmax": {0: [0.2, 0.2]}}, eps=(0.1, 0.2))
    assert judged(claim("L-GM < center"), eer=frame) == held
    assert judged(claim("L-GM < center"), eer=frame[frame["loss"] != "center"]) is None


def test_the_last_below_the_first_is_no_order():
    frame = eers({"lgm": {0: [0.3]}, "center": {0: [0.2]}, "softmax": {0: [0.1]}})
    frame.loc[frame["loss"] == "center", ["eer_low", "eer_high"]] = 0.05, 0.35  # overlaps both
    assert judged(claim("L-GM < center"), eer=frame) == FAILS


@pytest.mark.parametrize(
    ("plain", "raised", "held"),
    [
        # rises by .5 [0, 1] where FGSM has about 3.1 %; elsewhere it may rise
        ({0: [0.2, 0.03]}, {0: [0.4, 0.035]}, HOLDS),
        ({0: [0.2, 0.03]}, {0: [0.2, 0.06]}, FAILS),
        ({0: [0.2, 0.03]}, {0: [0.2, 0.04]}, OPEN),  # 1 [.5, 1.5] holds 1.2
        ({0: [0.4, 0.2]}, {0: [0.4, 0.2]}, OPEN),  # costs nothing, but starts at 20 %
        ({0: [0.2, 0.03], 1: [0.2, 0.03]}, {0: [0.2, 0.035], 1: [0.2, 0.06]}, OPEN),  # the seeds disagree
        ({0: [0.2, 0.03], 1: [0.2, 0.03]}, {0: [0.2, 0.035]}, HOLDS),  # the seed that met both
    ],
)
def test_the_price_of_the_raised_likelihood(plain, raised, held):
    frames = [
        eers({"lgm": plain}, eps=(0.1, 0.3)),
        eers({"lgm": raised}, attack="likelihood-fgsm", eps=(0.1, 0.3)),
    ]
    assert judged(claim("raises the likelihood"), eer=pd.concat(frames, ignore_index=True)) == held
    assert judged(claim("raises the likelihood"), eer=frames[0]) is None
