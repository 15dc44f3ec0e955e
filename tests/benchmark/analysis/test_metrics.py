"""The metrics against scikit-learn, closed forms and loops that do the same the slow way."""

import dataclasses
import itertools
import tracemalloc
from statistics import NormalDist

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve

from gmbench.benchmark.analysis import metrics
from gmbench.benchmark.analysis.metrics import (
    auroc,
    detection_intervals,
    eer,
    proportion_interval,
    roc,
    threshold_at_fpr,
    tpr,
    worst_case,
)

EMPTY = np.array([])
SIZES = [(1, 1), (1, 7), (7, 1), (50, 50), (200, 31), (31, 200)]


def draw(seed, clean, adversarial, values=None):
    """Two shifted Gaussians; ``values`` rounds them to that many distinct values per unit.

    Which makes ties.
    """
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 1, clean), rng.normal(0.7, 1.5, adversarial)
    return scores if values is None else tuple(np.round(part * values) / values for part in scores)


def labelled(clean, adversarial):
    labels = np.repeat([0, 1], [len(clean), len(adversarial)])
    return labels, np.concatenate([clean, adversarial])


def crossing(fpr, tpr):
    """Where the polygon (fpr, tpr) crosses the diagonal, segment by segment in plain Python."""
    for (f0, t0), (f1, t1) in itertools.pairwise(zip(fpr, tpr, strict=True)):
        gap0, gap1 = f0 - (1 - t0), f1 - (1 - t1)
        if gap0 <= 0 <= gap1:
            return f0 + (f1 - f0) * -gap0 / (gap1 - gap0)
    raise AssertionError("a curve from (0, 0) to (1, 1) crosses the diagonal")


@pytest.mark.parametrize("values", [None, 4, 1])
@pytest.mark.parametrize(("clean", "adversarial"), SIZES)
def test_agrees_with_scikit_learn(clean, adversarial, values):
    for seed in range(5):
        scores = draw(seed, clean, adversarial, values)
        labels, pooled = labelled(*scores)
        fpr, true, thresholds = roc_curve(labels, pooled, drop_intermediate=False)
        curve = roc(*scores)
        np.testing.assert_allclose(curve.fpr, fpr, atol=1e-15)
        np.testing.assert_allclose(curve.tpr, true, atol=1e-15)
        np.testing.assert_array_equal(curve.thresholds, thresholds)
        assert auroc(*scores) == pytest.approx(roc_auc_score(labels, pooled), abs=1e-12)
        assert eer(*scores) == pytest.approx(crossing(fpr, true), abs=1e-12)
        assert curve.eer == pytest.approx(eer(*scores), abs=1e-12)


@pytest.mark.parametrize("distance", [0.0, 0.5, 2.0, 3.3])
def test_two_gaussians_have_a_closed_form(distance):
    rng = np.random.default_rng(3)
    clean, adversarial = rng.normal(0, 1, 200_000), rng.normal(distance, 1, 200_000)
    assert auroc(clean, adversarial) == pytest.approx(NormalDist().cdf(distance / 2**0.5), abs=0.003)
    assert eer(clean, adversarial) == pytest.approx(NormalDist().cdf(-distance / 2), abs=0.003)


def test_interpolates_between_the_points_around_the_crossing():
    # Points (0, 0), (.5, .75), (1, 1): on the first segment FPR = 1 - TPR where f = 1 - 1.5 f.
    assert eer(np.array([1.0, 0.0]), np.array([1.0, 1.0, 1.0, 0.0])) == pytest.approx(0.4, abs=1e-15)


@pytest.mark.parametrize(
    ("clean", "adversarial", "area", "rate"),
    [
        ([0, 1], [2, 3], 1.0, 0.0),
        ([2, 3], [0, 1], 0.0, 1.0),
        ([5, 5, 5], [5, 5], 0.5, 0.5),
        ([5], [5], 0.5, 0.5),
        ([-np.inf, 0], [0, np.inf], 0.875, 0.25),
        ([np.inf, np.inf], [np.inf], 0.5, 0.5),
        ([-np.inf], [np.inf], 1.0, 0.0),
        ([-0.0], [0.0], 0.5, 0.5),
    ],
)
def test_limits(clean, adversarial, area, rate):
    scores = np.array(clean, dtype=np.float64), np.array(adversarial, dtype=np.float64)
    assert auroc(*scores) == area
    assert eer(*scores) == rate
    assert roc(*scores).eer == rate


@pytest.mark.parametrize("values", [None, 3])
def test_a_wrong_sign_gives_the_complement(values):
    clean, adversarial = draw(1, 80, 60, values)
    for wrong in ((-clean, -adversarial), (adversarial, clean)):
        assert auroc(*wrong) == pytest.approx(1 - auroc(clean, adversarial), abs=1e-12)
        assert eer(*wrong) == pytest.approx(1 - eer(clean, adversarial), abs=1e-12)
    assert eer(-adversarial, -clean) == pytest.approx(eer(clean, adversarial), abs=1e-12)


@pytest.mark.parametrize(
    "transform",
    [
        lambda s: s + 1000,
        lambda s: s - 20_000,
        lambda s: s * 1e30,
        lambda s: s * 1e-30,
        np.exp,
        np.arctan,
        lambda s: s.astype(np.float32),
        lambda s: (s - 1e4).astype(np.float32),
        lambda s: np.where(s == 6, np.inf, s),
    ],
)
def test_only_the_order_matters(transform):
    # Quarters are exact in float32, also after a shift of 1e4, so the ties stay the same ties.
    clean, adversarial = draw(2, 90, 70, 4)
    clean[0], adversarial[0] = 6, 6
    assert auroc(transform(clean), transform(adversarial)) == auroc(clean, adversarial)
    assert eer(transform(clean), transform(adversarial)) == eer(clean, adversarial)


def test_a_curve_is_a_value():
    curve = roc(np.array([0.0]), np.array([1.0]))
    with pytest.raises(dataclasses.FrozenInstanceError):
        curve.fpr = curve.tpr
    assert curve != roc(np.array([0.0]), np.array([1.0]))  # whether arrays are equal is no yes or no


def test_empty_populations_have_no_answer():
    some = np.array([0.0, 1.0])
    for clean, adversarial in ((EMPTY, some), (some, EMPTY), (EMPTY, EMPTY)):
        assert np.isnan(auroc(clean, adversarial))
        assert np.isnan(eer(clean, adversarial))
        assert np.isnan(roc(clean, adversarial).eer)
    assert np.isnan(roc(some, EMPTY).tpr).all()
    np.testing.assert_array_equal(roc(some, EMPTY).fpr, [0, 0.5, 1])
    assert np.isnan(tpr(EMPTY, 0.0))
    assert np.isnan(threshold_at_fpr(EMPTY, 0.05))
    assert np.isnan(tpr(some, threshold_at_fpr(EMPTY, 0.05)))
    assert np.isnan(proportion_interval(np.array([], dtype=bool))).all()
    for n in (0, 2):
        found = detection_intervals(some[:n], some[:n], np.zeros(n, dtype=bool))
        assert np.isnan([found["auroc"], found["eer"]]).all()


@pytest.mark.parametrize(
    "call", [auroc, eer, roc, lambda c, a: detection_intervals(c, a, np.ones(2, dtype=bool))]
)
def test_nan_and_wrong_shapes_are_errors(call):
    good, bad = np.array([0.0, 1.0]), np.array([0.0, np.nan])
    with pytest.raises(ValueError, match="expected clean to be free of NaN, got 1 in 2 scores"):
        call(bad, good)
    with pytest.raises(ValueError, match="expected adversarial to be free of NaN"):
        call(good, bad)
    with pytest.raises(ValueError, match=r"expected .*clean.* got .*\(2, 1\)"):
        call(good[:, None], good)
    with pytest.raises(ValueError, match=r"expected .*clean.* got .*\(\)"):
        call(good[0], good)


def test_other_bad_input_is_told():
    scores, flags = np.zeros(3), np.ones(3, dtype=bool)
    with pytest.raises(ValueError, match=r"to match, got \(3,\), \(2,\), \(3,\)"):
        detection_intervals(scores, scores[:2], flags)
    with pytest.raises(
        TypeError, match="expected positive to be a 1-D array of bool, got a 1-D array of int64"
    ):
        detection_intervals(scores, scores, flags.astype(np.int64))
    with pytest.raises(ValueError, match=r"expected fpr to be in \[0, 1\], got 5"):
        threshold_at_fpr(scores, 5)
    with pytest.raises(ValueError, match=r"expected fpr to be in \[0, 1\], got -0.5"):
        threshold_at_fpr(scores, -0.5)
    with pytest.raises(
        TypeError, match="expected values to be a 1-D array of bool, got a 1-D array of float64"
    ):
        proportion_interval(scores)
    with pytest.raises(TypeError, match="expected correct to be a 2-D array of bool, got a 1-D"):
        worst_case(flags)
    with pytest.raises(ValueError, match="at least one attack"):
        worst_case(np.ones((0, 3), dtype=bool))
    with pytest.raises(ValueError, match="free of NaN"):
        tpr(np.array([np.nan]), 0.0)


@pytest.mark.parametrize("values", [None, 2, 0.2])
@pytest.mark.parametrize("n", [1, 3, 100, 101])
def test_threshold_is_the_smallest_that_keeps_the_rate(n, values):
    scores, _ = draw(n, n, 1, values)
    for fpr in [*np.arange(101) / 100, 1 / 3, 0.0001]:
        threshold = threshold_at_fpr(scores, fpr)
        assert tpr(scores, threshold) <= fpr
        assert tpr(scores, np.nextafter(threshold, -np.inf)) > fpr or threshold == -np.inf


def test_threshold_keeps_exact_shares_and_all_tied_scores():
    scores = np.arange(100.0)
    for percent in range(100):
        assert tpr(scores, threshold_at_fpr(scores, percent / 100)) == percent / 100
    assert threshold_at_fpr(scores, 1) == -np.inf
    # 100 tied scores: nobody is rejected rather than everybody
    assert threshold_at_fpr(np.zeros(100), 0.05) == 0
    assert tpr(np.zeros(100), 0.0) == 0


def test_tpr_is_the_share_above():
    assert tpr(np.array([0, 1, 2, np.inf], dtype=np.float32), 1.0) == 0.5


@pytest.mark.parametrize("values", [None, 2])
@pytest.mark.parametrize("chunk", [1, 1000, 2**17])
def test_intervals_are_those_of_resampled_images(monkeypatch, values, chunk):
    """The plain functions on images that are really drawn again, in a loop, give the same numbers."""
    monkeypatch.setattr(metrics, "_CHUNK", chunk)
    clean, adversarial = draw(5, 40, 40, values)
    adversarial += clean
    positive = np.random.default_rng(6).random(40) < 0.4
    adversarial[~positive] = np.nan
    rng, drawn = np.random.default_rng(7), []
    for _ in range(60):
        images = rng.integers(1, 41, size=40) - 1
        scores = clean[images], adversarial[images][positive[images]]
        drawn.append((auroc(*scores), eer(*scores)))
    expected = np.percentile(drawn, [2.5, 97.5], axis=0)
    found = detection_intervals(clean, adversarial, positive, resamples=60, seed=7)
    np.testing.assert_allclose(found["auroc"], expected[:, 0], atol=1e-12)
    np.testing.assert_allclose(found["eer"], expected[:, 1], atol=1e-12)


def test_weights_are_multinomial():
    weights = metrics._resample(np.random.default_rng(0), 4000, 5)
    assert (weights[:, 0] == 0).all()
    assert (weights.sum(1) == 5).all()
    np.testing.assert_allclose(weights[:, 1:].mean(0), 1, atol=0.06)
    np.testing.assert_allclose(np.cov(weights[:, 1:].T), np.eye(5) - 0.2, atol=0.06)


def test_a_resample_without_positives_is_left_out():
    clean, positive = np.arange(6.0), np.arange(6) == 0
    # one positive, whose clean score is below: with it, AUROC stays off 0
    found = detection_intervals(clean, clean + 2.5, positive)
    assert 0 < found["auroc"][0] < 0.5 < found["auroc"][1] <= 1
    assert found == detection_intervals(clean, clean + 2.5, positive, seed=0)
    assert found != detection_intervals(clean, clean + 2.5, positive, seed=1)


@pytest.mark.parametrize("seed", range(5))
def test_intervals_contain_the_estimate_and_narrow_with_n(seed):
    widths = []
    for n in (100, 1600):
        clean, adversarial = draw(seed, n, n)
        positive = np.random.default_rng(seed).random(n) < 0.7
        found = detection_intervals(clean, adversarial, positive)
        point = {"auroc": auroc(clean, adversarial[positive]), "eer": eer(clean, adversarial[positive])}
        assert all(found[key][0] < point[key] < found[key][1] for key in point)
        widths.append(np.diff([found["auroc"], found["eer"]]).ravel())
    np.testing.assert_allclose(widths[0] / widths[1], 4, rtol=0.35)


def test_five_hundred_resamples_are_drawn_from_the_first_seed():
    clean, adversarial = draw(4, 60, 60)
    every = np.ones(60, dtype=bool)
    expected = detection_intervals(clean, adversarial, every, resamples=500, seed=0)
    assert detection_intervals(clean, adversarial, every) == expected


def test_dependence_within_an_image_narrows_the_interval():
    """Resampling clean and adversarial scores apart would not see that they rise together."""
    clean = np.random.default_rng(8).normal(size=400)
    together, positive = clean + 0.5, np.ones(400, dtype=bool)
    apart = np.random.default_rng(9).permutation(together)
    narrow, wide = (
        np.diff(detection_intervals(clean, part, positive)["auroc"])[0] for part in (together, apart)
    )
    assert narrow < wide / 3


def test_intervals_cover_the_truth():
    truth, hits = (
        {"auroc": NormalDist().cdf(1 / 2**0.5), "eer": NormalDist().cdf(-0.5)},
        {"auroc": 0, "eer": 0},
    )
    for seed in range(300):
        rng = np.random.default_rng(seed)
        found = detection_intervals(
            rng.normal(0, 1, 100), rng.normal(1, 1, 100), np.ones(100, dtype=bool), resamples=200, seed=seed
        )
        for key in hits:
            hits[key] += found[key][0] <= truth[key] <= found[key][1]
    # 95 % of 300 is 285, with a standard deviation of 4; the bootstrap itself is a little short of 95 % at
    # this size.
    assert all(268 <= hit <= 298 for hit in hits.values()), hits


def test_memory_does_not_grow_with_the_resamples():
    clean, adversarial = draw(0, 10_000, 10_000)
    tracemalloc.start()
    detection_intervals(clean, adversarial, np.ones(10_000, dtype=bool), resamples=30)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6  # in one piece, 30 resamples of these sizes take 30 MB, and 500 take 500


@pytest.mark.parametrize("right", [0, 1, 100, 199, 200])
def test_proportion_interval_is_wilsons(right):
    oracle = stats.binomtest(right, 200).proportion_ci(method="wilson")
    assert proportion_interval(np.arange(200) < right) == pytest.approx((oracle.low, oracle.high))


def test_proportion_interval_of_agreeing_images_has_a_width():
    assert proportion_interval(np.zeros(1000, dtype=bool)) == pytest.approx(
        (0, 1.959964**2 / (1000 + 1.959964**2))
    )


def test_worst_case_is_per_image():
    correct = np.array([[True, True, False, True], [True, False, True, True]])
    np.testing.assert_array_equal(worst_case(correct), [True, False, False, True])
    assert worst_case(correct).dtype == bool
    assert worst_case(np.ones((2, 0), dtype=bool)).shape == (0,)
