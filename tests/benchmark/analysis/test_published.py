"""The rules that any samples table keeps, held over the published ones."""

from dataclasses import replace
from functools import cache, partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gmbench.attacks.core.threat import THREAT_COLUMNS
from gmbench.benchmark.analysis.eer_table import EER_COLUMNS
from gmbench.benchmark.analysis.leaderboard import leaderboard
from gmbench.benchmark.analysis.model_samples import fully_attacked, models_of
from gmbench.benchmark.analysis.samples_file import read_samples
from gmbench.benchmark.engine.suite import load_suite

PUBLISHED = sorted((Path(__file__).parents[3] / "results").glob("*/samples.parquet"))
DETECTOR = "msp"  # applies to every model
NO_EER = pd.DataFrame(columns=list(EER_COLUMNS))
NO_CHECKS = pd.DataFrame({"model": [], "check": [], "state": []})


def test_there_are_published_samples():
    assert len(PUBLISHED) >= 3


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.parent.name)
def test_a_stronger_threat_model_is_never_safer(path):
    """On the images that two rows both count, plain and with a detector."""
    samples = read_samples(path, load_suite(path.parent.name))
    known = {DETECTOR, *samples["knows"].astype(str)} - {""}
    kept = [name for name in samples if not name.startswith("score_") or name[6:] in known]
    samples = samples[kept]
    board = leaderboard(samples, NO_EER, NO_CHECKS).set_index(["model", *THREAT_COLUMNS, "detector"])
    compared = 0
    for model in models_of(samples):
        threats = {outcome.threat for outcome in model.outcomes}
        row_of = cache(partial(_row, model))
        for threat in threats:
            detector = threat.knows or DETECTOR
            met, robust, detected = row_of(threat, detector)
            told = board.loc[(model.name, *threat.row().values(), detector)]
            assert told["images"] == met.sum() > 0
            assert told["robust_accuracy"] == pytest.approx(robust[met].mean())
            assert told["robust_accuracy_with_detection"] == pytest.approx(detected[met].mean())
        for stronger, weaker in product(threats, threats):
            if stronger != weaker and stronger.permits(weaker):
                strong, weak = (row_of(threat, stronger.knows or DETECTOR) for threat in (stronger, weaker))
                both = strong[0] & weak[0]
                assert both.any()
                for left, reference in zip(strong[1:], weak[1:], strict=True):
                    assert left[both].sum() <= reference[both].sum(), (model.name, stronger, weaker)
                    compared += 1
    assert compared > 0


def _row(model, threat, detector):
    """What a row of the leaderboard counts: images, and which are robust and robust with the detector."""
    permitted = [outcome for outcome in model.outcomes if threat.permits(outcome.threat)]
    for outcome in model.outcomes:  # what is minimal counts at every eps that it fits into
        size = replace(outcome.threat, eps=threat.eps)
        if np.isinf(outcome.threat.eps) and np.isfinite(threat.eps) and threat.permits(size):
            permitted.append(outcome.within(threat.eps))
    right, threshold = [model.clean_correct], model.threshold(detector, 0.05)
    detected = [model.clean_correct & (model.clean_scores(detector) <= threshold)]
    for outcome in permitted:
        right.append(outcome.correct)
        held = np.ones(len(model.clean), bool)
        held[outcome.images] = ~outcome.samples["success_8bit"] | (outcome.scores(detector) > threshold)
        detected.append(held)
    return fully_attacked(model, permitted), np.logical_and.reduce(right), np.logical_and.reduce(detected)
