"""The rules that any samples table keeps, held over the published ones."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gmbench.benchmark.analysis.eer_table import EER_COLUMNS
from gmbench.benchmark.analysis.leaderboard import leaderboard
from gmbench.benchmark.analysis.model_samples import fully_attacked, models_of
from gmbench.benchmark.analysis.samples_file import read_samples
from gmbench.benchmark.engine.suite import load_suite

PUBLISHED = sorted((Path(__file__).parents[3] / "results").glob("*/samples.parquet"))
DETECTOR = "msp"  # applies to every model
NO_EER = pd.DataFrame(columns=list(EER_COLUMNS))
NO_CHECKS = pd.DataFrame({"model": [], "check": [], "passed": [], "detail": []})


def test_there_are_published_samples():
    assert len(PUBLISHED) >= 3


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.parent.name)
def test_a_stronger_threat_model_is_never_safer(path):
    """On the images that two rows both count, plain and with a detector."""
    samples = read_samples(path, load_suite(path.parent.name))
    samples = samples[[name for name in samples if not name.startswith("score_")] + [f"score_{DETECTOR}"]]
    board = leaderboard(samples, NO_EER, NO_CHECKS).set_index(["model", "norm", "eps", "access", "awareness"])
    compared = 0
    for model in models_of(samples):
        rows = {threat: _row(model, threat) for threat in {outcome.threat for outcome in model.outcomes}}
        for threat, (met, robust, joint) in rows.items():
            told = board.loc[(model.name, threat.norm, threat.eps, threat.access, threat.awareness)]
            assert told["images"] == met.sum() > 0
            assert told["robust_accuracy"] == pytest.approx(robust[met].mean())
            assert told["joint_robust_accuracy"] == pytest.approx(joint[met].mean())
        for stronger, weaker in product(rows, rows):
            if stronger != weaker and stronger.permits(weaker):
                both = rows[stronger][0] & rows[weaker][0]
                assert both.any()
                for left, reference in zip(rows[stronger][1:], rows[weaker][1:], strict=True):
                    assert left[both].sum() <= reference[both].sum(), (model.name, stronger, weaker)
                    compared += 1
    assert compared > 0


def _row(model, threat):
    """What a row of the leaderboard counts: images, and which are robust and robust with the detector."""
    permitted = [outcome for outcome in model.outcomes if threat.permits(outcome.threat)]
    right, threshold = [model.clean_correct], model.threshold(DETECTOR, 0.05)
    accepted = [model.clean_scores(DETECTOR) <= threshold]
    for outcome in permitted:
        right.append(outcome.correct)
        accepted.append(np.zeros(len(model.clean), bool))
        accepted[-1][outcome.images] = outcome.scores(DETECTOR) <= threshold
    lost = np.logical_or.reduce([~one & kept for one, kept in zip(right, accepted, strict=True)])
    return fully_attacked(model, permitted), np.logical_and.reduce(right), ~lost
