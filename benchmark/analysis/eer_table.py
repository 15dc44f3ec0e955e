"""The `eer` frame: how well each detector tells each attack's images from clean ones, with intervals.

One row per (model, attack, threat model, detector, population), none where the detector has no scores or the
attack knows another one: what was aimed at one detector says nothing of the rest.
Negatives are the clean versions of the very images that were attacked, misclassified ones included. Positives
are their adversarial versions on the 8-bit grid: "all", or the "successful" ones, which turned a right
prediction into a wrong one on that grid. Thresholds come from the clean validation images.
"""

from typing import Any

import numpy as np
import pandas as pd

from ...attacks.core.threat import THREAT_COLUMNS
from .metrics import auroc, detection_intervals, eer, tpr
from .model_samples import ModelSamples, Outcome, models_of

__all__ = ["EER_COLUMNS", "FPRS", "POPULATIONS", "eer_table"]

POPULATIONS = ("all", "successful")

FPRS = {1: 0.01, 5: 0.05, 10: 0.1}
"""The false positive rates at which detection is told, by their per cent."""

EER_COLUMNS = (
    *(
        "model",
        "loss",
        "seed",
        "attack",
        "label",
        *THREAT_COLUMNS,
        "detector",
        "population",
        "images",
        "adversarials",
        "success_rate",
    ),
    *(
        "eer",
        "eer_low",
        "eer_high",
        "auroc",
        "auroc_low",
        "auroc_high",
        *(f"tpr_at_{percent}_fpr" for percent in FPRS),
        "fpr_at_5",
    ),
)

_TEXT = ("model", "loss", "attack", "norm", "access", "awareness", "knows", "detector", "population")

Row = dict[str, Any]


def eer_table(samples: pd.DataFrame, *, resamples: int = 500) -> pd.DataFrame:
    """Compute the `eer` frame from the `samples` frame.

    ``success_rate`` is the share of the attacked images that were right when clean and are wrong now, on
    the 8-bit grid, among those that were right.

    Args:
        samples: One row per (model, cell, image).
        resamples: Of the bootstrap behind every interval.
    """
    rows = [row for model in models_of(samples) for row in _model_rows(model, resamples)]
    frame = pd.DataFrame(rows, columns=list(EER_COLUMNS))
    # without a row there is nothing to tell numbers by
    return frame if rows else frame.astype({name: float for name in EER_COLUMNS if name not in _TEXT})


def _model_rows(model: ModelSamples, resamples: int) -> list[Row]:
    thresholds = {
        detector: {percent: model.threshold(detector, fpr) for percent, fpr in FPRS.items()}
        for detector in model.detectors
    }
    named = {"model": model.name, "loss": model.loss, "seed": model.seed}
    return [
        {**named, **_cell(outcome), "detector": detector, **row}
        for outcome in model.outcomes
        for detector in model.detectors
        if detector in outcome.detectors and outcome.threat.knows in ("", detector)
        for row in _outcome_rows(model, outcome, detector, thresholds[detector], resamples)
    ]


def _cell(outcome: Outcome) -> Row:
    return {"attack": outcome.attack, "label": outcome.label, **outcome.threat.row()}


def _outcome_rows(
    model: ModelSamples, outcome: Outcome, detector: str, thresholds: dict[int, float], resamples: int
) -> list[Row]:
    clean, adversarial, success = (
        model.clean_scores(detector)[outcome.images],
        outcome.scores(detector),
        outcome.rounded_success,
    )
    right = int(model.clean_correct[outcome.images].sum())
    told = {
        "images": len(clean),
        "success_rate": success.sum() / right if right else np.nan,
        # what is rejected of the clean images: the same count over the other population
        "fpr_at_5": tpr(clean, thresholds[5]),
    }
    everything = np.ones(len(clean), bool)
    populations = dict(zip(POPULATIONS, (everything, success), strict=True))
    rows: list[Row] = []
    for population, positive in populations.items():
        if rows and positive.all():  # the same images again: a second bootstrap would tell nothing new
            rows.append({**rows[0], "population": population})
            continue
        scores = adversarial[positive]
        intervals = detection_intervals(clean, adversarial, positive, resamples=resamples)
        row: Row = {
            **told,
            "population": population,
            "adversarials": len(scores),
            "eer": eer(clean, scores),
            "auroc": auroc(clean, scores),
        }
        for statistic, (low, high) in intervals.items():
            row |= {f"{statistic}_low": low, f"{statistic}_high": high}
        rows.append(
            row
            | {f"tpr_at_{percent}_fpr": tpr(scores, threshold) for percent, threshold in thresholds.items()}
        )
    return rows
