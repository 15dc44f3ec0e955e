"""The `leaderboard` frame: what is left of each model and detector under each threat model.

One row per (model, threat model, detector). A proposal of minimal norm counts at every eps not below its
size. What counts is the worst case per image over every attack that
the threat model *permits* (`ThreatModel.permits`), noise among them, on the images that all of these attacks
were run on: so that, on the images that two rows both count, the stronger threat model is never the safer
one. Source of "wrong and accepted": Carlini et al., "On evaluating adversarial robustness", arXiv 1902.06705,
section 5.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...attacks.core.threat import THREAT_COLUMNS, ThreatModel
from ...detectors.threshold import FPR
from ..engine.inspection.finding import State
from .metrics import FEWEST, WITH_DETECTION, proportion_interval, tpr
from .model_samples import NOISE, Flags, ModelSamples, Outcome, fully_attacked, models_of
from .verdict import VERDICTS, verdict

__all__ = ["LEADERBOARD_COLUMNS", "failed_checks", "leaderboard", "verdict_text"]

NO_DETECTOR = ""
"""Stands for the detector of a model that has none: it has a robust accuracy all the same."""

LEADERBOARD_COLUMNS = (
    *("model", "loss", "seed", *THREAT_COLUMNS, "detector", "images", "clean_accuracy", "attacks"),
    *("robust_accuracy", "robust_accuracy_low", "robust_accuracy_high"),
    *(f"{WITH_DETECTION}{end}" for end in ("", "_low", "_high")),
    *("clean_accepted", "fpr_at_5", "sr_at_5"),
    *(
        "eer_all",
        "eer_successful",
        "auroc_all",
        "auroc_successful",
        "tpr_at_5_fpr_successful",
        "worst_attack",
    ),
    *("mean_size", "forwards", "backwards", "verdict"),
)

Row = dict[str, Any]


def leaderboard(samples: pd.DataFrame, eer: pd.DataFrame, checks: pd.DataFrame) -> pd.DataFrame:
    """Compute the `leaderboard` frame, best robust accuracy with detection first under each threat model.

    ``images`` and all accuracies are of the test images that every permitted attack was run on, see
    `fully_attacked`; where there are none the accuracies are NaN. ``mean_size`` is over the successes of all
    permitted attacks; ``forwards`` and ``backwards`` are each attack's mean per image, added up. EER, AUROC
    and TPR are the worst of the permitted attacks, each by itself and over all of its images, noise left out:
    it is no attack, and no detector need see it; for successes only attacks with `FEWEST` of them count.
    ``worst_attack`` gave ``eer_successful``.

    Args:
        samples: One row per (model, cell, image).
        eer: `eer_table` of these samples.
        checks: `run_checks` of these samples.
    """
    detection = defaultdict(list)
    for row in eer.itertuples(index=False):
        if row.attack != NOISE:
            detection[row.model, row.detector].append((ThreatModel.of_row(row), row))
    states = defaultdict(list)
    for name, check, state in zip(checks["model"], checks["check"], checks["state"], strict=True):
        states[name].append((check, State(state)))
    rows = []
    for model in models_of(samples):
        for threat in sorted({outcome.threat for outcome in model.outcomes}):
            permitted = model.permitted(threat)
            shared = _threat_row(model, threat, permitted)
            for detector in _judged(model, threat):
                judged = [row for other, row in detection[model.name, detector] if threat.permits(other)]
                judgement = {"detector": detector, "verdict": _verdict(states[model.name], detector)}
                detected, worst = _detected(model, permitted, detector), _worst(judged)
                rows.append({**shared, **detected, **worst, **judgement})
    frame = pd.DataFrame(rows, columns=list(LEADERBOARD_COLUMNS))
    sections = [name for name in THREAT_COLUMNS if name != "knows"]
    ascending = [True] * len(sections) + [False, True, True]
    return frame.sort_values(
        [*sections, WITH_DETECTION, "model", "detector"],
        ascending=ascending,
        ignore_index=True,
    )


def _judged(model: ModelSamples, threat: ThreatModel) -> tuple[str, ...]:
    """Name the detectors that a threat model says something of: all, or the one that it knows."""
    if threat.knows_detector:
        return (threat.knows,)
    return model.detectors or (NO_DETECTOR,)


def _threat_row(model: ModelSamples, threat: ThreatModel, permitted: Sequence[Outcome]) -> Row:
    ran = fully_attacked(model, permitted)
    sizes = np.concatenate(
        [outcome.samples["size"].to_numpy(np.float64)[outcome.success] for outcome in permitted]
    )
    return {
        "model": model.name,
        "loss": model.loss,
        "seed": model.seed,
        **threat.row(),
        "images": int(ran.sum()),
        "clean_accuracy": _mean(model.clean_correct[ran]),
        "attacks": ";".join(dict.fromkeys(outcome.label for outcome in permitted)),
        **_share("robust_accuracy", model.robust(permitted)[ran]),
        "mean_size": sizes.mean() if len(sizes) else np.nan,
        "forwards": sum(outcome.samples["forwards"].mean() for outcome in permitted),
        "backwards": sum(outcome.samples["backwards"].mean() for outcome in permitted),
    }


def _detected(model: ModelSamples, permitted: Sequence[Outcome], detector: str) -> Row:
    """Count an image as lost if it is wrong or rejected when clean, or wrong and accepted under attack.

    Robust accuracy with detection (Tramer 2022); under attack the rounded image counts, which was scored.
    """
    unknown = dict.fromkeys(
        (
            *(f"{WITH_DETECTION}{end}" for end in ("", "_low", "_high")),
            *("clean_accepted", "fpr_at_5", "sr_at_5"),
        ),
        np.nan,
    )
    if any(detector not in outcome.detectors for outcome in permitted):
        return unknown
    threshold = model.threshold(detector, FPR)
    if np.isnan(threshold):  # a comparison with NaN would call every image safe
        return unknown
    ran, clean = fully_attacked(model, permitted), model.clean_scores(detector)
    evaded = np.zeros(len(clean), bool)
    for outcome in permitted:
        evaded[outcome.images] |= outcome.rounded_success & (outcome.scores(detector) <= threshold)
    accepted = model.clean_correct & (clean <= threshold)
    return _share(WITH_DETECTION, (accepted & ~evaded)[ran]) | {
        "clean_accepted": _mean(accepted[ran]),
        "fpr_at_5": tpr(clean[ran], threshold),
        "sr_at_5": _mean(evaded[ran & model.clean_correct]),
    }


def _worst(judged: Sequence[Any]) -> Row:
    """Take the detector's worst figure over the permitted attacks, whichever attack each comes from."""
    every = [row for row in judged if row.population == "all"]
    told = [row for row in judged if row.population == "successful" and row.adversarials >= FEWEST]
    return {
        "eer_all": max((row.eer for row in every), default=np.nan),
        "eer_successful": max((row.eer for row in told), default=np.nan),
        "auroc_all": min((row.auroc for row in every), default=np.nan),
        "auroc_successful": min((row.auroc for row in told), default=np.nan),
        "tpr_at_5_fpr_successful": min((row.tpr_at_5_fpr for row in told), default=np.nan),
        "worst_attack": max(told, key=lambda row: row.eer).label if told else "",
    }


def _verdict(checks: Sequence[tuple[str, State]], detector: str) -> str:
    """Say the verdict and the failed checks; "check:detector" speaks of the rows of that detector alone."""
    told = [(check, state) for check, state in checks if ":" not in check or check.endswith(f":{detector}")]
    failed = [check for check, state in told if state in (State.FAILED, State.BROKEN)]
    return _written(verdict(state for _, state in told), failed)


def _written(word: str, failed: Sequence[str]) -> str:
    """Write a verdict: "sound", or "suspect: planted; zero-gradients"."""
    return ": ".join(part for part in (word, "; ".join(failed)) if part)


def _share(name: str, values: Flags) -> Row:
    low, high = proportion_interval(values)
    return {name: _mean(values), f"{name}_low": low, f"{name}_high": high}


def _mean(values: Flags) -> float:
    """Compute the share; NaN where no image met every attack."""
    return float(values.mean()) if len(values) else np.nan


def failed_checks(rows: pd.DataFrame) -> list[str]:
    """Name the checks that any of these rows of the leaderboard failed."""
    named = [str(told).partition(": ")[2] for told in rows["verdict"]]
    return list(dict.fromkeys(part for told in named for part in told.split("; ") if part))


def verdict_text(rows: pd.DataFrame) -> str:
    """Say the worst verdict of these rows, and which checks failed."""
    words = [str(told).partition(": ")[0] for told in rows["verdict"]]
    return _written(max(words, key=VERDICTS.index), failed_checks(rows))
