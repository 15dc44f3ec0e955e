"""Two losses are compared on the same attacks and images, by intervals, and by what trainings differ."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from gmbench.benchmark.analysis.claims.comparison import Judgement, more_accurate, more_robust

from ...made_results import EMPTY, FAILS, HOLDS, OPEN, card, robust


def test_who_was_trained_for_longer_is_not_the_more_accurate_one_for_that():
    def found(gm, softmax):
        return more_accurate(
            replace(EMPTY, accuracies=[card("gm", gm, epochs=45), card("softmax", softmax, epochs=30)]),
            "gm",
            "softmax",
        )

    assert found(0.88, 0.87) == Judgement(
        "GM 88.00 [87.90, 88.10] % (one training, 45 epochs), softmax 87.00 [86.90, 87.10] % (one training, "
        "30 epochs):"
        " GM was trained for longer",
        OPEN,
    )
    assert found(0.86, 0.87).held == FAILS  # for all its epochs
    assert "45 epochs" in found(0.8705, 0.87).measured
    alike = replace(EMPTY, accuracies=[card("gm", 0.997), card("softmax", 0.994)])
    assert "epochs" not in more_accurate(alike, "gm", "softmax").measured


def test_a_cost_that_is_not_decided_is_bounded():
    found = replace(EMPTY, accuracies=[card("gm", 0.995), card("softmax", 0.996)])
    assert "GM is at most 0.30 points lower" in more_accurate(found, "gm", "softmax").measured


def test_eps_of_weak_attacks_decide_nothing():
    weak = robust({"dr_softmax": [0.9], "softmax": [0.1]}, eps=(0.15,), attacks="fgsm")
    full = robust({"dr_softmax": [0.0], "softmax": [0.0]})
    judgement = more_robust(replace(EMPTY, leaderboard=pd.concat([weak, full])), "dr_softmax", "softmax")
    assert judgement.held == OPEN
    assert "0.15" not in judgement.measured
    assert "both at the floor" in judgement.measured


def test_attacks_that_changed_nothing_tell_accuracies_apart_and_no_robustness():
    board = robust({"dr_softmax": [0.99], "softmax": [0.9]}, half=0.01)
    board["clean_accuracy"] = board["robust_accuracy"]
    judgement = more_robust(replace(EMPTY, leaderboard=board), "dr_softmax", "softmax")
    assert judgement.held == OPEN
    assert "both at the ceiling" in judgement.measured


def test_a_model_that_met_fewer_attacks_is_compared_with_those_that_met_the_same():
    board = robust({"gccs": [0.5], "softmax": {0: [0.2], 1: [0.8]}})
    board.loc[board["model"].isin(["gccs-s0", "softmax-s1"]), "attacks"] = "fgsm"
    judgement = more_robust(replace(EMPTY, leaderboard=board), "gccs", "softmax")
    assert judgement.held == FAILS  # 50 against the 80 of the training that met FGSM alone, not against 20
    assert "1 attack on 1000 images" in judgement.measured
    board.loc[board["model"] == "softmax-s1", "images"] = 200
    judgement = more_robust(replace(EMPTY, leaderboard=board), "gccs", "softmax")
    assert judgement.held == OPEN
    assert "not the same attacks and images" in judgement.measured


@pytest.mark.parametrize(("mine", "theirs"), [(0.6, 0.2), (0.2, 0.6)])
@pytest.mark.parametrize("of", ["gccs", "softmax"])
def test_a_failed_check_of_either_side_decides_nothing(mine, theirs, of):
    board = robust({"gccs": [mine], "softmax": [theirs]})
    board.loc[board["loss"] == of, "verdict"] = "suspect: zero-gradients"
    judgement = more_robust(replace(EMPTY, leaderboard=board), "gccs", "softmax")
    assert judgement.held == OPEN
    assert "failed checks: zero-gradients" in judgement.measured
    # what speaks of a detector touches no robust accuracy without it
    board.loc[board["loss"] == of, "verdict"] = "suspect: detector-sign:own"
    assert more_robust(replace(EMPTY, leaderboard=board), "gccs", "softmax").held == (
        HOLDS if mine > theirs else FAILS
    )


@pytest.mark.parametrize(
    ("shares", "epochs", "held", "told"),
    [
        ((0.6, 0.3), (45, 30), OPEN, "but GCCS was trained for longer"),
        # for all its epochs
        ((0.3, 0.6), (45, 30), FAILS, "GCCS 30.0 [28.0, 32.0] (one training, 45 epochs)"),
        ((0.6, 0.3), (30, 45), HOLDS, "softmax 30.0 [28.0, 32.0] (one training, 45 epochs)"),
        ((0.3, 0.6), (30, 45), OPEN, "but softmax was trained for longer"),
        ((0.6, 0.3), (30, 30), HOLDS, "GCCS 60.0 [58.0, 62.0] (one training), "),
        # of a defense without a card nobody knows
        ((0.6, 0.3), (30, None), HOLDS, "GCCS 60.0 [58.0, 62.0] (one training), "),
    ],
)
def test_who_was_trained_for_longer_is_not_the_more_robust_one_for_that(shares, epochs, held, told):
    losses = ("gccs", "softmax")
    cards = [card(loss, 0.99, epochs=count) for loss, count in zip(losses, epochs, strict=True) if count]
    board = robust({loss: [share] for loss, share in zip(losses, shares, strict=True)})
    judgement = more_robust(replace(EMPTY, leaderboard=board, accuracies=cards), *losses)
    assert judgement.held == held
    assert told in judgement.measured


def test_one_training_against_another_decides_no_more_than_trainings_of_one_loss_differ_by():
    """The counter-example: disjoint intervals over images.

    And seeds of a third loss that differ by as much.
    """
    alone = robust({"dr_softmax": [0.6], "softmax": [0.5]})
    judgement = more_robust(replace(EMPTY, leaderboard=alone), "dr_softmax", "softmax")
    assert judgement.held == HOLDS
    assert "one training of each" in judgement.measured
    for spread, held in ((0.2, OPEN), (0.05, HOLDS)):
        several = pd.concat([alone, robust({"gm": {0: [0.3], 1: [0.3 + spread]}})])
        judgement = more_robust(replace(EMPTY, leaderboard=several), "dr_softmax", "softmax")
        assert judgement.held == held
        assert f"trainings of one loss differ by up to {100 * spread:.1f}" in judgement.measured
        assert "DR-softmax 60.0 [58.0, 62.0] (one training)" in judgement.measured
        # not the same attacks
        others = several.assign(attacks=np.where(several["model"] == "gm-s1", "fgsm", several["attacks"]))
        assert more_robust(replace(EMPTY, leaderboard=others), "dr_softmax", "softmax").held == HOLDS


def test_the_eps_are_those_of_the_two_losses():
    pair = robust({"dr_softmax": [0.6], "softmax": [0.5]}, eps=(0.2,), attacks="fgsm;pgd")
    other = robust({"gm": [0.3]})  # at another eps it met more
    judgement = more_robust(replace(EMPTY, leaderboard=pd.concat([pair, other])), "dr_softmax", "softmax")
    assert judgement.held == HOLDS
    assert "ε = 0.2" in judgement.measured
