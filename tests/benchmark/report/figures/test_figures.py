"""Figures: what is drawn is what was measured, with names and units, and the same bytes each time."""

import re

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from gmbench.benchmark.analysis.attack_series import (
    AttackSeries,
    middle_eps,
    series_of,
    verification_detectors,
)
from gmbench.benchmark.analysis.eer_table import eer_table
from gmbench.benchmark.analysis.leaderboard import leaderboard
from gmbench.benchmark.analysis.metrics import eer
from gmbench.benchmark.analysis.model_samples import models_of
from gmbench.benchmark.report.figures.eps import accuracy_by_attack_figure, accuracy_figure, eer_figure
from gmbench.benchmark.report.figures.heatmap import heatmap_figure
from gmbench.benchmark.report.figures.histogram import histogram_figure
from gmbench.benchmark.report.figures.roc import roc_figure
from gmbench.benchmark.report.figures.style import save
from gmbench.benchmark.report.looks import families, line_of

from .drawn import ZOO, named, texts, titled

FGSM = ("fgsm", "Linf", (0.1, 0.3), "white-box", "oblivious", 0.9, 0.8)  # run on four images of five
FGSM_SERIES = AttackSeries("fgsm", "fgsm", "Linf", "white-box", "oblivious")
PGD = ("likelihood-fgsm", "Linf", (0.1,), "white-box", "adaptive", 1.0, 1.0)
CW = ("cw", "L2", (np.inf,), "white-box", "oblivious", 1.0, 1.0)
PAPER = {"lgm": "likelihood", "center": "likelihood", "softmax": "msp"}
NO_CHECKS = pd.DataFrame(columns=["model", "check", "state", "p", "detail", "advice"])


@pytest.fixture(scope="module")
def samples(make_samples):
    return make_samples(
        seeds=(0, 1), images=100, validation=50, attacks=(FGSM, PGD, CW), detectors=("likelihood", "msp")
    )


@pytest.fixture(scope="module")
def models(samples):
    return models_of(samples)


@pytest.fixture(scope="module")
def eers(samples):
    return eer_table(samples, resamples=10)


def test_roc_marks_the_eer_of_every_model(samples, models):
    figure = roc_figure(models, FGSM_SERIES, PAPER)
    tests = samples[samples["split"] == "test"]
    for population in ("all", "successful"):
        axes = titled(figure, f"ε = 0.3\n{population}")
        for model, rows in tests.groupby("model", observed=True):
            score = f"score_{PAPER[rows['loss'].iloc[0]]}"
            attacked = rows[(rows["label"] == "fgsm") & (rows["eps"] == 0.3)]
            clean = rows[(rows["label"] == "clean") & rows["id"].isin(attacked["id"])]
            assert len(clean) == 80
            positives = attacked if population == "all" else attacked[attacked["success"]]
            expected = 100 * eer(clean[score].to_numpy(), positives[score].to_numpy())
            ((x, y),) = named(axes, f"EER {model}").get_xydata()
            assert (x, y) == pytest.approx((expected, 100 - expected))


def test_roc_curves_run_from_corner_to_corner_through_their_eer(models):
    axes = titled(
        roc_figure(models, FGSM_SERIES, PAPER),
        "ε = 0.3\nall",
    )
    diagonal, *lines = axes.lines
    assert diagonal.get_xydata().tolist() == [[0, 100], [100, 0]]
    curves, points = lines[::2], lines[1::2]
    assert len(curves) == len(points) == 6
    for curve, point in zip(curves, points, strict=True):
        path = curve.get_xydata()
        assert path[[0, -1]].tolist() == [[0, 0], [100, 100]]
        assert len(path) <= 500
        # thinned to 160 points: the marker is off the drawn line by a hair at most
        assert np.interp(point.get_xdata()[0], path[:, 0], path[:, 1]) == pytest.approx(
            point.get_ydata()[0], abs=2
        )
        assert (np.diff(path, axis=0) >= 0).all()


def test_roc_names_axes_scores_and_mean_eers(models, eers):
    figure = roc_figure(models, FGSM_SERIES, PAPER)
    assert {axes.get_xlabel() for axes in figure.axes} == {"FPR, clean images (%)", ""}
    assert {axes.get_ylabel() for axes in figure.axes} == {"TPR (%)", ""}
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()][:4] == [
        "L-GM: likelihood",
        "center: likelihood",
        "softmax: msp",
        "FPR = FNR",
    ]
    own = eers[(eers["label"] == "fgsm") & (eers["eps"] == 0.3) & (eers["population"] == "successful")]
    means = [
        100 * own.loc[(own["loss"] == loss) & (own["detector"] == score), "eer"].mean()
        for loss, score in PAPER.items()
    ]
    shown = titled(figure, "ε = 0.3\nsuccessful").get_legend().get_texts()
    assert [text.get_text() for text in shown] == [f"{mean:.1f} %" for mean in means]


def test_roc_of_an_attack_without_eps_has_its_populations_beside_each_other(models):
    figure = roc_figure(models, AttackSeries("cw", "cw", "L2", "white-box", "oblivious"), PAPER)
    assert [axes.get_title() for axes in figure.axes] == [
        "smallest ε\nall adversarials",
        "smallest ε\nsuccessful adversarials",
    ]


def test_roc_of_few_successes_is_not_drawn(make_samples):
    weak = ("noise", "Linf", (0.001,), "decision", "oblivious", 0.1, 1.0)
    figure = roc_figure(
        models_of(make_samples(images=30, attacks=(weak,))),
        AttackSeries("noise", "noise", "Linf", "decision", "oblivious"),
        PAPER,
    )
    everyone, successful = figure.axes
    assert len(everyone.lines) == 1 + 2 * 9
    assert len(successful.lines) == 1
    assert texts(successful) == ["fewer than 10\nsucceeded"]


def test_roc_of_many_eps_shows_the_ends_and_some_between(make_samples):
    sizes = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3)
    many = make_samples(
        losses=("lgm",),
        seeds=(0,),
        images=20,
        attacks=(("fgsm", "Linf", sizes, "white-box", "oblivious", 1, 1),),
    )
    figure = roc_figure(models_of(many), FGSM_SERIES, PAPER)
    assert [axes.get_title().splitlines()[0] for axes in figure.axes[:4]] == [
        "ε = 0.05",
        "ε = 0.15",
        "ε = 0.2",
        "ε = 0.3",
    ]


@pytest.fixture(scope="module")
def crowd(make_samples):
    attacks = (("fgsm", "Linf", (0.1, 0.2, 0.3), "white-box", "oblivious", 1.0, 1.0), ("square", *CW[1:]))
    losses = ("lgm", "center", "softmax", "gm", "rce", "mmc", "pgd_at", "mine")
    return make_samples(
        losses=losses, seeds=(0,), images=40, validation=20, attacks=attacks, detectors=("likelihood", "msp")
    )


def colors(axes):
    return {to_hex(line.get_color()).upper() for line in axes.lines}


def test_many_losses_have_a_panel_for_each_family(crowd):
    models = models_of(crowd)
    detectors = verification_detectors(models)
    table = eer_table(crowd, resamples=2)
    series = FGSM_SERIES
    roc = roc_figure(models, series, detectors)
    assert roc.axes[0].get_gridspec().get_geometry() == (3, 4)
    assert [axes.get_title() for axes in roc.axes[:2]] == [
        "ε = 0.2\nall adversarials",
        "ε = 0.3\nall adversarials",
    ]
    assert [axes.get_ylabel() for axes in roc.axes[::4]] == [f"{title}\nTPR (%)" for title in families(ZOO)]
    eer_panels = eer_figure(table, detectors, "all").axes
    accuracies = accuracy_by_attack_figure(models).axes
    board = accuracy_figure(leaderboard(crowd, table, NO_CHECKS), detectors).axes
    # side by side they can be compared
    for first, second in ((eer_panels[0], eer_panels[1]), (accuracies[4], accuracies[5])):
        assert first.get_shared_x_axes().joined(first, second)
        assert first.get_shared_y_axes().joined(first, second)
    assert accuracies[3].get_title(loc="left") == "square (L2, white-box, oblivious)\nclass means"
    assert accuracies[4].get_title(loc="left") == "softmax"
    for place, part in enumerate(families(list(detectors)).values()):
        expected = {line_of(loss, list(detectors)).color for loss in part}
        assert {line.get_label() for line in eer_panels[place].lines if line.get_marker() != "None"} == set(
            part
        )
        assert {line.get_label() for line in accuracies[place].lines} == set(part)
        assert {line.get_label() for line in board[place].lines} == set(part)
        assert expected <= colors(roc.axes[4 * place])
        points = {
            line.get_label() for line in roc.axes[4 * place].lines if line.get_label().startswith("EER")
        }
        assert points == {f"EER mnist-{loss}-s0" for loss in part}


def test_heatmap_of_many_losses_has_a_block_per_attack(crowd):
    table = eer_table(crowd, resamples=2)
    figure = heatmap_figure(table, {"Linf": 0.2}, "all")
    axes = titled(figure, "fgsm, ε = 0.2")
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "L-GM",
        "center",
        "softmax",
        "GM",
        "RCE",
        "MMC",
        "PGD-AT",
        "mine",
    ]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["likelihood", "msp"]
    for attack, eps in (("fgsm", 0.2), ("square", np.inf)):
        rows = table[(table["label"] == attack) & (table["eps"] == eps) & (table["population"] == "all")]
        rates = rows.set_index(["loss", "detector"])["eer"]
        shown = {text.get_position(): text.get_text() for text in titled(figure, attack).texts}
        assert shown[0, 3] == f"{100 * rates['gm', 'likelihood']:.1f}"
        assert shown[1, 7] == f"{100 * rates['mine', 'msp']:.1f}"
        assert shown[0, 2] == "n/a"


def test_histogram_counts_every_image_with_unlikely_ones_left(samples, models):
    figure = histogram_figure(models, "lgm", PAPER)
    assert {axes.get_xlabel() for axes in figure.axes} == {"log-likelihood (nats)"}
    axes = titled(figure, "likelihood-fgsm, ε = 0.1")
    rows = samples[(samples["model"] == "mnist-lgm-s0") & (samples["label"] == "likelihood-fgsm")]
    assert f"{rows['success'].sum()} of 100 succeeded" in axes.get_title()
    for patch in axes.patches:  # each outlines the shares of one population, in per cent
        heights = patch.get_xy()[:, 1]
        assert heights.max() > 0
    clean, _, successful = (
        np.average(patch.get_xy()[:, 0], weights=patch.get_xy()[:, 1]) for patch in axes.patches
    )
    assert successful < clean - 0.5


def test_histogram_shares_add_up_to_a_hundred(models):
    axes = titled(histogram_figure(models, "softmax", PAPER), "cw, smallest ε")
    for patch in axes.patches:
        outline = patch.get_xy()
        steps = outline[:-1][np.diff(outline[:, 0]) > 0, 1]  # the height of each step to the right
        assert steps.sum() == pytest.approx(100)


def test_middle_eps_is_where_most_attacks_were_run(models):
    assert middle_eps(models) == {"Linf": 0.1}


def test_eer_figure_draws_means_ranges_and_the_paper(eers):
    figure = eer_figure(eers, PAPER, "successful")
    axes = titled(figure, "fgsm\nLinf, white-box, oblivious")
    own = eers[
        (eers["loss"] == "lgm")
        & (eers["detector"] == "likelihood")
        & (eers["population"] == "successful")
        & (eers["label"] == "fgsm")
    ]
    seeds = own.groupby("eps")["eer"]
    np.testing.assert_allclose(
        named(axes, "lgm").get_xydata(), np.column_stack([[0.1, 0.3], 100 * seeds.mean()])
    )
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((100 * own["eer"].min(), 100 * own["eer"].max()))
    assert axes.get_xlabel() == "ε (Linf, inputs in [0, 1])"
    assert axes.get_ylabel() == "EER (%)"
    levels = {
        to_hex(line.get_color()): line.get_ydata()[0]
        for line in axes.lines
        if len(set(line.get_ydata())) == 1
    }
    assert levels == pytest.approx({"#0072b2": 3.1, "#e69f00": 10.2, "#000000": 37.7})
    assert texts(titled(figure, "likelihood-fgsm")) == ["4.3"]
    assert "paper (eps not public)" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert not any("cw" in axes.get_title() for axes in figure.axes)


def test_eer_figure_of_one_seed_and_one_eps_draws_its_interval(make_samples):
    attack = ("pgd", "Linf", (0.2,), "white-box", "oblivious", 1.0, 1.0)
    table = eer_table(
        make_samples(losses=("lgm",), seeds=(0,), images=60, attacks=(attack,), detectors=("msp",)),
        resamples=20,
    )
    (axes,) = eer_figure(table, {"lgm": "msp"}, "all").axes
    row = table[table["population"] == "all"].iloc[0]
    assert named(axes, "lgm").get_ydata() == pytest.approx([100 * row["eer"]])
    (segment,) = axes.collections[-1].get_segments()
    assert segment[:, 1] == pytest.approx([100 * row["eer_low"], 100 * row["eer_high"]])
    assert row["eer_low"] < row["eer"] < row["eer_high"]


@pytest.mark.parametrize(
    ("sizes", "labels"), [((2 / 255, 8 / 255), ["0", "2", "8/255"]), ((0.1, 8 / 255), None)]
)
def test_eps_that_are_grey_levels_are_marked_as_such(make_samples, sizes, labels):
    attack = ("pgd", "Linf", sizes, "white-box", "oblivious", 1.0, 1.0)
    (axes,) = accuracy_by_attack_figure(
        models_of(make_samples(losses=("lgm",), seeds=(0,), attacks=(attack,)))
    ).axes
    found = [label.get_text() for label in axes.get_xticklabels()]
    assert found == labels if labels else not any("/" in label for label in found)


def test_robust_accuracy_starts_at_the_clean_accuracy(samples, eers):
    board = leaderboard(samples, eers, NO_CHECKS)
    figure = accuracy_figure(board, PAPER)
    rows = board[
        (board["loss"] == "lgm")
        & (board["detector"] == "likelihood")
        & (board["awareness"] == "oblivious")
        & (board["norm"] == "Linf")
    ]
    for statistic in ("robust_accuracy", "robust_accuracy_with_detection"):
        (axes,) = [
            axes
            for axes in figure.axes[1::2]
            if axes.get_subplotspec().rowspan.start == (statistic != "robust_accuracy")
        ]
        # what is wrong may be rejected
        expected = {0: rows["clean_accuracy"].mean()} if statistic == "robust_accuracy" else {}
        expected |= dict(rows.groupby("eps")[statistic].mean())
        np.testing.assert_allclose(
            named(axes, "lgm").get_xydata(), [[eps, 100 * share] for eps, share in expected.items()]
        )
    assert {axes.get_ylabel() for axes in figure.axes} == {
        "robust accuracy (%)",
        "robust accuracy\nwith detection (%)",
        "",
    }


def test_accuracy_by_attack_counts_images(samples, models):
    figure = accuracy_by_attack_figure(models)
    rows = samples[(samples["loss"] == "center") & (samples["label"] == "fgsm") & (samples["eps"] == 0.3)]
    right = (rows["clean_predicted"] == rows["y"]) & (rows["predicted"] == rows["y"])
    assert named(titled(figure, "fgsm\nLinf, white-box, oblivious"), "center").get_ydata()[
        -1
    ] == pytest.approx(100 * right.mean())


def test_accuracy_under_an_attack_for_the_smallest_eps_falls_with_eps(samples, models):
    curve = titled(accuracy_by_attack_figure(models), "cw").lines[0].get_xydata()
    rows = samples[(samples["model"] == models[0].name) & (samples["label"] == "cw")]
    right = rows["clean_predicted"] == rows["y"]
    for eps, accuracy in curve[[0, 50, -1]]:
        withstands = right & ~(rows["success"] & (rows["size"].astype(float) <= eps))
        assert accuracy == pytest.approx(100 * withstands.mean())
    assert (np.diff(curve[:, 1]) <= 0).all()


def test_heatmap_writes_every_eer(eers, models):
    figure = heatmap_figure(eers, middle_eps(models), "all")
    columns = series_of(eers)
    for loss, title in (("lgm", "L-GM"), ("softmax", "softmax")):
        own = eers[(eers["loss"] == loss) & (eers["population"] == "all") & (eers["eps"] != 0.3)]
        means = own.groupby(["label", "detector"])["eer"].mean()
        applies = set(own["detector"])

        def shown(label, detector, means=means, applies=applies):
            if (label, detector) in means:
                return f"{100 * means[label, detector]:.1f}"
            return "-" if detector in applies else "n/a"  # an attack that knows another one says nothing

        expected = [shown(series.label, detector) for series in columns for detector in ("likelihood", "msp")]
        assert texts(titled(figure, title)) == expected
    assert expected.count("n/a") == 3


def test_heatmap_tells_few_from_not_applicable(eers, models):
    axes = titled(heatmap_figure(eers.assign(adversarials=9), middle_eps(models)), "softmax")
    assert set(texts(axes)) == {"few", "n/a"}
    without = eers[(eers["loss"] != "softmax") | (eers["label"] != "cw")]
    axes = titled(heatmap_figure(without, middle_eps(models), "all"), "softmax")
    assert texts(axes)[:2] == ["n/a", "-"]


@pytest.mark.parametrize(
    ("loss", "detectors", "chosen"),
    [
        ("lgm", ("msp", "likelihood"), "likelihood"),
        ("center", ("msp", "likelihood"), "likelihood"),
        ("softmax", ("energy", "msp"), "msp"),
        ("mine", ("msp", "likelihood"), "likelihood"),
        ("mine", ("msp", "likelihood", "own"), "own"),
        ("mine", ("energy", "msp"), "msp"),
        ("mine", ("kde", "energy"), "kde"),
        ("lgm", ("energy",), "energy"),
    ],
)
def test_verification_detector(make_samples, loss, detectors, chosen):
    models = models_of(
        make_samples(losses=(loss,), seeds=(0,), images=2, validation=0, attacks=(), detectors=detectors)
    )
    assert verification_detectors(models) == {loss: chosen}


def test_save_writes_the_same_bytes_whatever_the_users_settings(tmp_path, eers):
    files = []
    for name, settings in (
        ("a-eps0.1", {}),
        ("b", {"font.size": 20, "svg.hashsalt": "other", "lines.linewidth": 5}),
    ):
        with mpl.rc_context(settings):
            assert save(eer_figure(eers, PAPER, "all"), tmp_path / name) == tmp_path / f"{name}.png"
        files.append([(tmp_path / f"{name}{suffix}").read_bytes() for suffix in (".png", ".svg")])
    assert files[0] == files[1]
    assert all(len(file) < 200_000 for file in files[0])
    svg = files[0][1].decode()
    assert "<dc:date>" not in svg
    places = re.findall(r' (?:d|x|y)="([^"]+)"', svg)
    assert len(places) > 100
    assert not any(re.search(r"\.\d{3}", place) for place in places)  # a hundredth of a point
    assert "EER (%)" in svg
    with Image.open(tmp_path / "a-eps0.1.png") as image:
        assert image.width > 500
        colours = {f"#{r:02x}{g:02x}{b:02x}" for _, (r, g, b) in image.convert("RGB").getcolors()}
    assert {"#ffffff", "#000000"} <= colours
    assert len(colours) > 20
