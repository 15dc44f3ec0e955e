"""Two results that rounding alone tells apart, and two that it does not."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from gmbench.benchmark.analysis.checks import run_checks
from gmbench.benchmark.analysis.eer_table import eer_table
from gmbench.benchmark.analysis.leaderboard import leaderboard
from gmbench.benchmark.analysis.results_diff import (
    DIFFERENT,
    EQUAL,
    WITHIN_ROUNDING,
    Results,
    ResultsDiff,
    compare_results,
)

FGSM = ("fgsm", "Linf", (0.1, 0.2), "white-box", "oblivious", 0.6, 1.0)
CW = ("cw", "L2", (np.inf,), "white-box", "oblivious", 1.0, 0.5)
CLAIM = "Wan et al. 2018: L-GM verifies inputs"


def results_of(samples: pd.DataFrame) -> Results:
    eer = eer_table(samples, resamples=50)
    board = leaderboard(samples, eer, run_checks(samples, eer))
    return Results(samples, eer, board, {CLAIM: "holds", "sanity checks": "12"})


@pytest.fixture(scope="module")
def samples(make_samples: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    return make_samples(
        losses=("lgm", "softmax"), seeds=(0,), attacks=(FGSM, CW), detectors=("likelihood", "msp")
    )


@pytest.fixture(scope="module")
def results(samples: pd.DataFrame) -> Results:
    return results_of(samples)


def flipped(samples: pd.DataFrame, count: int) -> pd.DataFrame:
    """The same, but that FGSM fails on ``count`` of the images on which it had succeeded."""
    changed = samples.copy()
    rows = changed.index[(changed["attack"] == "fgsm") & changed["success"]][:: 150 // count][:count]
    assert len(rows) == count
    changed.loc[rows, "predicted"] = changed.loc[rows, "clean_predicted"]
    changed.loc[rows, ["success", "success_8bit"]] = False
    return changed


def changed(frame: pd.DataFrame, row: int, **values: object) -> pd.DataFrame:
    """The same but for some values of one row."""
    frame = frame.copy()
    for column, value in values.items():
        frame.loc[frame.index[row], column] = value
    return frame


def both_ways(one: Results, other: Results) -> ResultsDiff:
    """Compare, having seen that the order does not matter."""
    found, back = compare_results(one, other), compare_results(other, one)
    assert (found.kind, found.predictions, found.of) == (back.kind, back.predictions, back.of)
    assert found.largest == back.largest
    assert sorted((one.where, one.column) for one in found.departures) == sorted(
        (one.where, one.column) for one in back.departures
    )
    return found


def test_the_same_is_equal_in_any_order_of_rows_and_any_dtype(results: Results) -> None:
    other = Results(
        results.samples.sample(frac=1, random_state=0).astype({"label": str, "y": "int16"}),
        results.eer.iloc[::-1],
        results.leaderboard.iloc[::-1].reset_index(drop=True),
        dict(results.verdicts),
    )
    found = both_ways(results, other)
    assert (found.kind, found.predictions, dict(found.largest), found.departures) == (EQUAL, 0, {}, ())
    assert found.of == len(results.samples)
    assert str(found) == "equal"


def test_scores_in_their_last_digits_and_a_few_images_are_rounding(results: Results) -> None:
    other = flipped(results.samples, 3)
    other["score_msp"] += np.float32(1e-3)
    found = both_ways(results, results_of(other))
    assert found.departures == ()
    assert (found.kind, found.predictions) == (WITHIN_ROUNDING, 3)
    assert found.largest["samples.score_msp"] == pytest.approx(1e-3, rel=1e-3)
    assert "samples.score_likelihood" not in found.largest
    assert f"3 of {len(other)} predictions differ; largest difference of a figure: " in str(found)


def test_more_than_a_share_of_the_predictions_is_no_rounding(results: Results) -> None:
    least = int(0.005 * len(results.samples))
    within, beyond = (replace(results, samples=flipped(results.samples, least + more)) for more in (0, 1))
    assert both_ways(results, within).kind == WITHIN_ROUNDING
    found = both_ways(results, beyond)
    assert found.kind == DIFFERENT
    told = [(place.table, place.column) for place in found.departures]
    assert set(told) == {("samples", "predicted")}
    counts = [int(place.other.split()[2]) for place in found.departures]
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) == least + 1
    assert "mnist-lgm-s0, test, fgsm, Linf, eps 0.2, white-box, oblivious" in str(found.departures)


@pytest.mark.parametrize("table", ["samples", "eer", "leaderboard"])
def test_what_no_rounding_turns_must_be_the_same(results: Results, table: str) -> None:
    column, value = {"samples": ("y", 77), "eer": ("images", 7), "leaderboard": ("verdict", "x")}[table]
    frame = changed(getattr(results, table), 3, **{column: value})
    found = both_ways(results, replace(results, **{table: frame}))
    assert found.kind == DIFFERENT
    (only,) = found.departures
    assert (only.table, only.other) == (table, str(value))


@pytest.mark.parametrize(
    ("by", "kind"), [(0.0, WITHIN_ROUNDING), (0.0004, WITHIN_ROUNDING), (0.01, DIFFERENT)]
)
@pytest.mark.parametrize("side", ["low", "high"])
def test_a_figure_stays_in_the_others_interval(results: Results, side: str, by: float, kind: str) -> None:
    eer = results.eer
    row = int(np.flatnonzero((eer["adversarials"] >= 10) & (eer["eer_low"] < eer["eer_high"]))[5])
    before = eer.iloc[row]
    moved = before[f"eer_{side}"] + (by if side == "high" else -by)
    found = both_ways(results, replace(results, eer=changed(eer, row, eer=moved)))
    assert found.kind == kind
    assert found.largest["eer.eer"] == pytest.approx(abs(moved - before["eer"]))
    if kind == DIFFERENT:
        (only,) = found.departures
        assert (only.table, only.column) == ("eer", "eer")
        for part in (before["model"], before["attack"], f"eps {before['eps']:g}", before["detector"]):
            assert part in only.where.split(", ")
        assert str(found).startswith("different (0 of ")


def test_an_interval_that_moved_away_is_seen_from_either_side(results: Results) -> None:
    board = changed(results.leaderboard, 2, robust_accuracy_low=0.0, robust_accuracy_high=1.0)
    board = changed(board, 2, robust_accuracy=abs(board["robust_accuracy"].iloc[2] - 0.5))
    found = both_ways(results, replace(results, leaderboard=board))
    assert [place.column for place in found.departures] == ["robust_accuracy"]


def test_figures_that_no_table_tells_are_not_held(results: Results) -> None:
    few = changed(results.eer, 5, adversarials=9, eer=0.1, eer_low=0.1, eer_high=0.1)
    other = changed(few, 5, eer=0.4, eer_low=0.4, eer_high=0.4)
    assert compare_results(replace(results, eer=few), replace(results, eer=other)).kind == WITHIN_ROUNDING
    none = changed(few, 5, eer=np.nan)
    assert compare_results(replace(results, eer=few), replace(results, eer=none)).kind == WITHIN_ROUNDING
    none = changed(results.eer, 5, eer=np.nan)
    assert both_ways(results, replace(results, eer=none)).kind == DIFFERENT


def test_a_cell_that_moved_as_a_whole_is_no_rounding(results: Results) -> None:
    """No figure need notice: margins are in none, and an EER knows the order of the scores alone."""
    samples = results.samples
    pgd = (samples["attack"] == "fgsm") & (samples["eps"] == 0.1) & (samples["model"] == "mnist-lgm-s0")
    for column in ("margin", "score_msp"):
        for share, kind in ((0.4, WITHIN_ROUNDING), (0.6, DIFFERENT)):
            moved = pgd & (samples["id"] < 60_000 + share * 200)
            other = samples.assign(**{column: samples[column] + np.float32(0.5) * moved})
            found = both_ways(results, replace(results, samples=other))
            assert found.kind == kind
            assert found.largest[f"samples.{column}"] == pytest.approx(0.5, rel=1e-4)
        assert [(place.where, place.column) for place in found.departures] == [
            ("mnist-lgm-s0, test, fgsm, Linf, eps 0.1, white-box, oblivious", column)
        ]


def test_verdicts_must_be_the_same(results: Results) -> None:
    for verdicts in ({CLAIM: "not decided", "sanity checks": "12"}, {"sanity checks": "12"}):
        found = both_ways(results, replace(results, verdicts=verdicts))
        assert found.kind == DIFFERENT
        (only,) = found.departures
        assert str(only) == f"verdicts, {CLAIM}: holds -> {verdicts.get(CLAIM, 'none')}"


def test_what_is_missing_is_named(results: Results) -> None:
    samples = results.samples
    for rest, where, rows in (
        (samples[samples["model"] != "mnist-lgm-s0"], "model mnist-lgm-s0", 1000),
        (
            samples[(samples["model"] != "mnist-softmax-s0") | (samples["attack"] != "cw")],
            "mnist-softmax-s0, test, cw, L2, eps inf, white-box, oblivious",
            100,
        ),
    ):
        found = both_ways(results, replace(results, samples=rest))
        assert found.kind == DIFFERENT
        assert [(place.where, place.one, place.other) for place in found.departures] == [
            (where, f"{rows} rows", "none")
        ]
        assert found.of == len(rest)
    found = both_ways(results, replace(results, samples=samples.drop(columns="score_msp")))
    assert [str(place) for place in found.departures] == ["samples, score_msp: there -> none"]


def test_frames_from_before_the_registrys_names_are_understood(results: Results) -> None:
    """Then ``attack`` was the suite's label and ``label`` the class."""
    named = {"label": "attack", "y": "label"}
    older = replace(
        results,
        samples=results.samples.drop(columns="attack").rename(columns=named),
        eer=results.eer.drop(columns="attack").rename(columns=named),
    )
    assert both_ways(results, older).kind == EQUAL


def test_a_row_that_is_there_twice_is_refused(results: Results) -> None:
    twice = pd.concat([results.samples, results.samples.head(1)])
    with pytest.raises(ValueError, match="one-to-one"):
        compare_results(results, replace(results, samples=twice))
