"""Labels are for people: whatever a suite calls its attacks, the tables say the same."""

import re

import pandas as pd
import pytest

from gmbench.benchmark.analysis.attack_series import middle_eps, verification_detectors
from gmbench.benchmark.analysis.checks import run_checks
from gmbench.benchmark.analysis.claims.comparison import SuiteResults
from gmbench.benchmark.analysis.eer_table import eer_table
from gmbench.benchmark.analysis.features.spread import shared_robustness
from gmbench.benchmark.analysis.leaderboard import leaderboard
from gmbench.benchmark.analysis.model_samples import models_of
from gmbench.benchmark.report.claims_section import claims_markdown
from gmbench.benchmark.report.headline import summary_markdown
from gmbench.benchmark.report.paper_section import paper_markdown

EPS = (0.1, 0.3)
WHITE = ("white-box", "oblivious")
ATTACKS = (
    ("uniform-noise", "Linf", EPS, "decision", "oblivious", 0.1, 1.0),
    ("fgsm", "Linf", EPS, *WHITE, 0.6, 1.0),
    ("likelihood-fgsm", "Linf", EPS, "white-box", "adaptive", 0.5, 1.0),
    ("pgd-ce", "Linf", EPS, *WHITE, 0.7, 1.0),
    ("pgd-margin", "Linf", EPS, *WHITE, 1.0, 1.0),
    ("torchattacks-pgd", "Linf", EPS, *WHITE, 1.3, 1.0),
    ("transfer-pgd", "Linf", EPS, "transfer", "oblivious", 0.4, 1.0),
    ("square", "Linf", EPS, "query", "oblivious", 0.8, 0.5),
    ("cw", "L2", (float("inf"),), *WHITE, 1.0, 0.5),
)
LABELS = [attack[0] for attack in ATTACKS]
OTHERS = {label: f"attack-{len(LABELS) - place:02}" for place, label in enumerate(LABELS)}
BACK = {other: label for label, other in OTHERS.items()}


@pytest.fixture(scope="module")
def samples(make_samples):
    return make_samples(
        seeds=(0,), images=100, validation=60, attacks=ATTACKS, detectors=("likelihood", "msp")
    )


@pytest.fixture(scope="module")
def relabelled(samples):
    return samples.assign(label=samples["label"].astype(str).replace(OTHERS).astype("category"))


def tables(samples):
    eer = eer_table(samples, resamples=20)
    checks = run_checks(samples, eer)
    return eer, checks, leaderboard(samples, eer, checks)


def blind(text):
    """Say the same without the labels, which may stand in another order."""
    words = sorted([*LABELS, *BACK], key=len, reverse=True)
    return re.sub("|".join(rf"(?<![\w-]){word}(?![\w-])" for word in words), "LABEL", str(text))


def test_every_number_and_verdict_is_the_same_under_other_labels(samples, relabelled):
    (eer, checks, board), (eer2, checks2, board2) = tables(samples), tables(relabelled)
    assert set(eer2["label"]) == set(BACK)
    assert (checks["state"] == "failed").any()  # a second engine is stronger here
    keys = ["model", "label", "eps", "detector", "population"]
    eer2 = eer2.assign(label=eer2["label"].replace(BACK))
    pd.testing.assert_frame_equal(*(frame.sort_values(keys, ignore_index=True) for frame in (eer, eer2)))
    pd.testing.assert_frame_equal(
        *(frame.assign(detail=frame["detail"].map(blind)) for frame in (checks, checks2))
    )

    def plain(frame):
        attacks = [";".join(sorted(BACK.get(one, one) for one in row.split(";"))) for row in frame["attacks"]]
        return frame.assign(worst_attack=frame["worst_attack"].replace(BACK), attacks=attacks)

    pd.testing.assert_frame_equal(plain(board), plain(board2))


def test_the_page_says_the_same_under_other_labels(samples, relabelled):
    pages = []
    for frame in (samples, relabelled):
        eer, _, board = tables(frame)
        models = models_of(frame)
        detectors = verification_detectors(models)
        results = SuiteResults(eer, board, detectors)
        told = summary_markdown(eer, board, detectors), claims_markdown(results), paper_markdown(eer)
        assert all(told)
        pages.append((blind("\n".join(told)), middle_eps(models), blind(shared_robustness(models))))
    assert pages[0] == pages[1]
