"""Every claim in at least two opposite outcomes, from numbers whose verdict is known by hand."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from gmbench.benchmark import publish
from gmbench.benchmark.claims import CLAIMS, claims_markdown
from gmbench.benchmark.evidence import Accuracy, Evidence, Verdict, more_accurate, more_robust
from gmbench.benchmark.features import ModelFeatures
from gmbench.benchmark.figure_means import Symmetry
from gmbench.benchmark.figure_spread import Robustness
from gmbench.benchmark.outcomes import Threat
from gmbench.models import read_card

HOLDS, FAILS, OPEN = "holds", "does not hold", "not decided"
FULL = "fgsm;pgd;square"
DETECTORS = {"lgm": "likelihood", "center": "likelihood", "softmax": "msp", "gm": "likelihood", "mcat": "own", "gccs": "own"}
BOARD = ["model", "loss", "seed", "norm", "eps", "access", "awareness", "detector", "images", "clean_accuracy", "attacks", "verdict"]


def claim(words):
    (found,) = [one for one in CLAIMS if words in one.claim]
    return found.judge


def robust(shares, *, access="white-box", awareness="oblivious", eps=(0.1,), half=0.02, **changed):
    """Make a leaderboard; ``shares`` is {loss: [one per eps]} or {loss: {seed: [...]}}, intervals reach ``half`` up and down."""
    rows = []
    for loss, given in shares.items():
        for seed, values in (given if isinstance(given, dict) else {0: given}).items():
            for size, value in zip(eps, values, strict=True):
                ends = {"": value, "_low": max(value - half, 0.0), "_high": min(value + half, 1.0)}
                told = [f"{loss}-s{seed}", loss, seed, "Linf", size, access, awareness, DETECTORS.get(loss, "msp"), 1000, 0.99, FULL, "ok"]
                row = dict(zip(BOARD, told, strict=True))
                row |= {f"{column}{end}": share for column in ("robust_accuracy", "joint_robust_accuracy") for end, share in ends.items()}
                rows.append(row | {"eer_all": 0.1, "eer_successful": 0.1} | changed)
    return pd.DataFrame(rows)


def eers(values, *, attack="fgsm", eps=(0.1,), half=0.005, adversarials=100):
    """Make an eer frame, {loss: {seed: [EER at each eps]}}, alike for both populations."""
    shared = {"attack": attack, "norm": "Linf", "access": "white-box", "adversarials": adversarials}
    shared["awareness"] = "adaptive" if attack == "likelihood-fgsm" else "oblivious"
    rows = [
        shared
        | {"model": f"{loss}-s{seed}", "loss": loss, "seed": seed, "eps": size, "detector": DETECTORS[loss], "population": population}
        | {"eer": value, "eer_low": value - half, "eer_high": value + half}
        for loss, seeds in values.items()
        for seed, curve in seeds.items()
        for size, value in zip(eps, curve, strict=True)
        for population in ("all", "successful")
    ]
    return pd.DataFrame(rows)


def card(loss, accuracy, *, seed=0, half=0.001, data="mnist", features=100, epochs=6, note=""):
    return Accuracy(f"{loss}-s{seed}", loss, data, features, epochs, accuracy, accuracy - half, accuracy + half, note)


def looked(loss, angles, *, spread=0.1, seed=0, dimensions=100):
    values = np.asarray(angles, dtype=float)
    name = f"{loss}-s{seed}"
    return ModelFeatures(name, loss, Symmetry(name, loss, dimensions, 3, values, np.ones(3)), spread, None)


EMPTY = Evidence(eers({"softmax": {0: [0.1]}}, attack="none"), robust({"softmax": [0.5]}), DETECTORS)


def judged(judge, **found):
    verdict = judge(replace(EMPTY, **found))
    return verdict.held if verdict else None


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
    order.loc[(order["population"] == "successful") & (order["loss"] == "lgm"), ["eer", "eer_low", "eer_high"]] += 0.2
    verdict = claim("L-GM < center")(replace(EMPTY, eer=order))
    assert verdict.held == OPEN
    assert "depends on the population" in verdict.measured


def test_an_eer_below_the_papers_everywhere_is_no_miss():
    verdict = claim("L-GM verifies")(replace(EMPTY, eer=eers({"lgm": {0: [0.02]}})))
    assert verdict.held == HOLDS
    assert "below the paper's at every eps" in verdict.measured


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
        ({0: [0.2, 0.03]}, {0: [0.4, 0.035]}, HOLDS),  # rises by .5 [0, 1] where FGSM has about 3.1 %; elsewhere it may rise
        ({0: [0.2, 0.03]}, {0: [0.2, 0.06]}, FAILS),
        ({0: [0.2, 0.03]}, {0: [0.2, 0.04]}, OPEN),  # 1 [.5, 1.5] holds 1.2
        ({0: [0.4, 0.2]}, {0: [0.4, 0.2]}, OPEN),  # costs nothing, but starts at 20 %
        ({0: [0.2, 0.03], 1: [0.2, 0.03]}, {0: [0.2, 0.035], 1: [0.2, 0.06]}, OPEN),  # the seeds disagree
        ({0: [0.2, 0.03], 1: [0.2, 0.03]}, {0: [0.2, 0.035]}, HOLDS),  # the seed that met both
    ],
)
def test_the_price_of_the_raised_likelihood(plain, raised, held):
    frames = [eers({"lgm": plain}, eps=(0.1, 0.3)), eers({"lgm": raised}, attack="likelihood-fgsm", eps=(0.1, 0.3))]
    assert judged(claim("raises the likelihood"), eer=pd.concat(frames, ignore_index=True)) == held
    assert judged(claim("raises the likelihood"), eer=frames[0]) is None


@pytest.mark.parametrize(
    ("accuracy", "epochs", "held"),
    [(0.9965, 6, OPEN), (0.9985, 6, HOLDS), (0.997, 6, HOLDS), (0.995, 6, OPEN), (0.995, 50, FAILS), (0.9965, 50, OPEN)],
)
def test_the_accuracy_of_gm_on_mnist(accuracy, epochs, held):
    judge = claim("99.70 % test accuracy on MNIST")
    assert judged(judge, accuracies=[card("gm", accuracy, epochs=epochs, half=0.0006)]) == held
    assert judged(judge, accuracies=[card("gm", accuracy, epochs=epochs, features=2)]) is None
    assert judged(judge, accuracies=[card("gm", accuracy, data="digits")]) is None
    assert judged(judge, accuracies=[card("lgm", accuracy)]) is None


def test_the_accuracy_of_gm_on_cifar10_says_what_it_was_trained_on():
    judge = claim("92.80 % test accuracy")
    found = {held: [card("gm", accuracy, data="cifar10-jpeg", features=64, epochs=epochs, note="Trained on JPEG copies.")]
             for held, accuracy, epochs in ((OPEN, 0.89, 30), (FAILS, 0.89, 300), (HOLDS, 0.93, 30))}  # fmt: skip
    assert {held: judged(judge, accuracies=one) for held, one in found.items()} == {held: held for held in found}
    measured = judge(replace(EMPTY, accuracies=found[OPEN])).measured
    assert "89.00 [88.90, 89.10] %" in measured
    assert "30 epochs (paper: 300)" in measured
    assert "JPEG copies" in measured


@pytest.mark.parametrize(
    ("loss", "words"), [("gm", "GM is more accurate"), ("gccs", "GCCS is at least"), ("dr_softmax", "DR-softmax costs no accuracy")]
)
def test_accuracies_are_compared_by_their_intervals(loss, words):
    judge = claim(words)
    assert judged(judge, accuracies=[card(loss, 0.997), card("softmax", 0.994)]) == HOLDS
    assert judged(judge, accuracies=[card(loss, 0.991), card("softmax", 0.994)]) == FAILS
    assert judged(judge, accuracies=[card(loss, 0.9945), card("softmax", 0.994)]) == OPEN
    assert judged(judge, accuracies=[card(loss, 0.997)]) is None
    # the mean of softmax is lower, one of its trainings is not
    several = [card(loss, 0.997), card("softmax", 0.99), card("softmax", 0.9965, seed=1)]
    assert judged(judge, accuracies=several) == OPEN
    # the intervals are apart, but by no more than two trainings of a third loss
    spread = [card("rce", 0.99), card("rce", 0.993, seed=1)]
    assert judged(judge, accuracies=[card(loss, 0.997), card("softmax", 0.994), *spread]) == OPEN
    assert judged(judge, accuracies=[card(loss, 0.991), card("softmax", 0.994), *spread]) == OPEN
    assert judged(judge, accuracies=[card(loss, 0.998), card("softmax", 0.994), *spread]) == HOLDS


def test_who_was_trained_for_longer_is_not_the_more_accurate_one_for_that():
    def found(gm, softmax):
        return more_accurate(replace(EMPTY, accuracies=[card("gm", gm, epochs=45), card("softmax", softmax, epochs=30)]), "gm", "softmax")

    assert found(0.88, 0.87) == Verdict(
        "GM 88.00 [87.90, 88.10] % (one training, 45 epochs), softmax 87.00 [86.90, 87.10] % (one training, 30 epochs):"
        " GM was trained for longer", OPEN)  # fmt: skip
    assert found(0.86, 0.87).held == FAILS  # for all its epochs
    assert "45 epochs" in found(0.8705, 0.87).measured
    alike = replace(EMPTY, accuracies=[card("gm", 0.997), card("softmax", 0.994)])
    assert "epochs" not in more_accurate(alike, "gm", "softmax").measured


def test_a_cost_that_is_not_decided_is_bounded():
    found = replace(EMPTY, accuracies=[card("gm", 0.995), card("softmax", 0.996)])
    assert "GM is at most 0.30 points lower" in more_accurate(found, "gm", "softmax").measured


@pytest.mark.parametrize(
    ("gm", "softmax", "held"),
    [
        (3 * [[119, 120, 121]], 3 * [[90, 120, 150]], HOLDS),
        (3 * [[90, 120, 150]], 3 * [[119, 120, 121]], FAILS),
        (3 * [[119, 120, 121]], 3 * [[119, 120, 121]], OPEN),
        (2 * [[119, 120, 121]] + [[80, 120, 150]], 3 * [[110, 120, 130]], OPEN),  # its trainings disagree
        (3 * [[119, 120, 121]], 2 * [[90, 120, 150]], OPEN),  # one order of ten: chance
        ([[119, 120, 121]], [[90, 120, 150]], OPEN),
        ([[119, 120, np.nan]], [[110, 120, 130]], None),
        ([[119, 120, 121]], [], None),
    ],
)
def test_the_symmetry_of_gm(gm, softmax, held):
    models = [looked("gm", angles, seed=seed) for seed, angles in enumerate(gm)]
    models += [looked("softmax", angles, seed=seed) for seed, angles in enumerate(softmax)]
    assert judged(claim("symmetric"), features=models) == held


def test_few_trainings_say_why_they_decide_no_symmetry():
    models = [looked("gm", [119, 120, 121]), looked("softmax", [90, 120, 150])]
    verdict = claim("symmetric")(replace(EMPTY, features=models))
    assert "chance alone puts all of one loss below all of the other once in 2" in verdict.measured


def test_two_classes_in_one_dimension_have_no_simplex_to_reach():
    flat = [looked("gm", [1, 2, 3], dimensions=1), looked("softmax", [1, 2, 9], dimensions=1)]
    assert judged(claim("symmetric"), features=flat) is None


COMPARED = {
    "MCAT": ("mcat", "gm", {"awareness": "adaptive"}),
    "GCCS is more robust than adversarial": ("gccs", "pgd_at", {}),
    "DR-softmax is more robust": ("dr_softmax", "softmax", {}),
    "Without adversarial training GCCS": ("gccs", "softmax", {}),
}


@pytest.mark.parametrize("words", COMPARED)
@pytest.mark.parametrize(
    ("mine", "theirs", "held"),
    [
        ([0.6, 0.3], [0.5, 0.2], HOLDS),
        ([0.6, 0.2], [0.5, 0.2], HOLDS),  # better at one eps, alike at the other
        ([0.6, 0.2], [0.5, 0.3], OPEN),  # better at one, worse at the other
        ([0.5, 0.2], [0.5, 0.3], FAILS),
        ([0.5, 0.2], [0.5, 0.2], OPEN),
        ([0.0, 0.0], [0.0, 0.0], OPEN),  # the trap: no robust image on either side
        ([0.01, 0.0], [0.015, 0.0], OPEN),
        ([0.98, 0.98], [0.985, 0.98], OPEN),  # the attack changed nothing
        ([0.6, 0.0], [0.0, 0.0], HOLDS),
    ],
)
def test_robustness_is_compared_where_it_can_be(words, mine, theirs, held):
    loss, other, threat = COMPARED[words]
    board = robust({loss: mine, other: theirs}, eps=(0.1, 0.2), **threat)
    if "Without" in words:
        board = pd.concat([board, robust({loss: mine, other: theirs}, eps=(0.1, 0.2), access="query")])
    assert judged(claim(words), leaderboard=board) == held
    assert judged(claim(words), leaderboard=board[board["loss"] == loss]) is None
    assert judged(claim(words), leaderboard=robust({loss: mine, other: theirs}, eps=(0.1, 0.2), **threat | {"access": "decision"})) is None


@pytest.mark.parametrize(
    ("pgd_at", "trades", "broken", "held"),
    [
        (0.2, 0.3, "", HOLDS),
        (0.2, 0.5, "", OPEN),
        (0.2, 0.8, "", FAILS),
        (0.8, 0.2, "", FAILS),
        (0.8, 0.8, "pgd_at", FAILS),  # the one that passed its checks is enough
        (0.2, 0.3, "pgd_at", OPEN),
    ],
)
def test_gccs_must_beat_each_kind_of_adversarial_training(pgd_at, trades, broken, held):
    board = robust({"gccs": [0.5], "pgd_at": [pgd_at], "trades": [trades]})
    board.loc[board["loss"] == broken, "verdict"] = "white-box-strongest"
    assert judged(claim("GCCS is more robust than adversarial"), leaderboard=board) == held


def test_eps_of_weak_attacks_decide_nothing():
    weak = robust({"dr_softmax": [0.9], "softmax": [0.1]}, eps=(0.15,), attacks="fgsm")
    full = robust({"dr_softmax": [0.0], "softmax": [0.0]})
    verdict = more_robust(replace(EMPTY, leaderboard=pd.concat([weak, full])), "dr_softmax", "softmax")
    assert verdict.held == OPEN
    assert "0.15" not in verdict.measured
    assert "both at the floor" in verdict.measured


def test_attacks_that_changed_nothing_tell_accuracies_apart_and_no_robustness():
    board = robust({"dr_softmax": [0.99], "softmax": [0.9]}, half=0.01)
    board["clean_accuracy"] = board["robust_accuracy"]
    verdict = more_robust(replace(EMPTY, leaderboard=board), "dr_softmax", "softmax")
    assert verdict.held == OPEN
    assert "both at the ceiling" in verdict.measured


def test_a_model_that_met_fewer_attacks_is_compared_with_those_that_met_the_same():
    board = robust({"gccs": [0.5], "softmax": {0: [0.2], 1: [0.8]}})
    board.loc[board["model"].isin(["gccs-s0", "softmax-s1"]), "attacks"] = "fgsm"
    verdict = more_robust(replace(EMPTY, leaderboard=board), "gccs", "softmax")
    assert verdict.held == FAILS  # 50 against the 80 of the training that met FGSM alone, not against 20
    assert "1 attack on 1000 images" in verdict.measured
    board.loc[board["model"] == "softmax-s1", "images"] = 200
    verdict = more_robust(replace(EMPTY, leaderboard=board), "gccs", "softmax")
    assert verdict.held == OPEN
    assert "not the same attacks and images" in verdict.measured


@pytest.mark.parametrize(("mine", "theirs"), [(0.6, 0.2), (0.2, 0.6)])
@pytest.mark.parametrize("of", ["gccs", "softmax"])
def test_a_failed_check_of_either_side_decides_nothing(mine, theirs, of):
    board = robust({"gccs": [mine], "softmax": [theirs]})
    board.loc[board["loss"] == of, "verdict"] = "zero-gradients"
    verdict = more_robust(replace(EMPTY, leaderboard=board), "gccs", "softmax")
    assert verdict.held == OPEN
    assert "failed checks: zero-gradients" in verdict.measured
    # what speaks of a detector touches no robust accuracy without it
    board.loc[board["loss"] == of, "verdict"] = "detector-sign:own"
    assert more_robust(replace(EMPTY, leaderboard=board), "gccs", "softmax").held == (HOLDS if mine > theirs else FAILS)


def test_joint_robustness_that_was_not_measured_is_no_verdict():
    board = robust({"mcat": [0.6], "gm": [0.2]}, awareness="adaptive")
    board.loc[board["loss"] == "gm", "joint_robust_accuracy"] = np.nan
    assert judged(claim("MCAT"), leaderboard=board) is None


@pytest.mark.parametrize(
    ("white", "query", "held"),
    [
        ((0.6, 0.3), (0.9, 0.8), HOLDS),
        ((0.6, 0.3), (0.8, 0.8), OPEN),  # no worse is not better
        ((0.6, 0.3), (0.0, 0.0), OPEN),  # nothing left of either
        ((0.6, 0.3), (0.5, 0.8), FAILS),
        ((0.3, 0.3), (0.9, 0.8), OPEN),
        ((0.2, 0.3), (0.9, 0.8), FAILS),
    ],
)
def test_every_attack_means_those_without_gradients_too(white, query, held):
    boards = [
        robust(dict(zip(("gccs", "softmax"), ([share] for share in pair), strict=True)), access=access)
        for access, pair in (("white-box", white), ("query", query))
    ]
    assert judged(claim("Without adversarial"), leaderboard=pd.concat(boards)) == held
    if held == HOLDS:
        apart = boards[1].assign(images=np.where(boards[1]["loss"] == "gccs", 200, 1000))
        for board in (boards[0], pd.concat([boards[0], apart])):  # nothing in common without gradients
            assert judged(claim("Without adversarial"), leaderboard=board) == OPEN


@pytest.mark.parametrize(
    ("shares", "epochs", "held", "told"),
    [
        ((0.6, 0.3), (45, 30), OPEN, "but GCCS was trained for longer"),
        ((0.3, 0.6), (45, 30), FAILS, "GCCS 30.0 [28.0, 32.0] (one training, 45 epochs)"),  # for all its epochs
        ((0.6, 0.3), (30, 45), HOLDS, "softmax 30.0 [28.0, 32.0] (one training, 45 epochs)"),
        ((0.3, 0.6), (30, 45), OPEN, "but softmax was trained for longer"),
        ((0.6, 0.3), (30, 30), HOLDS, "GCCS 60.0 [58.0, 62.0] (one training), "),
        ((0.6, 0.3), (30, None), HOLDS, "GCCS 60.0 [58.0, 62.0] (one training), "),  # of a defense without a card nobody knows
    ],
)
def test_who_was_trained_for_longer_is_not_the_more_robust_one_for_that(shares, epochs, held, told):
    losses = ("gccs", "softmax")
    cards = [card(loss, 0.99, epochs=count) for loss, count in zip(losses, epochs, strict=True) if count]
    board = robust({loss: [share] for loss, share in zip(losses, shares, strict=True)})
    verdict = more_robust(replace(EMPTY, leaderboard=board, accuracies=cards), *losses)
    assert verdict.held == held
    assert told in verdict.measured


def test_one_training_against_another_decides_no_more_than_trainings_of_one_loss_differ_by():
    """The counter-example: disjoint intervals over images, and seeds of a third loss that differ by as much."""
    alone = robust({"dr_softmax": [0.6], "softmax": [0.5]})
    verdict = more_robust(replace(EMPTY, leaderboard=alone), "dr_softmax", "softmax")
    assert verdict.held == HOLDS
    assert "one training of each" in verdict.measured
    for spread, held in ((0.2, OPEN), (0.05, HOLDS)):
        several = pd.concat([alone, robust({"gm": {0: [0.3], 1: [0.3 + spread]}})])
        verdict = more_robust(replace(EMPTY, leaderboard=several), "dr_softmax", "softmax")
        assert verdict.held == held
        assert f"trainings of one loss differ by up to {100 * spread:.1f}" in verdict.measured
        assert "DR-softmax 60.0 [58.0, 62.0] (one training)" in verdict.measured
        others = several.assign(attacks=np.where(several["model"] == "gm-s1", "fgsm", several["attacks"]))  # not the same attacks
        assert more_robust(replace(EMPTY, leaderboard=others), "dr_softmax", "softmax").held == HOLDS


def test_the_eps_are_those_of_the_two_losses():
    pair = robust({"dr_softmax": [0.6], "softmax": [0.5]}, eps=(0.2,), attacks="fgsm;pgd")
    other = robust({"gm": [0.3]})  # at another eps it met more
    verdict = more_robust(replace(EMPTY, leaderboard=pd.concat([pair, other])), "dr_softmax", "softmax")
    assert verdict.held == HOLDS
    assert "ε = 0.2" in verdict.measured


def test_what_is_left_with_a_detector_may_be_more_than_is_right_when_clean():
    board = robust({"mcat": [0.998], "gm": [0.99]}, awareness="adaptive", half=0.001)
    board["clean_accuracy"] = 0.985
    assert judged(claim("MCAT"), leaderboard=board) == HOLDS


def test_a_reconstruction_and_another_threshold_are_told():
    assert all("our reconstruction" in one.paper for one in CLAIMS if "GCCS" in one.claim)
    (mcat,) = [one for one in CLAIMS if "MCAT" in one.claim]
    assert "5 % FPR" in mcat.claim
    assert "1 %" in mcat.claim


def test_the_spread_must_fall_with_robustness_for_sure():
    spreads = np.arange(8) / 10
    models = [looked(f"loss{place}", [1, 2, 3], spread=spread) for place, spread in enumerate(spreads)]

    def found(shares):
        known = {model.name: (float(share), float(share) / 2, 1.0) for model, share in zip(models, shares, strict=False)}
        robustness = Robustness(Threat("Linf", 0.1, "white-box", "oblivious"), ("pgd",), 100, known)
        return judged(claim("The spread"), features=models, robustness=robustness)

    assert found(1 - spreads) == HOLDS
    assert found(spreads) == FAILS
    unsure = np.array([0.5, 0.1, 0.9, 0.3, 0.8, 0.2, 0.6, 0.4])
    assert found(unsure) == found(1 - unsure) == OPEN  # whatever its sign, 0 lies in the interval
    assert found(np.zeros(8)) == OPEN  # no robust image anywhere has no order
    assert found((1 - spreads)[:5]) is None  # too few losses
    models += [looked(loss, [1, 2, 3], spread=1 + place) for place, loss in enumerate(("trades", "pgd_at", "lgm_at", "mcat"))]
    assert found(np.append(1.1 - spreads, [2.0, 2.1, 2.2, 2.3])) == HOLDS  # the adversarially trained ones would spoil it
    models = [looked("gm", [1, 2, 3], spread=spread, seed=seed) for seed, spread in enumerate(spreads)]
    assert found(1 - spreads) is None  # eight models of one loss
    assert judged(claim("The spread"), features=models) is None


def test_accuracies_come_from_the_cards_of_the_suites_own_checkpoints():
    """Two checkpoints, one of them trained on other data, a user's file, and a defense that has taken a checkpoint's name."""
    names = ["mnist-gm-s0", "digits-lgm-s0", "mine.py", "mnist-lgm-s0"]
    entrants = [SimpleNamespace(name=name, loss=name) for name in ("mnist-gm-s0", "digits-lgm-s0", "mnist-softmax-s0", "other")]
    plan = SimpleNamespace(suite=SimpleNamespace(models=names, data="mnist"), entrants=entrants, data={"test": range(10_000)})
    (found,) = publish._accuracies(plan)
    about = read_card("mnist-gm-s0")
    assert (found.model, found.data, found.features, found.epochs) == (about.name, "mnist", about.recipe.features, about.epochs)
    assert found.accuracy == about.test_accuracy
    assert (found.low, found.high) == pytest.approx((about.measurements.accuracy_low, about.measurements.accuracy_high), abs=1e-5)


def test_the_table_has_the_claims_that_were_measured_and_no_others():
    assert claims_markdown(EMPTY) == ""
    board = robust({"dr_softmax": {0: [0.6], 1: [0.8]}, "softmax": [0.2]})
    text = claims_markdown(replace(EMPTY, leaderboard=board))
    (row,) = [line for line in text.splitlines() if line.startswith("| Wang")]
    assert row == (
        "| Wang et al. 2023 | DR-softmax is more robust than softmax | white-box, oblivious, 3 attacks on 1000 images;"
        " ε = 0.1: DR-softmax 70.0 [58.0, 82.0] (2 trainings), softmax 20.0 [18.0, 22.0] (one training): higher; trainings of one loss"
        " differ by up to 20.0 | **holds** |"
    )
    assert "nan" not in text.lower()
