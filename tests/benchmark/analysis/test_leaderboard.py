"""The `eer` and `leaderboard` frames.

Tiny samples whose answers are counted by hand, and a large one recomputed another way.
"""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from gmbench.benchmark.analysis.eer_table import eer_table
from gmbench.benchmark.analysis.leaderboard import failed_checks, leaderboard
from gmbench.benchmark.analysis.model_samples import detectors_of

PGD = ("pgd", "Linf", 0.1, "white-box", "oblivious")
KEY = ["norm", "eps", "access", "awareness"]
NO_CHECKS = pd.DataFrame({"model": [], "check": [], "state": []})
VALIDATION = {"score_a": range(1, 21)}  # at most 5 % rejected: a score above 19


@pytest.fixture(scope="module")
def samples(make_samples):
    return make_samples(losses=("lgm", "softmax"), seeds=(0,), images=120, detectors=("likelihood", "msp"))


@pytest.fixture(scope="module")
def eer(samples):
    return eer_table(samples, resamples=200)


@pytest.fixture(scope="module")
def board(samples, eer):
    return leaderboard(samples, eer, NO_CHECKS)


def board_of(samples, checks=NO_CHECKS):
    """The leaderboard by (norm, eps, access, awareness)."""
    return leaderboard(samples, eer_table(samples, resamples=20), checks).set_index(KEY)


def test_the_columns(eer, board):
    assert " ".join(eer.columns) == (
        "model loss seed attack label norm eps access awareness knows detector population images "
        "adversarials "
        "success_rate eer eer_low eer_high "
        "auroc auroc_low auroc_high tpr_at_1_fpr tpr_at_5_fpr tpr_at_10_fpr fpr_at_5"
    )
    assert " ".join(board.columns) == (
        "model loss seed norm eps access awareness knows detector images clean_accuracy attacks "
        "robust_accuracy robust_accuracy_low "
        "robust_accuracy_high robust_accuracy_with_detection robust_accuracy_with_detection_low "
        "robust_accuracy_with_detection_high clean_accepted fpr_at_5 sr_at_5 eer_all "
        "eer_successful auroc_all auroc_successful tpr_at_5_fpr_successful worst_attack mean_size forwards "
        "backwards verdict"
    )


def test_robust_accuracy_is_the_worst_case_over_what_is_permitted(by_hand):
    # Seven images, the last misclassified when clean; each attack breaks one other image, at its own threat
    # model.
    def only(image):
        return {"predicted": [int(i in (image, 6)) for i in range(7)], "score_a": [0.0] * 7}

    attacks = {
        PGD: only(0),
        ("transfer-pgd", "Linf", 0.1, "transfer", "oblivious"): only(1),
        ("square", "Linf", 0.1, "query", "oblivious"): only(2),
        ("likelihood-pgd", "Linf", 0.1, "white-box", "adaptive"): only(3),
        ("uniform-noise", "Linf", 0.1, "decision", "oblivious"): only(4),
        ("pgd", "Linf", 0.2, "white-box", "oblivious"): only(5),
    }
    board = board_of(by_hand({"predicted": [0] * 6 + [1], "score_a": [0.0] * 7}, attacks, VALIDATION))
    robust = {threat: round(7 * row["robust_accuracy"]) for threat, row in board.iterrows()}
    assert robust == {
        ("Linf", 0.1, "decision", "oblivious"): 5,
        ("Linf", 0.1, "query", "oblivious"): 4,
        ("Linf", 0.1, "transfer", "oblivious"): 5,
        ("Linf", 0.1, "white-box", "adaptive"): 1,
        ("Linf", 0.1, "white-box", "oblivious"): 2,
        ("Linf", 0.2, "white-box", "oblivious"): 5,
    }
    row = board.loc[("Linf", 0.1, "white-box", "oblivious")]
    assert set(row["attacks"].split(";")) == {"pgd", "transfer-pgd", "square", "uniform-noise"}
    assert row["clean_accuracy"] == pytest.approx(6 / 7)


def test_an_image_that_any_permitted_attack_skipped_does_not_count(by_hand):
    """Else the images that a costly attack was spared would pass for ones that withstood it."""
    attacks = {
        PGD: {"id": [2, 3, 4], "predicted": [1, 0, 0]},  # the strong one, on three images
        ("fgsm", *PGD[1:]): {"id": [0, 1, 2, 3, 4], "predicted": [0] * 5},
        # permitted too: what it was not run on does not count
        ("square", "Linf", 0.1, "query", "oblivious"): {"id": [3, 4], "predicted": [1, 0]},
    }
    columns = {key: {**value, "score_a": [0.0] * len(value["id"])} for key, value in attacks.items()}
    board = board_of(by_hand({"predicted": [1, 0, 0, 0, 0], "score_a": [0.0] * 5}, columns, VALIDATION))
    told = ["images", "clean_accuracy", "robust_accuracy", "robust_accuracy_with_detection"]
    assert board.loc[PGD[1:], told].tolist() == [2, 1.0, 0.5, 0.5]
    assert board.loc[("Linf", 0.1, "query", "oblivious"), told].tolist() == [2, 1.0, 0.5, 0.5]


def test_where_no_image_met_every_attack_there_is_no_accuracy(by_hand):
    scores = {"score_a": [0.0]}
    attacks = {
        PGD: {"id": [0], "predicted": [0], **scores},
        ("square", "Linf", 0.1, "query", "oblivious"): {"id": [1], "predicted": [1], **scores},
    }
    board = board_of(by_hand({"predicted": [0, 0], "score_a": [0.0] * 2}, attacks, VALIDATION))
    row = board.loc[PGD[1:]]
    assert row["images"] == 0
    assert (
        row[["clean_accuracy", "robust_accuracy", "robust_accuracy_with_detection", "fpr_at_5"]].isna().all()
    )
    assert board.loc[("Linf", 0.1, "query", "oblivious"), "robust_accuracy"] == 0


def test_a_tie_goes_by_name(by_hand):
    """And so not by the order in which models were computed."""
    scores = {"score_z": [0.0, 0.0], "score_y": [0.0, 0.0]}
    validation = {"score_z": range(20), "score_y": range(20)}
    attack = {PGD: {"predicted": [1, 0], **scores}}
    both = pd.concat(
        by_hand({"predicted": [0, 0], **scores}, attack, validation, model) for model in ("second", "first")
    )
    board = board_of(both)
    assert board["robust_accuracy_with_detection"].tolist() == [0.5] * 4
    assert board[["model", "detector"]].to_numpy().tolist() == [
        [model, detector] for model in ("first", "second") for detector in ("y", "z")
    ]


def test_failed_checks_are_named_once():
    rows = pd.DataFrame({"verdict": ["sound", "broken: zero-gradients; larger-eps", "suspect: larger-eps"]})
    assert failed_checks(rows) == ["zero-gradients", "larger-eps"]


def test_robust_accuracy_with_detection_loses_what_is_wrong_and_accepted(by_hand):
    # (clean prediction and score, under one attack, under another, lost?); a score above 19 is rejected.
    cases = [
        ((0, 1), (0, 1), (0, 1), False),
        ((0, 19), (0, 50), (0, 1), False),  # rejected under attack, though right: no harm was done
        ((0, 1), (1, 19), (0, 1), True),  # wrong, and accepted by a hair
        ((0, 1), (1, 19.5), (1, 20), False),  # wrong, rejected
        ((0, 1), (1, 20), (1, 5), True),  # rejected under one attack, accepted under the other
        ((0, 50), (0, 50), (0, 50), True),  # a clean image that is rejected is lost
        ((1, 19), (0, 1), (0, 1), True),  # the clean image is wrong and accepted, by a hair
        ((1, 20), (1, 20), (0, 1), True),  # wrong when clean, though rejected
        ((1, 20), (1, 3), (1, 20), True),
    ]
    for *case, lost in [*cases, ((1, 5), (0, 1), (0, 1), True)]:
        alone, first, second = ({"predicted": [p], "score_a": [float(s)]} for p, s in case)
        board = board_of(by_hand(alone, {PGD: first, ("fgsm", *PGD[1:]): second}, VALIDATION))
        assert board.loc[PGD[1:], "robust_accuracy_with_detection"] == (not lost), case
    clean, first, second = (
        {"predicted": [p for p, _ in part], "score_a": [s for _, s in part]}
        for part in list(zip(*cases, strict=True))[:3]
    )
    board = board_of(by_hand(clean, {PGD: first, ("fgsm", *PGD[1:]): second}, VALIDATION))
    row = board.loc[PGD[1:]]
    assert row["robust_accuracy_with_detection"] == pytest.approx(1 - sum(lost for *_, lost in cases) / 9)
    assert row["fpr_at_5"] == pytest.approx(3 / 9)
    assert row["clean_accepted"] == pytest.approx(5 / 9)
    assert row["robust_accuracy"] == pytest.approx(3 / 9)
    assert row["sr_at_5"] == pytest.approx(2 / 6)  # of the six that are right when clean
    assert (
        row["robust_accuracy_with_detection_low"]
        < row["robust_accuracy_with_detection"]
        < row["robust_accuracy_with_detection_high"]
    )


def test_detection_by_hand(by_hand):
    # Image 3 was not attacked: its clean score, above all others, is no negative. Image 2 was misclassified
    # before.
    clean = {"predicted": [0, 0, 1, 0, 0], "score_a": [1.0, 2.0, 3.0, 99.0, 4.0]}
    attacks = {PGD: {"id": [4, 0, 1, 2], "predicted": [1, 1, 0, 1], "score_a": [19.5, 2.5, 0.0, 20.0]}}
    table = eer_table(by_hand(clean, attacks, VALIDATION), resamples=50).set_index("population")
    every, successful = table.loc["all"], table.loc["successful"]
    assert (every["images"], every["adversarials"], successful["images"], successful["adversarials"]) == (
        4,
        4,
        4,
        2,
    )
    assert every["auroc"] == pytest.approx((4 + 2 + 0 + 4) / 16)
    assert successful["auroc"] == pytest.approx((4 + 2) / 8)
    assert (every["tpr_at_5_fpr"], successful["tpr_at_5_fpr"]) == (0.5, 0.5)
    assert (every["tpr_at_1_fpr"], every["tpr_at_10_fpr"]) == (0.0, 0.5)  # above 20; above 18
    assert every["success_rate"] == successful["success_rate"] == pytest.approx(2 / 3)
    assert every["fpr_at_5"] == 0.0


def test_thresholds_come_from_validation(by_hand):
    def judged(test_shift, validation_shift):
        clean = {"predicted": [0] * 20, "score_a": np.arange(1.0, 21) + test_shift}
        attack = {"predicted": [1] * 20, "score_a": np.arange(9.0, 29) + test_shift}
        samples = by_hand(clean, {PGD: attack}, {"score_a": np.arange(1.0, 21) + validation_shift})
        row, told = board_of(samples).iloc[0], eer_table(samples, resamples=20).iloc[0]
        return tuple(
            round(float(x), 6)
            for x in (
                told["fpr_at_5"],
                told["tpr_at_5_fpr"],
                row["fpr_at_5"],
                row["robust_accuracy_with_detection"],
                told["auroc"],
            )
        )

    assert judged(0, 0) == (0.05, 0.45, 0.05, 0.4, 0.82)
    assert judged(100, 0) == (1.0, 1.0, 1.0, 0.0, 0.82)
    assert judged(0, 100) == (0.0, 0.0, 0.0, 0.0, 0.82)
    assert judged(100, 100) == judged(0, 0)


def test_without_validation_images_nothing_is_claimed_at_a_threshold(by_hand):
    samples = by_hand(
        {"predicted": [0, 0], "score_a": [0.0, 1.0]}, {PGD: {"predicted": [1, 0], "score_a": [2.0, 3.0]}}
    )
    table, row = eer_table(samples, resamples=20), board_of(samples).iloc[0]
    assert table[["tpr_at_5_fpr", "fpr_at_5"]].isna().all(axis=None)
    assert table["auroc"].tolist() == [1.0, 1.0]
    assert np.isnan(row["robust_accuracy_with_detection"])
    assert row["robust_accuracy"] == 0.5


def test_where_nothing_succeeded_there_is_no_successful_population(by_hand):
    samples = by_hand(
        {"predicted": [0, 0], "score_a": [0.0, 1.0]},
        {PGD: {"predicted": [0, 0], "score_a": [2.0, 0.5]}},
        VALIDATION,
    )
    table = eer_table(samples, resamples=20).set_index("population")
    told = [
        "eer",
        "eer_low",
        "eer_high",
        "auroc",
        "auroc_low",
        "auroc_high",
        "tpr_at_1_fpr",
        "tpr_at_5_fpr",
        "tpr_at_10_fpr",
    ]
    assert table.loc["successful", "adversarials"] == 0
    assert table.loc["successful", told].isna().all()
    assert table.loc["all", "auroc"] == 0.75
    row = board_of(samples).iloc[0]
    assert np.isnan(row["eer_successful"])
    assert np.isnan(row["mean_size"])
    assert row["worst_attack"] == ""


def test_detection_is_the_worst_over_attacks_with_enough_successes(by_hand):
    n = 20
    clean = {"predicted": [0] * n, "score_a": np.arange(n)}
    attacks = {
        PGD: {"predicted": [1] * n, "score_a": np.arange(n) + 10.0},
        ("fgsm", *PGD[1:]): {"predicted": [1] * n, "score_a": np.arange(n) + 5.0},
        # undetected, but 9 images only
        ("lucky", *PGD[1:]): {"predicted": [1] * 9 + [0] * 11, "score_a": [-1.0] * 9 + [50.0] * 11},
    }
    ten = {("lucky", *PGD[1:]): {"predicted": [1] * 10 + [0] * 10, "score_a": [-1.0] * 10 + [50.0] * 10}}
    assert board_of(by_hand(clean, attacks | ten, VALIDATION)).iloc[0]["worst_attack"] == "lucky"
    samples = by_hand(clean, attacks, VALIDATION)
    row = board_of(samples).iloc[0]
    table = eer_table(samples, resamples=20).set_index(["label", "population"])
    assert (row["worst_attack"], row["eer_successful"]) == ("fgsm", table.loc[("fgsm", "successful"), "eer"])
    assert (
        row["auroc_successful"]
        == table.loc[("fgsm", "all"), "auroc"]
        == pytest.approx(1 - (15 * 14 / 2 + 15 / 2) / n**2)
    )
    assert row["tpr_at_5_fpr_successful"] == table.loc[("fgsm", "successful"), "tpr_at_5_fpr"] == 5 / n
    assert row["eer_all"] == table["eer"].xs("all", level="population").max()
    assert row["auroc_all"] == table["auroc"].xs("all", level="population").min()


def test_no_detector_need_see_noise(by_hand):
    clean = {"predicted": [0] * 20, "score_a": np.arange(20)}
    seen = {"predicted": [1] * 20, "score_a": np.arange(20) + 50.0}
    unseen = {"predicted": [1] * 20, "score_a": np.arange(20) - 50.0}
    noise = ("uniform-noise", "Linf", 0.1, "decision", "oblivious")
    board = board_of(by_hand(clean, {PGD: seen, noise: unseen}, VALIDATION))
    row = board.loc[PGD[1:]]
    assert (row["eer_all"], row["auroc_all"], row["auroc_successful"], row["worst_attack"]) == (
        0,
        1,
        1,
        "pgd",
    )
    assert np.isnan(board.loc[noise[1:], "eer_all"])


def test_costs_and_sizes(by_hand):
    attacks = {
        PGD: {
            "predicted": [1, 0],
            "score_a": [0.0, 0.0],
            "forwards": [10, 20],
            "backwards": [4, 8],
            "size": [0.1, 0.9],
        },
        ("fgsm", *PGD[1:]): {
            "id": [0],
            "predicted": [1],
            "score_a": [0.0],
            "forwards": 2,
            "backwards": 1,
            "size": 0.3,
        },
    }
    row = board_of(by_hand({"predicted": [0, 0], "score_a": [0.0, 0.0]}, attacks, VALIDATION)).iloc[0]
    assert (row["forwards"], row["backwards"]) == (15 + 2, 6 + 1)
    assert row["mean_size"] == pytest.approx((0.1 + 0.3) / 2)


def test_a_detector_that_does_not_apply_has_no_rows(samples, eer, board):
    assert detectors_of(samples) == ["likelihood", "msp"]
    for frame in (eer, board):
        of_model = frame.groupby("model")["detector"].unique().map(set)
        assert of_model.to_dict() == {"mnist-lgm-s0": {"likelihood", "msp"}, "mnist-softmax-s0": {"msp"}}


def test_a_model_without_detectors_is_on_the_leaderboard(by_hand):
    row = board_of(by_hand({"predicted": [0, 0]}, {PGD: {"predicted": [1, 0]}}, {"margin": [0.0]})).iloc[0]
    assert (row["detector"], row["robust_accuracy"]) == ("", 0.5)
    assert np.isnan(row["robust_accuracy_with_detection"])


def test_a_cell_that_was_not_scored_is_not_called_safe(by_hand):
    fgsm = ("fgsm", "Linf", 0.2, "white-box", "oblivious")
    scored, unscored = (
        {"predicted": [1, 0], "score_a": [2.0, 3.0]},
        {"predicted": [1, 0], "score_a": [np.nan, np.nan]},
    )
    samples = by_hand({"predicted": [0, 0], "score_a": [0.0, 1.0]}, {PGD: scored, fgsm: unscored}, VALIDATION)
    assert set(eer_table(samples, resamples=20)["label"]) == {"pgd"}
    board = board_of(samples)
    assert np.isnan(board.loc[fgsm[1:], "robust_accuracy_with_detection"])
    assert board.loc[PGD[1:], "robust_accuracy_with_detection"] == 0.5


def test_bad_frames_get_one_clear_line(by_hand):
    clean, attack = {"predicted": [0, 0], "score_a": [0.0, 1.0]}, {"predicted": [1, 0], "score_a": [2.0, 3.0]}
    samples = by_hand(clean, {PGD: attack}, VALIDATION)
    with pytest.raises(ValueError, match="one row per model, cell and image, got 1 more"):
        eer_table(pd.concat([samples, samples.iloc[-1:]]))
    with pytest.raises(ValueError, match="to have a clean row, got 1 of mine under pgd without one"):
        eer_table(samples.drop(index=0))
    with pytest.raises(
        ValueError,
        match="expected score_a to be NaN in all rows of a cell or in none, got 1 of 2 for mine under pgd",
    ):
        eer_table(by_hand(clean, {PGD: {**attack, "score_a": [np.nan, 3.0]}}, VALIDATION))


def test_a_model_whose_clean_images_are_missing_is_left_out(by_hand):
    whole, rest = (
        by_hand(
            {"predicted": [0], "score_a": [0.0]},
            {PGD: {"predicted": [1], "score_a": [1.0]}},
            VALIDATION,
            name,
        )
        for name in "ab"
    )
    both = pd.concat([whole, rest[rest["label"] != "clean"]])
    assert set(eer_table(both, resamples=20)["model"]) == set(board_of(both)["model"]) == {"a"}


def test_verdicts(by_hand):
    scores = {"score_a": [0.0, 1.0], "score_b": [0.0, 1.0]}
    samples = by_hand({"predicted": [0, 0], **scores}, {PGD: {"predicted": [1, 0], **scores}})

    def verdicts(*rows):
        checks = pd.DataFrame(rows, columns=["model", "check", "state"])
        board = board_of(samples, checks).set_index("detector")
        return board["verdict"].to_dict()

    assert verdicts(("mine", "larger-eps", "passed")) == {"a": "sound", "b": "sound"}
    both = verdicts(("mine", "x", "failed"), ("mine", "y", "passed"), ("mine", "z", "broken"))
    assert both == {"a": "broken: x; z", "b": "broken: x; z"}
    assert verdicts(("mine", "sign:a", "failed"), ("mine", "sign:b", "passed")) == {
        "a": "suspect: sign:a",
        "b": "sound",
    }
    unrun = verdicts(("mine", "x", "passed"), ("mine", "sign:a", "not run"), ("mine", "y", "not applicable"))
    assert unrun == {"a": "unchecked", "b": "sound"}
    assert verdicts(("another", "x", "failed")) == {"a": "unchecked", "b": "unchecked"}


def test_the_best_defense_under_each_threat_comes_first(board):
    assert board[KEY].equals(board[KEY].sort_values(KEY, ignore_index=True))
    for _, rows in board.groupby(KEY):
        assert rows["robust_accuracy_with_detection"].is_monotonic_decreasing


def test_neither_the_order_of_the_rows_nor_their_types_matter(samples, eer, board):
    names = samples.select_dtypes("category").columns
    shuffled = samples.sample(frac=1, random_state=1).astype(dict.fromkeys(names, object))
    pd.testing.assert_frame_equal(eer_table(shuffled, resamples=200), eer)
    pd.testing.assert_frame_equal(leaderboard(shuffled, eer, NO_CHECKS), board)


def test_intervals_hold_the_point(eer, board):
    for name in ("eer", "auroc"):
        told = eer[eer["adversarials"] >= 10]
        assert told[name].between(told[f"{name}_low"], told[f"{name}_high"]).all()
    for name in ("robust_accuracy", "robust_accuracy_with_detection"):
        assert board[name].between(board[f"{name}_low"], board[f"{name}_high"]).all()
    fractions = eer.loc[:, "success_rate":].stack().dropna()
    assert fractions.between(0, 1).all()


def test_a_large_frame_recomputed_another_way(samples, eer, board):
    test = samples[samples["split"] == "test"].astype(
        dict.fromkeys(samples.select_dtypes("category").columns, object)
    )
    clean = test[test["label"] == "clean"].set_index(["model", "id"])
    for row in eer.itertuples():
        cell = test[
            (test["label"] == row.label) & (test["eps"] == row.eps) & (test["model"] == row.model)
        ].set_index(["model", "id"])
        positives = (cell[cell["success_8bit"]] if row.population == "successful" else cell)[
            f"score_{row.detector}"
        ]
        negatives = clean.loc[cell.index, f"score_{row.detector}"]
        labels = np.repeat([0, 1], [len(negatives), len(positives)])
        expected = roc_auc_score(labels, np.concatenate([negatives, positives])) if len(positives) else np.nan
        assert row.auroc == pytest.approx(expected, nan_ok=True)
    white = test[(test["norm"] == "Linf") & (test["eps"] == 0.1)]
    for awareness, kinds in (("oblivious", ["oblivious"]), ("adaptive", ["oblivious", "adaptive"])):
        permitted = white[white["awareness"].isin(kinds)]
        met = permitted.groupby(["model", "id"])["attack"].transform("count")
        permitted = permitted[met == met.max()]  # what an attack skipped does not count
        robust = (
            (permitted["predicted"] == permitted["y"])
            & (permitted["clean_predicted"] == permitted["y"])
            & ~permitted["success_8bit"]
        ).groupby([permitted["model"], permitted["id"]])
        expected = robust.all().groupby("model").mean()
        told = board[
            (board["norm"] == "Linf")
            & (board["eps"] == 0.1)
            & (board["access"] == "white-box")
            & (board["awareness"] == awareness)
        ]
        assert told.set_index("model")["robust_accuracy"].to_dict() == pytest.approx(expected.to_dict())


def test_a_minimal_proposal_counts_at_every_eps_not_below_its_size(by_hand):
    minimal = ("fmn", "Linf", np.inf, "white-box", "oblivious")
    sizes = [0.05, 0.099, 0.15, 0.2, 0.05, 0.05]
    attacks = {
        PGD: {"predicted": [0] * 6, "score_a": [0.0] * 6},
        minimal: {
            "predicted": [1, 1, 1, 1, 0, 1],
            "success_8bit": [True, True, True, True, True, False],
            "size": sizes,
            "score_a": [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        },
        ("cw", "L2", np.inf, "white-box", "oblivious"): {"predicted": [1] * 6, "score_a": [0.0] * 6},
        ("hopskipjump", "Linf", np.inf, "decision", "oblivious"): {
            "predicted": [0] * 6,
            "score_a": [0.0] * 6,
        },
    }
    board = board_of(by_hand({"predicted": [0] * 6, "score_a": [0.0] * 6}, attacks, VALIDATION))
    row = board.loc[PGD[1:]]
    # within .1: images 0, 1 and 5 as they are, 0 and 4 rounded; image 1 may have left the ball by rounding
    assert row["robust_accuracy"] == pytest.approx(2 / 6)
    assert row["robust_accuracy_with_detection"] == pytest.approx(4 / 6)
    assert set(row["attacks"].split(";")) == {"pgd", "fmn", "hopskipjump"}
    assert board.loc[minimal[1:], "robust_accuracy"] == 0
