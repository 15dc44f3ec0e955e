"""Every claim but those of L-GM in at least two opposite outcomes.

From numbers whose judgement is known by hand.
"""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from gmbench.attacks import ThreatModel
from gmbench.benchmark.analysis.claims.every import CLAIMS
from gmbench.benchmark.analysis.features.spread import Robustness
from gmbench.benchmark.report import publish
from gmbench.benchmark.report.claims_section import claims_markdown
from gmbench.models import read_card

from ...made_results import EMPTY, FAILS, HOLDS, OPEN, card, claim, judged, looked, robust


@pytest.mark.parametrize(
    ("accuracy", "epochs", "held"),
    [
        (0.9965, 6, OPEN),
        (0.9985, 6, HOLDS),
        (0.997, 6, HOLDS),
        (0.995, 6, OPEN),
        (0.995, 50, FAILS),
        (0.9965, 50, OPEN),
    ],
)
def test_the_accuracy_of_gm_on_mnist(accuracy, epochs, held):
    judge = claim("99.70 % test accuracy on MNIST")
    assert judged(judge, accuracies=[card("gm", accuracy, epochs=epochs, half=0.0006)]) == held
    assert judged(judge, accuracies=[card("gm", accuracy, epochs=epochs, features=2)]) is None
    assert judged(judge, accuracies=[card("gm", accuracy, data="digits")]) is None
    assert judged(judge, accuracies=[card("lgm", accuracy)]) is None


def test_the_accuracy_of_gm_on_cifar10_says_what_it_was_trained_on():
    judge = claim("92.80 % test accuracy")
    found = {
        held: [
            card(
                "gm",
                accuracy,
                data="cifar10-jpeg",
                features=64,
                epochs=epochs,
                note="Trained on JPEG copies.",
            )
        ]
        for held, accuracy, epochs in ((OPEN, 0.89, 30), (FAILS, 0.89, 300), (HOLDS, 0.93, 30))
    }
    assert {held: judged(judge, accuracies=one) for held, one in found.items()} == {
        held: held for held in found
    }
    measured = judge(replace(EMPTY, accuracies=found[OPEN])).measured
    assert "89.00 [88.90, 89.10] %" in measured
    assert "30 epochs (paper: 300)" in measured
    assert "JPEG copies" in measured


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ("gm", "GM is more accurate"),
        ("gccs", "GCCS is at least"),
        ("dr_softmax", "DR-softmax costs no accuracy"),
    ],
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
    judgement = claim("symmetric")(replace(EMPTY, features=models))
    assert "chance alone puts all of one loss below all of the other once in 2" in judgement.measured


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
    assert (
        judged(
            claim(words),
            leaderboard=robust(
                {loss: mine, other: theirs}, eps=(0.1, 0.2), **threat | {"access": "decision"}
            ),
        )
        is None
    )


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
    board.loc[board["loss"] == broken, "verdict"] = "suspect: white-box-strongest"
    assert judged(claim("GCCS is more robust than adversarial"), leaderboard=board) == held


def test_detection_that_was_not_measured_is_no_verdict():
    board = robust({"mcat": [0.6], "gm": [0.2]}, awareness="adaptive")
    board.loc[board["loss"] == "gm", "robust_accuracy_with_detection"] = np.nan
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


def test_with_a_detector_the_ceiling_is_what_is_accepted_when_clean():
    board = robust({"mcat": [0.945], "gm": [0.94]}, awareness="adaptive", half=0.001)
    assert judged(claim("MCAT"), leaderboard=board) == HOLDS
    board["clean_accepted"] = 0.946
    board.loc[board["loss"] == "gm", "clean_accepted"] = 0.941
    assert judged(claim("MCAT"), leaderboard=board) == OPEN


def test_a_reconstruction_and_another_threshold_are_told():
    assert all("our reconstruction" in one.paper for one in CLAIMS if "GCCS" in one.claim)
    (mcat,) = [one for one in CLAIMS if "MCAT" in one.claim]
    assert "5 % FPR" in mcat.claim
    assert "1 %" in mcat.claim


def test_the_spread_must_fall_with_robustness_for_sure():
    spreads = np.arange(8) / 10
    models = [looked(f"loss{place}", [1, 2, 3], spread=spread) for place, spread in enumerate(spreads)]

    def found(shares):
        known = {
            model.name: (float(share), float(share) / 2, 1.0)
            for model, share in zip(models, shares, strict=False)
        }
        robustness = Robustness(ThreatModel("Linf", 0.1, "white-box"), ("pgd",), 100, known)
        return judged(claim("The spread"), features=models, robustness=robustness)

    assert found(1 - spreads) == HOLDS
    assert found(spreads) == FAILS
    unsure = np.array([0.5, 0.1, 0.9, 0.3, 0.8, 0.2, 0.6, 0.4])
    assert found(unsure) == found(1 - unsure) == OPEN  # whatever its sign, 0 lies in the interval
    assert found(np.zeros(8)) == OPEN  # no robust image anywhere has no order
    assert found((1 - spreads)[:5]) is None  # too few losses
    models += [
        looked(loss, [1, 2, 3], spread=1 + place)
        for place, loss in enumerate(("trades", "pgd_at", "lgm_at", "mcat"))
    ]
    # the adversarially trained ones would spoil it
    assert found(np.append(1.1 - spreads, [2.0, 2.1, 2.2, 2.3])) == HOLDS
    models = [looked("gm", [1, 2, 3], spread=spread, seed=seed) for seed, spread in enumerate(spreads)]
    assert found(1 - spreads) is None  # eight models of one loss
    assert judged(claim("The spread"), features=models) is None


def test_accuracies_come_from_the_cards_of_the_suites_own_checkpoints():
    """Two checkpoints, one of them trained on other data, a user's file.

    And a defense that has taken a checkpoint's name.
    """
    names = ["mnist-gm-s0", "digits-lgm-s0", "mine.py", "mnist-lgm-s0"]
    entrants = [
        SimpleNamespace(name=name, loss=name)
        for name in ("mnist-gm-s0", "digits-lgm-s0", "mnist-softmax-s0", "other")
    ]
    plan = SimpleNamespace(
        suite=SimpleNamespace(models=names, data="mnist"),
        jobs=[SimpleNamespace(entrant=entrant) for entrant in entrants],
        data={"test": range(10_000)},
    )
    (found,) = publish._accuracies(plan)
    about = read_card("mnist-gm-s0")
    assert (found.model, found.data, found.features, found.epochs) == (
        about.name,
        "mnist",
        about.recipe.features,
        about.epochs,
    )
    assert found.accuracy == about.test_accuracy
    assert (found.low, found.high) == pytest.approx(
        (about.measurements.accuracy_low, about.measurements.accuracy_high), abs=1e-5
    )


def test_the_table_has_the_claims_that_were_measured_and_no_others():
    assert claims_markdown(EMPTY) == ""
    board = robust({"dr_softmax": {0: [0.6], 1: [0.8]}, "softmax": [0.2]})
    text = claims_markdown(replace(EMPTY, leaderboard=board))
    (row,) = [line for line in text.splitlines() if line.startswith("| Wang")]
    assert row == (
        "| Wang et al. 2023 | DR-softmax is more robust than softmax | white-box, oblivious, 3 attacks on "
        "1000 images;"
        " ε = 0.1: DR-softmax 70.0 [58.0, 82.0] (2 trainings), softmax 20.0 [18.0, 22.0] (one training): "
        "higher; trainings of one loss"
        " differ by up to 20.0 | **holds** |"
    )
    assert "nan" not in text.lower()
