"""The checks: each passes where all is well, catches the lie that it is there for.

And has not run where it cannot tell.
"""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from gmbench.benchmark.analysis.attack_strength import p_by_image, p_together
from gmbench.benchmark.analysis.checks import CHECKS, run_checks
from gmbench.benchmark.analysis.eer_table import eer_table
from gmbench.benchmark.analysis.leaderboard import leaderboard
from gmbench.benchmark.engine.failure import Failure
from gmbench.benchmark.engine.inspection.finding import Finding, State, table_of

N = 100


@pytest.fixture
def judge(by_hand):
    """Check one model from attacks alone.

    (attack, norm, eps, access, awareness) -> how many of its N images fall, or columns.
    """

    def judged(attacks, scores=None):
        cells = {
            cell: {**({"predicted": falling(fallen)} if isinstance(fallen, int) else fallen)}
            for cell, fallen in attacks.items()
        }
        samples = by_hand({"predicted": [0] * N, **(scores or {})}, cells)
        return run_checks(samples, eer_table(samples, resamples=50)).set_index("check")

    return judged


def falling(count, n=N):
    return [1] * count + [0] * (n - count)


def white(attack, eps, norm="Linf", awareness="oblivious"):
    return attack, norm, eps, "white-box", awareness


def noise(eps):
    return "uniform-noise", "Linf", eps, "decision", "oblivious"


def failed(checks):
    return checks[checks["state"].isin([State.FAILED, State.BROKEN])]


def passed(checks, name):
    return checks.loc[name, "state"] == State.PASSED


@pytest.mark.parametrize("seed", [0, 1])
def test_a_sound_evaluation_passes(make_samples, seed):
    samples = make_samples(seed=seed, images=100, seeds=(0,), detectors=("likelihood", "msp"))
    checks = run_checks(samples, eer_table(samples, resamples=100))
    assert list(checks.columns) == ["model", "check", "state", "p", "detail", "advice"]
    assert failed(checks).empty
    assert not checks.duplicated(["model", "check"]).any()
    told = checks[checks["state"] == State.PASSED].groupby("model")["check"].unique().map(set)
    # no huge eps, no second engine, no inspection
    cells = {"larger-eps", "white-box-strongest", "noise-weakest", "zero-gradients", "eight-bits"}
    cells |= {"inside", "above-chance"}
    scores = {"detector-sign", "detector-constant", "detector-rejects", "detector-fpr"}
    of = {name: {f"{check}:{name}" for check in scores} for name in ("likelihood", "msp")}
    assert told["mnist-lgm-s0"] == cells | of["likelihood"] | of["msp"]
    assert told["mnist-softmax-s0"] == cells | of["msp"]
    states = checks[checks["model"] == "mnist-softmax-s0"].set_index("check")["state"]
    assert {states[name] for name in ("huge-eps", "second-engine")} == {State.NOT_APPLICABLE}
    assert {states[name] for name in ("planted", "detector-grid:msp")} == {State.NOT_RUN}


def test_nothing_is_told_where_nothing_was_attacked(judge):
    checks = judge({})
    assert set(checks["state"]) == {State.NOT_RUN, State.NOT_APPLICABLE}


def test_five_failures_are_told_and_the_others_counted(by_hand):
    samples = by_hand({"predicted": [0] * N}, {})
    for count, more in ((5, ""), (6, "; and 1 more"), (8, "; and 3 more")):
        failures = [Failure("mine", f"attack {number}", "out of memory") for number in range(count)]
        detail = (
            run_checks(samples, eer_table(samples), failures).set_index("check").loc["completed", "detail"]
        )
        assert detail == "; ".join(f"attack {number}: out of memory" for number in range(5)) + more


def test_a_model_without_scores_is_not_judged_by_anothers(by_hand):
    cell = white("pgd", 0.1)
    scored_one = by_hand(
        {"predicted": [0] * N, **CLEAN_SCORES}, {cell: scored(30, 2)}, {"score_a": range(20)}, "scored"
    )
    without = by_hand({"predicted": [0] * N}, {cell: {"predicted": falling(30)}}, None, "without")
    samples = pd.concat([scored_one, without], ignore_index=True)
    checks = run_checks(samples, eer_table(samples, resamples=50))
    assert checks[checks["check"] == "detector-sign:a"]["model"].tolist() == ["scored"]
    assert not checks[checks["model"] == "without"]["check"].str.contains(":").any()


def test_every_check_says_what_it_means_and_who_asks_for_it():
    for name, check in CHECKS.items():
        assert check.meaning.endswith("."), name
        assert check.source, name
        assert check.advice, name
        assert ":" not in name, "a colon stands before the detector"


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (CHECKS["larger-eps"], "meaning"),
        (Finding(State.PASSED, "all is well"), "state"),
    ],
)
def test_what_was_found_is_not_changed_later(value, field):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)


def test_what_failed_is_a_failed_check(make_samples):
    samples = make_samples(losses=("lgm",), seeds=(0, 1), images=60, detectors=("msp", "energy"))
    eer = eer_table(samples, resamples=20)
    failures = [
        Failure("mnist-lgm-s1", "pgd-ce (Linf 0.3, white-box, oblivious)", "RuntimeError: out of memory"),
        Failure("mnist-lgm-s1", "detector own", "ValueError: expected scores to be numbers"),
        Failure(
            "mine", "clean (test)", "BrokenLogits: expected logits to be finite"
        ),  # it has no samples at all
    ]
    checks = run_checks(samples, eer, failures)
    found = failed(checks).set_index("model")
    assert found["check"].to_dict() == {"mnist-lgm-s1": "completed", "mine": "completed"}
    assert found.loc["mnist-lgm-s1", "detail"] == (
        "pgd-ce (Linf 0.3, white-box, oblivious): RuntimeError: out of memory; "
        "detector own: ValueError: expected scores to be numbers"
    )
    board = leaderboard(samples, eer, checks).groupby("model", observed=True)
    assert board["verdict"].unique().map(list).to_dict() == {
        "mnist-lgm-s0": ["unchecked"],  # it was not inspected
        "mnist-lgm-s1": ["suspect: completed"],
    }
    assert "completed" not in set(run_checks(samples, eer)["check"])


# What each check is silent on
# ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "attacks"),
    [
        ("larger-eps", {white("pgd", 0.1): 10}),
        ("larger-eps", {white("pgd", 0.1): 10, white("fgsm", 0.2): 0}),  # not the same attack
        ("larger-eps", {white("pgd", 0.1): 10, white("pgd", 0.2, "L2"): 0}),
        ("white-box-strongest", {white("pgd", 0.1): 10, ("square", "Linf", 0.2, "query", "oblivious"): 90}),
        ("white-box-strongest", {("square", "Linf", 0.2, "query", "oblivious"): 90}),
        ("noise-weakest", {white("pgd", 0.1): 10, noise(0.2): 90}),
        ("zero-gradients", {white("pgd", 0.1): 10}),
        ("huge-eps", {white("pgd", 0.3): 10}),
        ("huge-eps", {white("pgd", 0.5, "L2"): 10}),
        ("huge-eps", {white("cw", np.inf): 10}),
        ("huge-eps", {noise(0.5): 10, white("pgd", 0.1): 10}),
        ("second-engine", {white("pgd", 0.1): 10, white("torchattacks-fgsm", 0.1): 90}),
        ("second-engine", {white("pgd", 0.1): 10, white("torchattacks-pgd", 0.2): 90}),
        ("second-engine", {white("pgdlike", 0.1): 10, white("torchattacks-pgd", 0.1): 90}),
    ],
)
def test_silent_where_it_cannot_be_told(judge, name, attacks):
    assert judge(attacks).loc[name, "state"] in (State.NOT_RUN, State.NOT_APPLICABLE)


# What each check catches
# ----------------------------------------------------------------------------------------------------


def test_a_larger_eps_that_is_weaker_is_caught(judge):
    checks = judge({white("pgd", 0.1): 50, white("pgd", 0.2): 40, white("pgd", 0.3): 60})
    assert not passed(checks, "larger-eps")
    assert (
        checks.loc["larger-eps", "detail"]
        == "60.0% robust under Linf 0.2, white-box, oblivious, 50.0% under Linf 0.1"
    )
    assert passed(judge({white("pgd", 0.1): 50, white("pgd", 0.2): 50, white("pgd", 0.3): 60}), "larger-eps")
    # an attack that was not run at the eps between is compared, too
    assert not passed(
        judge({white("pgd", 0.1): 50, white("fgsm", 0.2): 50, white("pgd", 0.3): 40}), "larger-eps"
    )


def test_a_single_step_may_overshoot_where_the_worst_case_does_not(judge):
    assert passed(
        judge({white("fgsm", 0.1): 50, white("fgsm", 0.2): 10, white("pgd", 0.1): 60, white("pgd", 0.2): 70}),
        "larger-eps",
    )
    # Another attack that was run at the small eps alone does not make the large one weaker.
    assert passed(judge({white("cw", 0.1): 90, white("pgd", 0.1): 60, white("pgd", 0.2): 70}), "larger-eps")


def test_only_images_attacked_at_both_eps_are_compared(judge):
    some = {"id": range(50, 100), "predicted": falling(0, 50)}  # those that withstood the small eps, too
    assert passed(judge({white("pgd", 0.1): 50, white("pgd", 0.2): some}), "larger-eps")


def test_a_black_box_attack_that_is_stronger_is_caught(judge):
    square, transfer = (
        ("square", "Linf", 0.1, "query", "oblivious"),
        ("transfer-pgd", "Linf", 0.1, "transfer", "oblivious"),
    )
    checks = judge({white("pgd", 0.1): 20, square: 60, transfer: 10})
    assert not passed(checks, "white-box-strongest")
    assert (
        checks.loc["white-box-strongest", "detail"]
        == "40.0% of images withstand white-box attacks, Linf 0.1, and fall to square"
    )
    assert passed(judge({white("pgd", 0.1): 20, square: 20, transfer: 10}), "white-box-strongest")
    # White-box attacks count together, whether or not they know the detector.
    strong = {white("pgd", 0.1): 20, white("likelihood-pgd", 0.1, awareness="adaptive"): 60, square: 60}
    assert passed(judge(strong), "white-box-strongest")


def test_white_box_attacks_are_compared_image_by_image(judge):
    """Twenty images that only queries find are not made up for by others that they do not find."""
    square = ("square", "Linf", 0.1, "query", "oblivious")
    other = {"predicted": [0] * 20 + [1] * 20 + [0] * 60}
    assert not passed(judge({white("pgd", 0.1): 20, square: other}), "white-box-strongest")
    assert not passed(judge({white("pgd", 0.1): 20, noise(0.1): other}), "white-box-strongest")
    few = {"predicted": [0] * 20 + [1] * 4 + [0] * 76}
    assert passed(judge({white("pgd", 0.1): 20, square: few}), "white-box-strongest")


def test_noise_that_is_stronger_than_an_attack_is_caught(judge):
    checks = judge({white("pgd", 0.1): 30, white("fgsm", 0.1): 5, noise(0.1): 25})
    assert not passed(checks, "noise-weakest")
    assert (
        checks.loc["noise-weakest", "detail"]
        == "95.0% robust under fgsm, Linf 0.1, 75.0% under uniform-noise"
    )
    assert passed(judge({white("pgd", 0.1): 30, white("fgsm", 0.1): 15, noise(0.1): 15}), "noise-weakest")


def test_gradients_that_vanish_are_caught_by_name(judge):
    def gradients(zeros):
        return {"predicted": falling(10), "backwards": 25, "zeros": [zeros] * N}

    checks = judge(
        {
            white("pgd-ce", 0.1): gradients(1),
            white("pgd-ce", 0.2): gradients(22),
            white("pgd-margin", 0.1): gradients(0),
        }
    )
    assert not passed(checks, "zero-gradients")
    assert (
        checks.loc["zero-gradients", "detail"]
        == "pgd-ce: 88% of gradients are exactly 0: its robust accuracy means nothing"
    )
    assert not passed(judge({white("pgd-ce", 0.1): gradients(3)}), "zero-gradients")  # 12 per cent
    checks = judge({white("pgd-ce", 0.1): gradients(2)})
    assert passed(checks, "zero-gradients")
    assert checks.loc["zero-gradients", "detail"] == "at most 8.0% of gradients are exactly 0 (pgd-ce)"


def test_successes_lost_to_rounding_are_caught_unless_the_attack_seeks_the_boundary(judge):
    def rounded(lost):
        return {"predicted": falling(50), "success_8bit": [True] * (50 - lost) + [False] * (50 + lost)}

    checks = judge({white("pgd", 0.1): rounded(11)})  # of 100, where 5 may: p = .011
    assert not passed(checks, "eight-bits")
    assert (
        checks.loc["eight-bits", "detail"] == "11.0% of images lose their success to rounding (pgd, Linf 0.1)"
    )
    assert passed(judge({white("pgd", 0.1): rounded(10)}), "eight-bits")  # p = .028
    checks = judge({white("cw", np.inf, "L2"): rounded(40), white("pgd", 0.1): rounded(4)})
    assert passed(checks, "eight-bits")
    assert (
        "40.0% of images lose their success to rounding (cw, L2 minimal)"
        in checks.loc["eight-bits", "detail"]
    )


def test_a_huge_eps_that_leaves_images_is_caught(judge):
    checks = judge({white("pgd", 0.5): 99, white("pgd", 0.3): 99})
    assert not passed(checks, "huge-eps")
    assert checks.loc["huge-eps", "detail"] == "1.0% of images withstand the white-box attacks at Linf 0.5"
    rest = {"predicted": [0] * 99 + [1]}
    assert passed(judge({white("pgd", 0.5): 99, white("fgsm", 0.5): rest, noise(0.5): 0}), "huge-eps")


def test_a_second_engine_that_is_stronger_is_caught(judge):
    theirs = white("torchattacks-pgd", 0.1)
    checks = judge({white("pgd", 0.1): 40, theirs: 60})
    assert not passed(checks, "second-engine")
    assert (
        checks.loc["second-engine", "detail"]
        == "60.0% robust under pgd, Linf 0.1, 40.0% under torchattacks-pgd"
    )
    assert passed(judge({white("pgd", 0.1): 40, theirs: 40}), "second-engine")
    assert passed(
        judge({white("pgd-margin", 0.1): 60, white("pgd-ce", 0.1): 10, theirs: 60}), "second-engine"
    )


# The sign of a score
# ----------------------------------------------------------------------------------------------------


def test_a_detector_with_swapped_sign_is_caught_and_no_other(make_samples):
    samples = make_samples(losses=("softmax",), seeds=(0, 1), images=100, detectors=("msp", "energy"))
    samples["score_msp"] *= -1
    eer = eer_table(samples, resamples=100)
    checks = run_checks(samples, eer)
    assert failed(checks).set_index(["model", "check"]).index.tolist() == [
        ("mnist-softmax-s0", "detector-sign:msp"),
        ("mnist-softmax-s1", "detector-sign:msp"),
    ]
    detail = failed(checks)["detail"].iloc[0]
    assert detail.startswith(
        "score_msp ranks oblivious adversarials as less suspicious than clean images (AUROC 0."
    )
    assert detail.endswith("): wrong sign, or fooled; higher must mean more suspicious")
    board = leaderboard(samples, eer, checks).groupby("detector")
    assert board["verdict"].unique().map(list).to_dict() == {
        "energy": ["unchecked"],  # nothing was inspected
        "msp": ["suspect: detector-sign:msp"],
    }


def scored(fallen, shift, seed=0):
    return {"predicted": falling(fallen), "score_a": np.random.default_rng(seed).normal(shift, 1, N)}


CLEAN_SCORES = {"score_a": np.random.default_rng(9).normal(0, 1, N)}


def test_the_sign_is_judged_on_successes_where_there_are_any(judge):
    failures_below = scored(30, 2)
    failures_below["score_a"][30:] = -5  # the failures alone score low
    assert passed(judge({white("pgd", 0.1): failures_below}, CLEAN_SCORES), "detector-sign:a")
    failures_above = scored(30, -2)
    failures_above["score_a"][30:] = 5
    assert not passed(judge({white("pgd", 0.1): failures_above}, CLEAN_SCORES), "detector-sign:a")
    assert not passed(judge({white("pgd", 0.1): scored(0, -2)}, CLEAN_SCORES), "detector-sign:a")
    assert passed(judge({white("pgd", 0.1): scored(0, 2)}, CLEAN_SCORES), "detector-sign:a")


def test_the_sign_of_a_single_adversarial_is_judged_too(judge):
    """Of nine in ten attacks on a good defense no more than one image falls."""
    scores = {"predicted": falling(1), "score_a": [-9.0] + [0.0] * (N - 1)}
    checks = judge({white("pgd", 0.1): scores}, CLEAN_SCORES)
    assert not passed(checks, "detector-sign:a")
    assert "(AUROC 0.00)" in checks.loc["detector-sign:a", "detail"]


def test_chance_is_not_a_wrong_sign(judge):
    assert passed(judge({white("pgd", 0.1): scored(90, -0.05, seed=3)}, CLEAN_SCORES), "detector-sign:a")


def test_an_attacker_who_knows_the_detector_and_noise_may_look_clean(judge):
    fooled, seen = scored(90, -3), scored(50, 3)
    adaptive = white("likelihood-pgd", 0.1, awareness="adaptive")
    assert passed(
        judge({white("pgd", 0.1): seen, adaptive: fooled, noise(0.1): fooled}, CLEAN_SCORES),
        "detector-sign:a",
    )
    aware = judge({adaptive: fooled, noise(0.1): fooled}, CLEAN_SCORES)
    assert aware.loc["detector-sign:a", "state"] == State.NOT_RUN


def test_the_sign_goes_by_most_adversarials(judge):
    assert passed(
        judge({white("pgd", 0.1): scored(60, 3), white("fgsm", 0.1): scored(50, -3)}, CLEAN_SCORES),
        "detector-sign:a",
    )
    assert not passed(
        judge({white("pgd", 0.1): scored(50, 3), white("fgsm", 0.1): scored(60, -3)}, CLEAN_SCORES),
        "detector-sign:a",
    )


# What chance allows
# ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("won", "lost", "n", "p"),
    [
        (0, 0, 100, 1.0),
        (2, 0, 100, 1.0),  # 2 points are tolerated
        (5, 0, 100, 0.5**5),
        (12, 8, 100, 0.2517),  # 4 points, images go both ways
        (120, 80, 1000, 0.0028),  # the same 4 points in ten times as many images
        (25, 5, 1000, 1.0),  # beyond chance, but exactly 2 points
        (0, 50, 100, 1.0),
    ],
)
def test_more_images_are_left_together_than_chance_allows(won, lost, n, p):
    """McNemar's exact test: of the images that only one side leaves, either is as likely."""
    assert p_together(*sides(won, lost, n)) == pytest.approx(p, rel=0.02)


@pytest.mark.parametrize(
    ("won", "lost", "n", "p"),
    [(0, 0, 100, 1.0), (2, 0, 100, 0.5967), (7, 0, 100, 0.0041), (7, 40, 100, 0.0041), (30, 0, 1000, 0.0207)],
)
def test_more_images_are_left_one_by_one_than_the_tolerance(won, lost, n, p):
    """The binomial test at 2 %: what the other side finds beyond does not make up for it."""
    assert p_by_image(*sides(won, lost, n)) == pytest.approx(p, rel=0.02)


def sides(won, lost, n):
    left, reference = np.zeros(n, bool), np.zeros(n, bool)
    left[:won], reference[won : won + lost] = True, True
    return left, reference


# What the samples say of the images and of the scores
# ----------------------------------------------------------------------------------------------------


def test_a_perturbation_outside_its_ball_and_a_margin_that_is_no_number_show_the_number_wrong(judge):
    assert passed(judge({white("pgd", 0.1): 10}), "inside")
    for broken in ({"size": 0.101}, {"margin": [np.nan] + [0.0] * (N - 1)}):
        checks = judge({white("pgd", 0.1): {"predicted": falling(10), **broken}})
        assert checks.loc["inside", "state"] == State.BROKEN


@pytest.mark.parametrize(("right", "state"), [(60, State.BROKEN), (63, State.PASSED), (100, State.PASSED)])
def test_an_accuracy_at_chance_is_no_accuracy(by_hand, right, state):
    """Half the images are of either class; 62 of 100 right are 1 % improbable."""
    samples = by_hand({"predicted": [0] * N}, {white("pgd", 0.1): {"predicted": [0] * N}})
    samples["y"] = samples["id"] % 2
    samples["predicted"] = np.where(samples["id"] < right, samples["y"], 1 - samples["y"])
    checks = run_checks(samples, eer_table(samples, resamples=20)).set_index("check")
    assert checks.loc["above-chance", "state"] == state


def detected(by_hand, clean, held, attacked=None):
    cells = {
        white("pgd", 0.1): {"predicted": falling(30), "score_a": clean if attacked is None else attacked}
    }
    samples = by_hand({"predicted": [0] * N, "score_a": clean}, cells, {"score_a": held})
    return run_checks(samples, eer_table(samples, resamples=20)).set_index("check")


def test_a_constant_score_and_one_that_rejects_nothing_are_caught(by_hand):
    draw = np.random.default_rng(0)
    normal = draw.normal(0, 1, N)
    sound = detected(by_hand, normal, draw.normal(0, 1, 300), normal + 2)
    assert all(passed(sound, f"detector-{name}:a") for name in ("constant", "rejects", "fpr"))
    constant = detected(by_hand, np.zeros(N), np.zeros(300))
    assert not passed(constant, "detector-constant:a")
    assert not passed(constant, "detector-rejects:a")
    assert passed(constant, "detector-fpr:a")


@pytest.mark.parametrize(("shift", "holds"), [(0.0, True), (1.0, False)])
def test_a_threshold_that_does_not_carry_over_is_caught(by_hand, shift, holds):
    draw = np.random.default_rng(1)
    checks = detected(by_hand, draw.normal(shift, 1, N), draw.normal(0, 1, 1000))
    assert passed(checks, "detector-fpr:a") == holds


# What an inspection adds
# ----------------------------------------------------------------------------------------------------


def inspected(by_hand, *findings):
    samples = by_hand({"predicted": [0] * N}, CELLS)
    table = table_of(list(findings)).assign(model="mine")
    return run_checks(samples, eer_table(samples, resamples=20), (), table).set_index("check")


CELLS = {white("pgd", 0.1): {"predicted": [1] * 30 + [0] * 70}}


def test_what_a_stronger_attack_finds_shows_the_number_wrong(by_hand):
    def stronger(fooled, met=range(N)):
        one = Finding(State.PASSED, "", norm="Linf", eps=0.1, met=tuple(met), fooled=tuple(fooled))
        return inspected(by_hand, ("stronger-attack", one)).loc["stronger-attack"]

    assert stronger(range(30))["state"] == State.PASSED  # no more than the suite's
    assert stronger(range(20, 34))["state"] == State.PASSED
    found = stronger(range(40))
    assert found["state"] == State.BROKEN
    assert found["detail"] == "10 of 100 images withstand the suite's Linf 0.1 alone"
    assert found["advice"] == CHECKS["stronger-attack"].advice
    assert stronger(range(40), met=range(35))["detail"].startswith("5 of 35 images")
    assert stronger((), met=())["state"] == State.NOT_RUN


def test_findings_of_an_inspection_are_told_with_what_to_try(by_hand):
    checks = inspected(
        by_hand,
        ("planted", Finding(State.FAILED, "3 of 32")),
        ("gradient-mode", Finding(State.FAILED, "they differ")),
        ("finite-differences", Finding(State.NOT_APPLICABLE, "randomised")),
        ("leaked-answers", Finding(State.PASSED, "few", p=1e-6)),
        ("batch-split", Finding(State.NOT_RUN, "ValueError: no")),
    )
    found = checks["state"].to_dict()
    assert found["planted"] == State.FAILED
    assert found["gradient-mode"] == State.BROKEN, "it shows the number wrong"
    assert found["finite-differences"] == State.NOT_APPLICABLE
    assert found["leaked-answers"] == State.FAILED
    assert found["batch-split"] == found["caller"] == State.NOT_RUN
    assert checks.loc["planted", "advice"]
    assert not checks.loc["batch-split", "advice"]


def test_a_randomised_model_is_told_of_and_what_to_try(by_hand):
    table = table_of([("repeatable", Finding(State.FAILED, "logits differ"))]).assign(model="mine")
    samples = by_hand({"predicted": [0] * N}, {white("pgd", 0.1): {"predicted": falling(30)}})
    checks = run_checks(samples, eer_table(samples, resamples=20), (), table).set_index("check")
    assert checks.loc["repeatable", "state"] == State.FAILED
    assert "draws" in checks.loc["repeatable", "advice"]


def test_categories_and_strings_give_the_same_verdicts(make_samples):
    samples = make_samples(losses=("lgm",), seeds=(0,), images=60, detectors=("msp",))
    eer = eer_table(samples, resamples=50)
    plain = samples.astype(dict.fromkeys(samples.select_dtypes("category").columns, object))
    pd.testing.assert_frame_equal(run_checks(plain, eer), run_checks(samples, eer))
