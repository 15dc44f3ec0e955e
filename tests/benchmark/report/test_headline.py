"""The headline: one row per loss, of numbers that can be averaged by eye, and nothing mixed that differs."""

import numpy as np
import pandas as pd
import pytest

from gmbench.benchmark.analysis.attack_series import fullest_eps, own_rows
from gmbench.benchmark.analysis.wording import eps_number, eps_text
from gmbench.benchmark.report.headline import summary_markdown

FULL = "fgsm;pgd;square"
DETECTORS = {"lgm": "likelihood", "softmax": "msp", "mine": "own"}
EPS = (0.1, 0.3)
ROBUST = "robust accuracy (%), white-box, oblivious, ε = 0.1 / 0.3"
WITH_DETECTION = "robust accuracy with detection (%), white-box, adaptive, ε = 0.1 / 0.3"
FGSM = "EER (%), fgsm, all, ε = 0.1 / 0.3"
WORST = "worst EER (%), successful, white-box, adaptive, ε = 0.3"


def board_row(loss, seed, eps, robust, **changed):
    row = {
        "model": f"{loss}-s{seed}",
        "loss": loss,
        "seed": seed,
        "norm": "Linf",
        "eps": eps,
        "access": "white-box",
    }
    row |= {
        "awareness": "oblivious",
        "detector": DETECTORS[loss],
        "images": 1000,
        "clean_accuracy": 0.99,
        "attacks": FULL,
    }
    row |= {
        "robust_accuracy": robust,
        "robust_accuracy_with_detection": robust / 2,
        "eer_successful": robust / 4,
        "verdict": "sound",
    }
    return row | changed


def make_board():
    rows = []
    for awareness in ("oblivious", "adaptive"):
        for loss, seed, robust in (("lgm", 0, 0.8), ("lgm", 1, 0.6), ("softmax", 0, 0.4), ("mine", 0, 0.2)):
            rows += [
                board_row(loss, seed, eps, robust / (1 + place), awareness=awareness)
                for place, eps in enumerate(EPS)
            ]
            rows.append(board_row(loss, seed, 0.2, 0.9, awareness=awareness, attacks="fgsm"))
            rows.append(board_row(loss, seed, 0.1, 0.01, awareness=awareness, detector="other"))
            rows.append(board_row(loss, seed, np.inf, 0.0, awareness=awareness, norm="L2", attacks="cw"))
    return pd.DataFrame(rows)


def make_eer():
    shared = {
        "attack": "fgsm",
        "label": "fgsm",
        "norm": "Linf",
        "access": "white-box",
        "awareness": "oblivious",
        "adversarials": 100,
    }
    return pd.DataFrame(
        [
            {
                **shared,
                "model": f"{loss}-s{seed}",
                "loss": loss,
                "eps": eps,
                "detector": detector,
                "population": population,
                "eer": value,
            }
            for loss, seed, value in (("lgm", 0, 0.1), ("lgm", 1, 0.2), ("softmax", 0, 0.3))
            for eps in EPS
            for detector, population in (
                (DETECTORS[loss], "all"),
                (DETECTORS[loss], "successful"),
                ("other", "all"),
            )
        ]
    )


def lines_of(board, eer=None, detectors=DETECTORS):
    text = summary_markdown(make_eer() if eer is None else eer, board, detectors)
    head, _, *rows = (
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in text.splitlines()
        if line.startswith("|")
    )
    return text, {
        row[0].strip(): dict(
            zip((cell.strip() for cell in head), (cell.strip() for cell in row), strict=True)
        )
        for row in rows
    }


def test_a_row_per_loss_in_order_with_its_paper():
    _, lines = lines_of(make_board())
    assert list(lines) == ["L-GM", "softmax", "mine"]
    assert [line["paper"] for line in lines.values()] == ["Wan et al. 2018", "", ""]
    assert [line["seeds"] for line in lines.values()] == ["2", "1", "1"]
    assert [line["detector"] for line in lines.values()] == ["likelihood", "msp", "own"]


def test_numbers_are_means_over_seeds_at_the_eps_that_met_the_most():
    text, lines = lines_of(make_board())
    assert [line[ROBUST] for line in lines.values()] == ["70.0 / 35.0", "40.0 / 20.0", "20.0 / 10.0"]
    assert [line[WITH_DETECTION] for line in lines.values()] == ["35.0 / 17.5", "20.0 / 10.0", "10.0 / 5.0"]
    assert [line[WORST] for line in lines.values()] == ["8.8", "5.0", "2.5"]
    assert [line[FGSM] for line in lines.values()] == ["15.0 / 15.0", "30.0 / 30.0", "not run"]
    assert {line["clean accuracy (%)"] for line in lines.values()} == {"99.0"}
    assert "over fgsm, pgd, square; 1000 images" in text


def test_the_eers_of_fgsm_say_how_many_seeds_they_are_of():
    eer = make_eer()
    _, lines = lines_of(make_board(), eer[(eer["model"] != "lgm-s1") | (eer["eps"] != 0.3)])
    assert lines["L-GM"][FGSM] == "10.0 / 10.0 (1 of 2 seeds)"  # and not 15.0 / 10.0 of two


def test_attacks_that_were_not_run_at_every_eps_are_not_named_as_if():
    board = make_board()
    board.loc[(board["eps"] == 0.3) & (board["awareness"] == "oblivious"), "attacks"] = "fgsm;pgd;noise"
    text, lines = lines_of(board)
    assert "over fgsm, pgd and others at some ε; 1000 images" in text
    assert "over fgsm, pgd, square; 1000 images" in text  # the adaptive one
    assert lines["L-GM"][ROBUST] == "70.0 / 35.0"
    board.loc[
        (board["eps"] == 0.3) & (board["loss"] == "softmax") & (board["awareness"] == "oblivious"), "attacks"
    ] = "fgsm"
    _, lines = lines_of(board)
    assert lines["softmax"][ROBUST] == "40.0 / 20.0 (1 attack at some ε)"


def test_how_to_read_stands_below_the_table():
    text = summary_markdown(make_eer(), make_board(), DETECTORS)
    assert text.startswith("| loss |")
    assert "50 is chance" in text.rsplit("|", 1)[1]


def test_a_seed_that_met_fewer_attacks_is_left_out_and_told():
    board = make_board()
    board.loc[(board["model"] == "lgm-s1") & (board["eps"] == 0.3), "attacks"] = "fgsm"
    _, lines = lines_of(board)
    assert lines["L-GM"][ROBUST] == "80.0 / 40.0 (1 of 2 seeds)"
    assert lines["softmax"][ROBUST] == "40.0 / 20.0"


@pytest.mark.parametrize(
    ("changed", "aside"),
    [
        ({"attacks": "fgsm"}, "(1 attack)"),
        ({"attacks": "fgsm;pgd;noise"}, "(other attacks)"),
        ({"images": 200}, "(200 images)"),
        ({"attacks": "fgsm", "images": 200}, "(1 attack, 200 images)"),
    ],
)
def test_a_loss_that_met_something_else_says_so(changed, aside):
    board = make_board()
    at = (board["loss"] == "softmax") & board["eps"].isin(EPS) & (board["awareness"] == "oblivious")
    for name, value in changed.items():
        board.loc[at, name] = value
    _, lines = lines_of(board)
    assert lines["softmax"][ROBUST] == f"40.0 / 20.0 {aside}"
    assert lines["softmax"][WITH_DETECTION] == "20.0 / 10.0"


def test_what_is_missing_is_said():
    board = make_board()
    board.loc[board["loss"] == "mine", ["robust_accuracy_with_detection", "eer_successful"]] = np.nan
    board.loc[(board["model"] == "lgm-s1") & (board["eps"] == 0.3), "eer_successful"] = np.nan
    board = board[(board["loss"] != "softmax") | (board["eps"] != 0.3)]
    text, lines = lines_of(board)
    assert lines["mine"][WITH_DETECTION] == "n/a"
    assert lines["mine"][WORST] == "few"
    assert lines["L-GM"][WORST] == "few"  # of one seed of two it would be another number
    assert lines["softmax"][ROBUST] == "40.0 / not run"
    assert "nan" not in text.lower()
    alone, _ = lines_of(board[board["awareness"] == "oblivious"], make_eer().assign(attack="pgd"))
    assert "adaptive" not in alone
    assert "accepted by the detector" not in alone
    assert "fgsm, all" not in alone


def test_a_loss_without_a_detector_has_a_robust_accuracy():
    _, lines = lines_of(make_board(), detectors={"lgm": "likelihood", "softmax": "msp"})
    assert lines["mine"]["detector"] == "none"
    assert lines["mine"][ROBUST] == "20.0 / 10.0"
    assert (lines["mine"][WITH_DETECTION], lines["mine"][FGSM]) == ("n/a", "n/a")


def test_failed_checks_are_told():
    board = make_board()
    board.loc[board["model"] == "lgm-s1", "verdict"] = "suspect: zeros; detector-sign:likelihood"
    _, lines = lines_of(board)
    assert [line["checks"] for line in lines.values()] == [
        "suspect: zeros; detector-sign:likelihood",
        "sound",
        "sound",
    ]


def test_nothing_in_linf_is_no_summary():
    board = make_board()
    assert summary_markdown(make_eer(), board[board["norm"] == "L2"], DETECTORS) == ""


def test_the_fullest_eps_are_counted_for_each_threat_model():
    board = make_board()
    assert fullest_eps(board, "white-box", "oblivious") == [0.1, 0.3]
    assert fullest_eps(board[board["eps"] == 0.2], "white-box", "oblivious") == [0.2]
    assert fullest_eps(board, "query", "oblivious") == []


def test_own_rows_are_one_for_each_threat_model():
    own = own_rows(make_board(), DETECTORS)
    assert not own.duplicated(["model", "norm", "eps", "awareness"]).any()
    assert "other" not in set(own["detector"])


def test_eps_of_grey_levels_are_written_as_such():
    board, eer = make_board(), make_eer()
    levels = {0.1: 2 / 255, 0.2: 4 / 255, 0.3: 8 / 255, np.inf: np.inf}
    text, _ = lines_of(board.assign(eps=board["eps"].map(levels)), eer.assign(eps=eer["eps"].map(levels)))
    assert "ε = 2/255 / 8/255" in text


@pytest.mark.parametrize(
    ("eps", "text"),
    [
        (0.1, "0.1"),
        (0.2, "0.2"),
        (8 / 255, "8/255"),
        (1 / 255, "1/255"),
        (0.03, "0.03"),
        (0.0315, "0.0315"),
        (0.12345, "0.123"),
    ],
)
def test_eps_in_words(eps, text):
    assert eps_number(eps) == text
    assert eps_text(eps) == f"ε = {text}"
