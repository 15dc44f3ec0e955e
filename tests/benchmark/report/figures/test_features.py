"""The feature space in pictures.

two-dimensional features, class means, and the spread of the softmax values against robustness.
"""

import itertools
import re

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.markers import MarkerStyle
from scipy import stats

from gmbench.attacks import ThreatModel
from gmbench.benchmark.analysis.features.space import Landscape, Plane, window
from gmbench.benchmark.analysis.features.spread import (
    Robustness,
    rank_correlation,
    shared_robustness,
    spearman,
    spread_correlation,
)
from gmbench.benchmark.analysis.features.symmetry import simplex_angle, symmetry
from gmbench.benchmark.analysis.model_samples import models_of
from gmbench.benchmark.report.figures.features import COLORS, features_figure
from gmbench.benchmark.report.figures.means import means_figure
from gmbench.benchmark.report.figures.spread import spread_figure
from gmbench.benchmark.report.figures.style import save

LOSSES = (
    "lgm",
    "center",
    "softmax",
    "dr_softmax",
    "gccs",
    "gm",
    "l_softmax",
    "lgm_at",
    "mcat",
    "mmc",
    "mmlda",
    "pgd_at",
    "rce",
    "trades",
)


LANDSCAPE = Landscape(np.linspace(-9, 0, 16).reshape(4, 4), (-2, 12, -4, 10), "likelihood", -5.0)


def make_plane(title="L-GM, alpha = 1", n=60, **options):
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    means = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 5.0]])
    features = means[labels] + rng.normal(0, 0.1, (n, 2))
    plane = {
        "title": title,
        "features": features,
        "labels": labels,
        "means": means,
        "attack": "fgsm, ε = 0.1",
    }
    plane |= {
        "landscape": LANDSCAPE,
        "adversarial": np.array([[5.0, 1], [6, 2], [7, 3]]),
        "adversarial_labels": np.array([0, 1, 2]),
    }
    return Plane(**plane | {"predicted": np.array([1, 1, 0])} | options)


def points(axes, label):
    (found,) = [collection for collection in axes.collections if collection.get_label() == label]
    return found.get_offsets(), [to_hex(color).upper() for color in found.get_facecolors()]


def test_a_panel_shows_every_training_image_and_what_fooled_the_model():
    plane = make_plane()
    axes = features_figure([plane]).axes[0]
    drawn, colors = points(axes, "training images")
    np.testing.assert_allclose(drawn, plane.features)
    assert colors == [COLORS[label] for label in plane.labels]
    fooled, colors = points(axes, "fooled")
    np.testing.assert_allclose(fooled, plane.adversarial[[0, 2]])  # the second one is classified rightly
    assert colors == [COLORS[0], COLORS[2]]  # true classes
    assert axes.get_title() == "L-GM, alpha = 1\nfgsm, ε = 0.1: 2 of 3 fooled it"
    assert {text.get_text(): text.get_position() for text in axes.texts} == {
        str(k): tuple(mean) for k, mean in enumerate(plane.means)
    }
    assert axes.get_aspect() == 1


def test_the_landscape_lies_where_it_was_computed_and_says_what_it_is():
    figure = features_figure(
        [make_plane(), make_plane(landscape=Landscape(np.full((2, 2), 0.5), (-1, 1, -1, 1), "softmax", 0.1))]
    )
    shown = figure.axes[0].images[0]
    assert shown.get_extent() == [-2, 12, -4, 10]
    assert shown.origin == "lower"
    assert shown.get_clim() == (-5, 0)
    labels = [axes.get_xlabel() for panel in figure.axes for axes in panel.child_axes]
    assert labels == ["max log p(f | k), nats up to a constant", "max softmax probability"]
    assert figure.axes[0].get_xlim() == (-2, 12)


def test_a_plane_without_landscape_or_attack():
    nothing = {
        "adversarial": np.empty((0, 2)),
        "adversarial_labels": np.empty(0, int),
        "predicted": np.empty(0, int),
        "attack": "",
    }
    axes = features_figure([make_plane("softmax", landscape=None, **nothing)]).axes[0]
    assert axes.get_title() == "softmax"
    assert len(axes.images) == 0
    assert axes.get_xlim()[0] < 0 < 10 < axes.get_xlim()[1]


def test_a_panel_per_model_and_few_points_of_many(tmp_path):
    figure = features_figure([make_plane(str(k), n=12_000) for k in range(3)])
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title().splitlines()[0] for axes in panels] == ["0", "1", "2"]
    drawn, _ = points(panels[0], "training images")
    assert len(drawn) == 5000
    files = []
    for name in ("a", "b"):
        png = save(features_figure([make_plane(n=12_000)]), tmp_path / name)
        files.append((png.read_bytes(), png.with_suffix(".svg").read_bytes()))
    assert files[0] == files[1]
    assert len(files[0][1]) < 200_000  # the points are pixels


def test_class_colours_differ():
    assert len(set(COLORS)) == 10
    assert all(re.fullmatch(r"#[0-9A-F]{6}", color) for color in COLORS)


def test_window_is_the_smallest_square_and_a_margin():
    assert window(np.array([[0.0, 0.0], [10.0, 2.0]]), np.array([[5.0, -2.0]])) == pytest.approx(
        (-0.5, 10.5, -5.5, 5.5)
    )
    left, right, bottom, top = window(np.array([[1.0, 1.0]]))
    assert left < right
    assert bottom < top


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("features", np.zeros((60, 3))),
        ("labels", np.zeros(59, int)),
        ("predicted", np.zeros(2, int)),
        ("means", np.zeros(3)),
    ],
)
def test_planes_of_the_wrong_shape(field, value):
    with pytest.raises(ValueError, match=rf"expected {field} to"):
        make_plane(**{field: value})


@pytest.mark.parametrize(("classes", "degrees"), [(2, 180), (3, 120), (4, 109.4712206), (10, 96.3793701)])
def test_the_means_of_a_simplex_are_all_alike(classes, degrees):
    """Unit vectors are a simplex around their mean, sqrt(2) apart.

    Wherever it is moved and however it is turned.
    """
    turned, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(12, 12)))
    found = symmetry("m", "lgm", 3 * np.eye(classes, 12) @ turned + 7, within=1.5)
    assert simplex_angle(classes) == pytest.approx(degrees)
    np.testing.assert_allclose(found.angles, np.full(classes * (classes - 1) // 2, degrees), rtol=1e-6)
    np.testing.assert_allclose(
        found.ratios, np.full(classes * (classes - 1) // 2, 2 * np.sqrt(2)), rtol=1e-12
    )
    assert (found.dimensions, found.classes) == (12, classes)


def test_angles_and_distances_are_of_the_same_pairs():
    means = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0], [3.0, 5.0]])
    found = symmetry("m", "lgm", means, within=2.0)
    centred = means - means.mean(0)
    for place, (a, b) in enumerate(itertools.combinations(range(4), 2)):
        cosine = centred[a] @ centred[b] / np.linalg.norm(centred[a]) / np.linalg.norm(centred[b])
        assert found.angles[place] == pytest.approx(np.degrees(np.arccos(cosine)))
        assert found.ratios[place] == pytest.approx(np.linalg.norm(means[a] - means[b]) / 2)


def test_means_figure_has_a_tick_for_every_two_classes():
    rng = np.random.default_rng(0)
    models = [symmetry(f"{loss}-s0", loss, rng.normal(size=(10, 16)), 0.5) for loss in LOSSES[:5]]
    left, right = means_figure(models).axes
    assert [label.get_text() for label in left.get_yticklabels()] == [
        f"{model.name} (16-D)" for model in models
    ]
    for axes, statistic in ((left, "angles"), (right, "ratios")):
        rows = [line for line in axes.lines if line.get_marker() == "|"]
        assert len(rows) == 5
        for place, (row, model) in enumerate(zip(rows, models, strict=True)):
            np.testing.assert_allclose(row.get_xdata(), np.sort(getattr(model, statistic)))
            assert set(row.get_ydata()) == {place}
            assert axes.get_xlim()[0] < row.get_xdata().min() < row.get_xdata().max() < axes.get_xlim()[1]
    told = f"{models[0].angles.min():.0f} / {models[0].angles.mean():.0f} / {models[0].angles.max():.0f}"
    assert told in [text.get_text() for text in left.texts]
    (guide,) = [line for line in left.lines if line.get_linestyle() == "--"]
    assert guide.get_xdata() == pytest.approx([96.3793701] * 2)


def test_means_figure_has_room_for_long_names():
    figure = means_figure([symmetry("cifar10-jpeg-" + 5 * "WW-softmax", "softmax", np.eye(3), 1.0)])
    figure.draw_without_rendering()
    (name,) = figure.axes[0].get_yticklabels()
    assert name.get_window_extent().x0 >= 0


def test_means_figure_of_odd_models(tmp_path):
    """One that has collapsed, one whose classes have no width, one of two classes with hundreds of others."""
    many = symmetry("many", "gm", np.random.default_rng(0).normal(size=(40, 8)), 0.5)
    models = [
        symmetry("collapsed", "lgm", np.zeros((40, 8)), 0.5),
        symmetry("thin", "mmc", np.eye(40, 64), 0.0),
        many,
    ]
    left, right = means_figure(models).axes
    assert [text.get_text() for text in left.texts].count("not finite") == 1
    assert [text.get_text() for text in right.texts].count("not finite") == 1
    ticks = [line for line in left.lines if line.get_marker() == "|"][-1].get_xdata()
    assert len(ticks) == 200  # of 780 pairs
    assert (ticks[0], ticks[-1]) == pytest.approx((many.angles.min(), many.angles.max()))
    save(means_figure([symmetry("two", "lgm", np.eye(2), 1.0)]), tmp_path / "two")


@pytest.mark.parametrize("ties", [False, True])
def test_rank_correlation_is_that_of_scipy(ties):
    rng = np.random.default_rng(3)
    x = rng.normal(size=12)
    y = np.round(x + rng.normal(size=12), 0 if ties else 6)
    assert float(spearman(x, y, np.ones(12))) == pytest.approx(stats.spearmanr(x, y).statistic)
    times = rng.integers(0, 4, (5, 12))
    oracle = [stats.spearmanr(np.repeat(x, some), np.repeat(y, some)).statistic for some in times]
    np.testing.assert_allclose(spearman(x, y, times), oracle)


def test_the_interval_of_the_rank_correlation_is_a_bootstrap_over_losses():
    """Ten losses, three trainings each that are nearly the same.

    As if thirty models were known, it would be far too narrow.
    """
    rng = np.random.default_rng(5)
    x, names = np.repeat(rng.normal(size=10), 3), [f"loss-{place // 3}" for place in range(30)]
    y = x + np.repeat(rng.normal(size=10), 3) + 0.01 * rng.normal(size=30)
    found = rank_correlation(x, y, names, resamples=4000, seed=1)
    drawn = []
    for losses in rng.integers(10, size=(600, 10)):
        places = np.concatenate([np.arange(3 * loss, 3 * loss + 3) for loss in losses])
        drawn.append(stats.spearmanr(x[places], y[places]).statistic)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), abs=0.08)
    as_models = rank_correlation(x, y, [str(place) for place in range(30)], resamples=4000)
    assert found.high - found.low > 1.3 * (as_models.high - as_models.low)
    assert (
        str(found) == f"Spearman's rank correlation {found.rho:.2f} [{found.low:.2f}, {found.high:.2f}], "
        "30 models of 10 losses"
    )


def test_of_five_losses_there_is_no_interval():
    five = rank_correlation(np.arange(15.0), np.arange(15.0), [f"loss-{place % 5}" for place in range(15)])
    assert np.isnan([five.low, five.high]).all()
    assert (
        str(five) == "Spearman's rank correlation 1.00, 15 models of 5 losses: too few losses for an interval"
    )
    assert rank_correlation(np.arange(6.0), np.arange(6.0), list("abcdef")).low == 1


def test_values_that_are_all_alike_have_no_rank_correlation():
    assert "no rank correlation" in str(
        rank_correlation(np.ones(6), np.arange(6.0), list("abcdef"), resamples=10)
    )


PGD = ("pgd", "Linf", (0.1, 0.3), "white-box", "oblivious", 1.0, 0.5)
FGSM = ("fgsm", "Linf", (0.1, 0.3), "white-box", "oblivious", 0.8, 1.0)
ADAPTIVE = ("likelihood-pgd", "Linf", (0.1,), "white-box", "adaptive", 9.0, 1.0)
TRANSFER = ("transfer-pgd", "Linf", (0.1,), "transfer", "oblivious", 1.2, 1.0)


def test_robustness_counts_only_attacks_that_all_models_met(make_samples):
    samples = make_samples(
        losses=LOSSES[:2],
        seeds=(0, 1),
        images=80,
        validation=5,
        attacks=(FGSM, PGD, ADAPTIVE, TRANSFER),
        detectors=("msp",),
    )
    costly = (samples["label"] == "pgd") & (samples["seed"] == 1)
    found = shared_robustness(models_of(samples[~costly & (samples["eps"] != 0.3)]))
    assert found.threat == ThreatModel("Linf", 0.1, "white-box")
    assert set(found.attacks) == {"fgsm", "transfer-pgd"}
    assert len(found.shares) == 4
    for name, (share, low, high) in found.shares.items():
        rows = samples[
            (samples["model"] == name) & (samples["split"] == "test") & samples["eps"].isin([0, 0.1])
        ]
        rows = rows[rows["label"].isin(["clean", "fgsm", "transfer-pgd"])]
        right = (rows["predicted"] == rows["y"]).groupby(rows["id"]).all()
        assert share == pytest.approx(right.mean())  # on all images: what pgd skipped is of no matter here
        assert low <= share <= high


def test_without_a_shared_white_box_attack_there_is_no_robustness(make_samples):
    samples = make_samples(
        losses=LOSSES[:2], seeds=(0,), images=20, validation=5, attacks=(FGSM, TRANSFER), detectors=("msp",)
    )
    models = models_of(samples[(samples["label"] != "fgsm") | (samples["loss"] == "lgm")])
    assert shared_robustness(models) is None
    assert shared_robustness([]) is None


def right_of_ten(by_hand, model, loss, counts):
    """Make a model that withstands so many of ten images at each eps, {eps: count}."""
    attacks = {
        ("pgd", "Linf", eps, "white-box", "oblivious"): {"predicted": [0] * count + [1] * (10 - count)}
        for eps, count in counts.items()
    }
    return by_hand({"predicted": [0] * 10}, attacks, model=model).assign(loss=loss)


def test_the_eps_is_that_at_which_the_models_differ_most(by_hand):
    counts = {
        "a": ("lgm", {0.1: 9, 0.2: 8, 0.3: 0, 0.4: 9}),
        "b": ("gm", {0.1: 8, 0.2: 3, 0.3: 0}),
        "c": ("pgd_at", {0.1: 9, 0.2: 5, 0.3: 10}),
    }
    frames = [right_of_ten(by_hand, name, *given) for name, given in counts.items()]
    found = shared_robustness(models_of(pd.concat(frames)))
    # at .3 only the adversarially trained one differs, at .4 not all were attacked
    assert found.threat.eps == 0.2
    assert {name: share for name, (share, _, _) in found.shares.items()} == {"a": 0.8, "b": 0.3, "c": 0.5}


def test_an_eps_that_fewer_attacks_met_is_not_chosen_however_far_the_models_are_apart(by_hand):
    def model(name, few, many):
        at = {("fgsm", 0.25): few, ("fgsm", 0.1): many, ("pgd", 0.1): many}
        attacks = {
            (attack, "Linf", eps, "white-box", "oblivious"): {"predicted": [0] * n + [1] * (10 - n)}
            for (attack, eps), n in at.items()
        }
        return by_hand({"predicted": [0] * 10}, attacks, model=name).assign(loss=name)

    found = shared_robustness(models_of(pd.concat([model("lgm", few=9, many=5), model("gm", few=0, many=4)])))
    assert (found.threat.eps, found.attacks) == (0.1, ("fgsm", "pgd"))


def test_shares_that_may_be_none_are_ties():
    threat = ThreatModel("Linf", 0.1, "white-box")
    robustness = Robustness(
        threat,
        ("pgd",),
        1000,
        {"none": (0.0, 0.0, 0.004), "one": (0.001, 0.0002, 0.006), "some": (0.02, 0.01, 0.03)},
    )
    assert [robustness.ranked(name) for name in ("none", "one", "some")] == [0, 0, 0.02]


def test_adversarially_trained_losses_are_drawn_hollow_and_do_not_count():
    losses = {f"loss-{place}": f"loss-{place}" for place in range(6)}
    spreads = {name: 10.0**-place for place, name in enumerate(losses)} | {"at": 1.0}
    shares = {name: (0.1 * (1 + place), 0.05, 1.0) for place, name in enumerate(losses)} | {
        "at": (0.95, 0.9, 1.0)
    }
    losses["at"] = "trades"
    robustness = Robustness(ThreatModel("Linf", 0.1, "white-box"), ("pgd",), 100, shares)
    found = spread_correlation(spreads, losses, robustness)
    assert (found.rho, found.models, found.losses) == (pytest.approx(-1), 6, 6)
    figure = spread_figure(spreads, losses, robustness)
    faces = {line.get_label(): line.get_markerfacecolor() for line in figure.axes[0].lines}
    assert [name for name, face in faces.items() if face == "white"] == ["at"]
    assert any("hollow: adversarially trained" in text.get_text() for text in figure.texts)


def make_spread(losses=LOSSES, spreads=None):
    rng = np.random.default_rng(0)
    names = [f"{loss}-s{seed}" for loss in losses for seed in range(2)]
    spreads = spreads or {name: float(10 ** rng.uniform(-8, -2)) for name in names}
    shares = {
        name: (share, share - 0.02, share + 0.02)
        for name, share in zip(names, rng.uniform(0.1, 0.9, len(names)), strict=True)
    }
    robustness = Robustness(ThreatModel("Linf", 0.1, "white-box"), ("fgsm", "pgd"), 1000, shares)
    return spreads, {name: name.rsplit("-", 1)[0] for name in names}, robustness


def test_spread_figure_places_every_model_and_prints_the_correlation(tmp_path):
    spreads, losses, robustness = make_spread()
    figure = spread_figure(spreads, losses, robustness)
    (axes,) = figure.axes
    placed = {line.get_label(): line.get_xydata()[0].tolist() for line in axes.lines}
    assert list(placed) == list(spreads)
    np.testing.assert_allclose(
        list(placed.values()), [(spreads[name], 100 * robustness.shares[name][0]) for name in spreads]
    )
    counted = [name for name in spreads if losses[name] not in ("pgd_at", "trades", "lgm_at", "mcat")]
    rho = stats.spearmanr(
        [spreads[name] for name in counted], [robustness.shares[name][0] for name in counted]
    ).statistic
    assert axes.get_title().startswith(f"Spearman's rank correlation {rho:.2f} [")
    assert axes.get_title().replace("\n", " ").endswith("20 models of 10 losses")
    (told,) = [text.get_text() for text in figure.texts]
    assert "Linf, ε = 0.1, white-box, oblivious, 1000 images" in told
    assert "worst case of fgsm, pgd" in told
    assert axes.get_xscale() == "log"
    save(figure, tmp_path / "spread")
    assert "mathdefault" not in (tmp_path / "spread.svg").read_text(encoding="utf-8")


def test_no_two_losses_look_alike():
    spreads, losses, robustness = make_spread((*LOSSES, "mine"))
    figure = spread_figure(spreads, losses, robustness)
    (legend,) = figure.legends
    *zoo, mine = (line.get_markersize() for line in legend.get_lines())
    assert mine > 1.5 * max(zoo)
    looks = {(line.get_color(), line.get_marker()) for line in legend.get_lines()}
    assert len({marker for _, marker in looks}) == len(LOSSES) + 1
    assert all(MarkerStyle(marker).is_filled() for _, marker in looks)
    assert [text.get_text() for text in legend.get_texts()][:3] == ["L-GM", "center", "softmax"]


def test_a_spread_that_underflowed_is_drawn_at_the_edge():
    spreads, losses, robustness = make_spread(
        ("lgm", "gm"), {"lgm-s0": 0.0, "lgm-s1": 2e-9, "gm-s0": 3e-9, "gm-s1": 4e-9}
    )
    axes = spread_figure(spreads, losses, robustness).axes[0]
    assert axes.lines[0].get_xdata()[0] == 1e-9
    assert axes.get_xlim()[0] < 1e-9
    assert axes.xaxis.get_major_formatter()(1e-9) == "≤ 1e-9"
    assert axes.xaxis.get_major_formatter()(1e-8) == "1e-8"
    assert [tick for tick in axes.xaxis.get_majorticklocs() if axes.get_xlim()[0] <= tick <= 1.5e-9] == [
        pytest.approx(1e-9)
    ]


def test_the_means_are_seen_from_their_centre_in_float32_too():
    found = symmetry("m", "lgm", torch.eye(10).numpy() + np.float32(1000), within=1.0)
    np.testing.assert_allclose(found.angles, simplex_angle(10), rtol=1e-3)
