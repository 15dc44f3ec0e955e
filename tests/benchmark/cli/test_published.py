"""What is published is what the code and the weights give on this machine, up to its rounding."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from gmbench.benchmark.analysis.results_diff import DIFFERENT, Results, compare_results
from gmbench.benchmark.report.results_folder import read_results

pytestmark = pytest.mark.usefixtures("no_figures")

DIGITS = Path(__file__).parents[3] / "results" / "digits-v2"
MODEL, ATTACKS, IMAGES = "digits-lgm-s0", ["fgsm", "pgd-margin"], 100


def part(results: Results, ids: set[int]) -> Results:
    """The rows of one model, some attacks and images; no tables, which are of all of them."""
    samples = results.samples
    chosen = (samples["model"] == MODEL) & samples["id"].isin(ids) & _label(samples).isin(["clean", *ATTACKS])
    scores = [name for name in samples if name.startswith("score_") and name != "score_msp"]
    tables = {"eer": results.eer.iloc[:0], "leaderboard": results.leaderboard.iloc[:0]}
    return replace(results, samples=samples[chosen].drop(columns=scores), verdicts={}, **tables)


def _label(frame: pd.DataFrame) -> pd.Series:
    """Give the suite's labels, wherever the frame has them."""
    plain = "label" not in frame or pd.api.types.is_numeric_dtype(frame["label"])
    return frame["attack" if plain else "label"].astype(str)


@pytest.mark.stored
def test_a_part_of_digits_v2_is_what_is_published(gmbench: Callable[..., int], tmp_path: Path) -> None:
    chosen = [word for attack in ATTACKS for word in ("--attacks", attack)]
    places = ["--store", tmp_path / "store", "--results", tmp_path]
    narrow = ["--models", MODEL, "--samples", IMAGES, "--detectors", "msp"]
    assert gmbench("run", "digits-v2", *narrow, *chosen, *places) == 0
    here = read_results(tmp_path / "digits-v2-narrowed")
    ids = set(here.samples["id"])
    found = compare_results(part(read_results(DIGITS), ids), part(here, ids))
    assert found.kind != DIFFERENT, str(found)
    assert found.of == 250 + IMAGES + 2 * 3 * IMAGES
