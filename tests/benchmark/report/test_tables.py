"""Tables against frames of a few numbers that are easy to check by eye."""

import itertools

import numpy as np
import pandas as pd
import pytest

from gmbench.benchmark.analysis.attack_series import most_attacked
from gmbench.benchmark.analysis.claims.published import met_table, order_table, paper_table
from gmbench.benchmark.analysis.leaderboard import failed_checks, verdict_text
from gmbench.benchmark.analysis.over_trainings import OverTrainings
from gmbench.benchmark.analysis.wording import mean_range, number
from gmbench.benchmark.report.paper_section import paper_markdown
from gmbench.benchmark.report.tables import (
    eer_latex,
    eer_markdown,
    headline_markdown,
    leaderboard_markdown,
    markdown,
)

LOSSES = {"lgm": ("likelihood", "msp"), "center": ("likelihood", "msp"), "softmax": ("msp",)}
BOTH = ("all", "successful")


def make_eer(
    values, *, attack="fgsm", eps=(0.1,), losses=LOSSES, adversarials=100, norm="Linf", access="white-box"
):
    """Make an eer frame; ``values`` is {loss: {seed: [EER at each eps]}}, the same for every detector.

    "successful" adds .01 to "all".
    """
    rows = [
        {
            "model": f"m-{loss}-s{seed}",
            "loss": loss,
            "seed": seed,
            "attack": attack,
            "label": attack,
            "norm": norm,
            "eps": size,
            "access": access,
            "awareness": "oblivious",
            "detector": detector,
            "population": population,
            "images": 200,
            "adversarials": adversarials,
            "success_rate": 0.5,
            "eer": value + 0.01 * (population == "successful"),
            "eer_low": value + 0.01 * (population == "successful") - 0.005,
            "eer_high": value + 0.01 * (population == "successful") + 0.005,
        }
        for loss, seeds in values.items()
        for seed, curve in seeds.items()
        for size, value in zip(eps, curve, strict=True)
        for detector, population in itertools.product(losses[loss], BOTH)
    ]
    return pd.DataFrame(rows)


def rows_of(table):
    """Read a Markdown table back, a dict a row."""
    head, _, *lines = (
        [cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in table.strip().splitlines()
    )
    return [dict(zip(head, line, strict=True)) for line in lines]


def table_below(text, heading):
    """Read the first table under a heading."""
    lines = text.split(heading + "\n", 1)[1].splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("|"))
    return rows_of("\n".join(itertools.takewhile(lambda line: line.startswith("|"), lines[start:])))


PAPER = make_eer(
    {
        "lgm": {0: [0.01, 0.05, 0.09], 1: [0.03, 0.07, 0.11]},
        "center": {0: [0.2, 0.1, 0.04], 1: [0.2, 0.1, 0.06]},
        "softmax": {0: [0.3, 0.3, 0.3], 1: [0.4, 0.2, 0.3]},
    },
    eps=(0.1, 0.2, 0.3),
)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.031], "3.1"),
        ([0.02, 0.04, 0.03], "3.0 [2.0, 4.0]"),
        ([0.02, np.nan, 0.04], "3.0 [2.0, 4.0] (2 of 3 seeds)"),
        ([np.nan, 0.5], "50.0 (1 of 2 seeds)"),
        ([np.nan, np.nan], "few"),
        ([0.0], "0.0"),
        ([1.0], "100.0"),
    ],
)
def test_mean_and_range_over_seeds(values, text):
    assert mean_range(values) == text


def test_number_is_never_nan():
    assert number(0.0312) == "3.1"
    assert number(float("nan")) == "few"
    assert number(float("nan"), missing="n/a") == "n/a"
    assert number(1.5, scale=1, digits=3) == "1.500"


def test_markdown_keeps_bars_inside_a_cell():
    assert markdown([{"a|b": "c"}]) == "| a\\|b |\n| --- |\n| c |"


def test_eer_markdown_holds_every_mean_and_range():
    lines = table_below(eer_markdown(PAPER), "### ε = 0.2")
    assert [(line["loss"], line["adversarials"]) for line in lines] == list(
        itertools.product(("L-GM", "center", "softmax"), BOTH)
    )
    assert lines[0]["likelihood"] == "6.0 [5.0, 7.0]"
    assert lines[1]["likelihood"] == "7.0 [6.0, 8.0]"
    assert lines[4] == {
        "loss": "softmax",
        "adversarials": "all",
        "success (%)": "50.0 [50.0, 50.0]",
        "likelihood": "n/a",
        "msp": "25.0 [20.0, 30.0]",
    }


def test_eer_markdown_gives_the_reason_for_what_is_missing():
    few = make_eer({"lgm": {0: [0.3]}, "softmax": {0: [0.3]}}, adversarials=9)
    text = eer_markdown(few)
    assert "n/a: likelihood does not apply to softmax: the classifier states no likelihood." in text
    assert "few: fewer than 10 adversarials" in text
    assert table_below(text, "### ε = 0.1")[0]["likelihood"] == "few"
    assert "few" not in eer_markdown(few.assign(adversarials=10))


def test_tables_of_a_strange_detector_and_loss():
    odd = make_eer(
        {"my_loss": {0: [0.25]}, "lgm": {0: [0.5]}}, losses={"my_loss": ("my_score",), "lgm": ("msp",)}
    )
    assert "n/a: my_score does not apply to L-GM: it gives no score there." in eer_markdown(odd)
    assert r"my\_score" in eer_latex(odd)
    assert r"my\_loss" in eer_latex(odd)


def test_latex_is_balanced_and_escaped():
    odd = make_eer({"lgm": {0: [0.25]}}, attack="a_b&c%d#e{f}$g")
    tex = eer_latex(pd.concat([odd, PAPER]))
    body = "\n".join(line for line in tex.splitlines() if not line.startswith("%"))
    assert r"a\_b\&c\%d\#e\{f\}\$g" in body
    for environment in ("table", "tabular"):
        assert body.count(rf"\begin{{{environment}}}") == body.count(rf"\end{{{environment}}}") == 2
    for rule in ("toprule", "bottomrule"):
        assert body.count(f"\\{rule}") == 2
    rows = [line for line in body.splitlines() if line.endswith(r"\\")]
    # epsilon, loss, likelihood, msp: as many cells as the tabular has columns
    assert all(line.replace(r"\&", "").count("&") == 3 for line in rows)
    assert r"\begin{tabular}{llcc}" in body
    assert r"0.2 & L-GM & 6.0 / 7.0 & 6.0 / 7.0 \\" in rows
    assert r" & softmax & n/a & 25.0 / 26.0 \\" in rows


@pytest.mark.parametrize("table", [eer_markdown, eer_latex])
def test_no_table_says_nan(table):
    nothing = PAPER.assign(eer=np.nan, adversarials=0, success_rate=np.nan)
    assert "nan" not in table(nothing).lower()


def make_leaderboard():
    row = {
        "seed": 0,
        "norm": "Linf",
        "eps": 0.1,
        "access": "white-box",
        "awareness": "oblivious",
        "images": 100,
        "clean_accuracy": 0.99,
    }
    row |= {
        "attacks": "fgsm;pgd",
        "robust_accuracy": 0.2,
        "fpr_at_5": 0.04,
        "eer_all": 0.3,
        "eer_successful": np.nan,
        "worst_attack": "",
    }
    row |= {"mean_size": np.nan, "forwards": 10.0, "backwards": 9.5, "verdict": "sound"}
    rows = [
        {"model": "lgm-s0", "loss": "lgm", "detector": "likelihood", "robust_accuracy_with_detection": 0.3},
        {
            "model": "lgm-s1",
            "loss": "lgm",
            "detector": "likelihood",
            "robust_accuracy_with_detection": 0.5,
            "seed": 1,
            "verdict": "suspect: noise; zeros",
        },
        {"model": "lgm-s0", "loss": "lgm", "detector": "msp", "robust_accuracy_with_detection": np.nan},
        {"model": "softmax-s0", "loss": "softmax", "detector": "msp", "robust_accuracy_with_detection": 0.6},
    ]
    return pd.DataFrame([row | own for own in rows])


def test_leaderboard_puts_seeds_together_and_the_best_first():
    text = leaderboard_markdown(make_leaderboard())
    assert "Attacks: fgsm, pgd." in text
    lines = table_below(text, "## Linf, ε = 0.1, white-box, oblivious")
    assert [(line["loss"], line["detector"], line["seeds"]) for line in lines] == [
        ("softmax", "msp", "0"),
        ("L-GM", "likelihood", "0, 1"),
        ("L-GM", "msp", "0"),  # without validation images there is no threshold: last
    ]
    assert [line["robust accuracy with detection (%)"] for line in lines] == [
        "60.0",
        "40.0 [30.0, 50.0]",
        "n/a",
    ]
    assert lines[1]["verdict"] == "suspect: noise; zeros"
    assert lines[0]["verdict"] == "sound"
    assert lines[0]["EER, successful (%)"] == "few"
    assert lines[0]["backwards an image"] == "9.5"
    assert "nan" not in text.lower()


def test_seeds_that_met_other_attacks_are_no_mean():
    board = make_leaderboard()
    board.loc[board["model"] == "lgm-s1", "attacks"] = "fgsm"
    lines = table_below(leaderboard_markdown(board), "## Linf, ε = 0.1, white-box, oblivious")
    assert [(line["loss"], line["detector"], line["seeds"], line["attacks"]) for line in lines] == [
        ("softmax", "msp", "0", "2"),
        ("L-GM", "likelihood", "0", "2"),
        ("L-GM", "msp", "0", "2"),
        ("L-GM", "likelihood", "1", "1"),  # better, but it met less
    ]
    headline = rows_of(headline_markdown(board, {"lgm": "likelihood", "softmax": "msp"}))
    assert [(line["loss"], line["seeds"]) for line in headline] == [("softmax", "0"), ("L-GM", "0")]
    larger = board.assign(eps=0.2, attacks="fgsm")
    kept = most_attacked(pd.concat([board, larger]), across_eps=True)
    assert set(zip(kept["eps"], kept["attacks"], strict=True)) == {(0.1, "fgsm;pgd")}


def test_headline_keeps_a_loss_that_no_detector_applies_to():
    lines = rows_of(headline_markdown(make_leaderboard(), {"lgm": "likelihood"}))
    [line] = [line for line in lines if line["loss"] == "softmax"]
    assert line["robust accuracy with detection (%)"] == "n/a"


def test_headline_shows_one_detector_a_loss():
    lines = rows_of(headline_markdown(make_leaderboard(), {"lgm": "likelihood", "softmax": "msp"}))
    assert [(line["loss"], line["detector"]) for line in lines] == [
        ("softmax", "msp"),
        ("L-GM", "likelihood"),
    ]
    assert {(line["norm"], line["eps"], line["attacker"]) for line in lines} == {
        ("Linf", "0.1", "white-box, oblivious")
    }


def test_paper_table_puts_means_beside_the_published_numbers():
    table = paper_table(pd.concat([PAPER, make_eer({"lgm": {0: [0.08]}}, attack="likelihood-fgsm")]))
    row = table[
        (table["loss"] == "lgm")
        & (table["attack"] == "fgsm")
        & (table["population"] == "all")
        & (table["eps"] == 0.2)
    ].iloc[0]
    assert row["measured"] == pytest.approx(0.06)
    assert (row["seeds"], row["published"]) == (2, 0.031)
    assert dict(zip(table["loss"] + "/" + table["attack"], table["published"], strict=True)) == {
        "lgm/fgsm": 0.031,
        "center/fgsm": 0.102,
        "softmax/fgsm": 0.377,
        "lgm/likelihood-fgsm": 0.043,
    }


def test_paper_table_ignores_other_threats_and_detectors():
    other = make_eer({"lgm": {0: [0.5]}}, access="transfer")
    wide = make_eer({"lgm": {0: [0.5]}}, norm="L2")
    pd.testing.assert_frame_equal(paper_table(pd.concat([PAPER, other, wide])), paper_table(PAPER))
    assert paper_table(PAPER[PAPER["detector"] == "msp"])["loss"].unique() == ["softmax"]


def test_met_between_measured_eps():
    met = met_table(PAPER).set_index(["loss", "population"])
    # mean of L-GM: .02, .06, .10 at eps .1, .2, .3, so 3.1 % at .1 + .1 * .011 / .04
    assert met.loc[("lgm", "all"), "eps"] == pytest.approx([0.1275])
    assert met.loc[("lgm", "all"), "met"] == "at eps 0.128"
    # of center: .20, .10, .05; .102 lies just before eps .2
    assert met.loc[("center", "all"), "eps"] == pytest.approx([0.198])
    # of softmax: .35, .25, .30
    assert met.loc[("softmax", "all"), "eps"] == []
    assert met.loc[("softmax", "all"), "met"] == "below the paper's at every eps, nearest 35.0 % at eps 0.1"


def test_met_more_than_once_and_at_a_measured_eps():
    twice = make_eer({"lgm": {0: [0.02, 0.042, 0.02]}}, eps=(0.1, 0.2, 0.3))
    met = met_table(twice[twice["population"] == "all"])
    assert met["eps"].iloc[0] == pytest.approx([0.15, 0.25])
    assert met["met"].iloc[0] == "at eps 0.15, 0.25"
    exact = make_eer({"lgm": {0: [0.02, 0.031]}}, eps=(0.1, 0.2))
    assert met_table(exact)["eps"].iloc[0] == [0.2]
    above = make_eer({"lgm": {0: [0.3]}})
    assert met_table(above)["met"].iloc[0] == "above the paper's at every eps, nearest 30.0 % at eps 0.1"


def test_the_order_holds_or_not_per_eps():
    order = order_table(PAPER).set_index(["population", "eps"])["holds"]
    assert order.to_dict() == {
        (population, eps): eps < 0.25 for population in BOTH for eps in (0.1, 0.2, 0.3)
    }
    equal = make_eer({"lgm": {0: [0.1]}, "center": {0: [0.1]}, "softmax": {0: [0.2]}})
    assert not order_table(equal)["holds"].any()


def test_the_order_needs_all_three():
    assert order_table(PAPER[PAPER["loss"] != "center"]).empty


def test_paper_markdown_says_what_was_chosen_and_what_was_found():
    text = paper_markdown(PAPER)
    for choice in ("not public", "maximum softmax probability", "predicted class"):
        assert choice in text
    lines = table_below(text, "### The order of the means: L-GM < center < softmax")
    assert lines[0]["order"] == "holds"
    assert lines[2]["order"] == "does not hold: L-GM 10.0 is not below center 5.0"
    measured = table_below(text, "### fgsm")
    assert measured[1]["L-GM: likelihood under the predicted class"] == "2.0 [0.5, 3.5]"
    assert "likelihood-fgsm" not in text


def test_a_mean_beside_the_paper_is_of_all_seeds_or_none():
    lacking = PAPER.assign(
        adversarials=np.where((PAPER["model"] == "m-lgm-s1") & (PAPER["eps"] == 0.1), 3, 100)
    )
    table = paper_table(lacking)
    assert np.isnan(table[(table["loss"] == "lgm") & (table["eps"] == 0.1)]["measured"]).all()
    measured = table_below(paper_markdown(lacking), "### fgsm")
    assert measured[1]["L-GM: likelihood under the predicted class"] == "few"
    assert set(order_table(lacking)["eps"]) == {0.2, 0.3}


def test_a_share_is_the_mean_and_the_widest_interval():
    rows = pd.DataFrame({"a": [0.2, 0.4], "a_low": [0.1, 0.35], "a_high": [0.25, 0.5]})
    assert OverTrainings.of(rows, "a") == (pytest.approx(0.3), 0.1, 0.5)
    assert OverTrainings.of(rows, "a").text() == "30.0 [10.0, 50.0]"
    assert OverTrainings.of(rows.assign(a=[0.2, np.nan]), "a").text(missing="n/a") == "n/a"


def test_robust_accuracies_have_the_same_bracket_as_in_the_claims():
    board = make_leaderboard().assign(robust_accuracy=0.5, robust_accuracy_low=0.4, robust_accuracy_high=0.7)
    assert {
        line["robust accuracy (%)"] for line in rows_of(headline_markdown(board, {"lgm": "likelihood"}))
    } == {"50.0 [40.0, 70.0]"}


def test_failed_checks_are_named_once_behind_the_worst_verdict():
    rows = pd.DataFrame({"verdict": ["sound", "suspect: b; a", "broken: a", "unchecked"]})
    assert failed_checks(rows) == ["b", "a"]
    assert verdict_text(rows) == "broken: b; a"
    assert verdict_text(rows[:1]) == "sound"
    assert verdict_text(rows[[True, False, False, True]]) == "unchecked"


def test_paper_markdown_of_successes_that_are_few():
    text = paper_markdown(PAPER.assign(adversarials=np.where(PAPER["population"] == "all", 100, 3)))
    assert {line["adversarials"] for line in table_below(text, "### At which eps each number is met")} == {
        "all"
    }
    assert "nan" not in text.lower()


def test_paper_markdown_is_empty_where_nothing_of_it_was_measured():
    assert paper_markdown(make_eer({"lgm": {0: [0.1]}}, attack="pgd")) == ""


def test_latex_has_no_mean_of_those_seeds_alone_that_have_an_eer():
    seeds = make_eer({"lgm": {0: [0.1], 1: [0.3]}}, attack="pgd")
    assert "& 20.0 / 21.0 " in eer_latex(seeds)
    few = (seeds["seed"] == 1) & (seeds["population"] == "successful")
    assert "& 20.0 / few " in eer_latex(seeds.assign(adversarials=np.where(few, 3, 100)))


def test_an_attack_on_some_models_only_is_not_run_rather_than_not_applicable():
    alone = PAPER[(PAPER["loss"] == "lgm") & (PAPER["detector"] == "msp")].assign(attack="cw", label="cw")
    lines = table_below(eer_markdown(pd.concat([PAPER, alone])).split("## cw", 1)[1], "### ε = 0.2")
    assert [line["loss"] for line in lines] == ["L-GM", "L-GM"]
    assert lines[0]["likelihood"] == "not run"
    assert " & softmax" not in eer_latex(pd.concat([PAPER, alone])).split("cw", 1)[1]
