"""The `leaderboard` frame: what is left of each model and detector under each threat model.

One row per (model, threat model, detector). What counts is the worst case per image over every attack that
the threat model *permits* (`Threat.permits`): same norm and eps; with the detector known also what needs no
such knowledge; with gradients also transfer and queries. An image counts over the attacks that were run on
it, noise among them. Source of "wrong and accepted": Carlini et al., "On evaluating adversarial robustness",
arXiv 1902.06705, section 5.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from .metrics import FEWEST, proportion_interval, tpr
from .model_samples import NOISE, Flags, ModelSamples, Outcome, Threat, fully_attacked, models_of

__all__ = ["LEADERBOARD_COLUMNS", "failed_checks", "leaderboard"]

FPR = 0.05
"""The share of clean validation images that a defense may reject in joint robust accuracy."""

UNCHECKED = "not checked"

NO_DETECTOR = ""
"""Stands for the detector of a model that has none: it has a robust accuracy all the same."""

LEADERBOARD_COLUMNS = (
    *("model", "loss", "seed", *Threat._fields, "detector", "images", "clean_accuracy", "attacks"),
    *("robust_accuracy", "robust_accuracy_low", "robust_accuracy_high"),
    *("joint_robust_accuracy", "joint_robust_accuracy_low", "joint_robust_accuracy_high", "fpr_at_5"),
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
    """Compute the `leaderboard` frame, best joint robust accuracy first under each threat model.

    ``images`` and all accuracies are of the test images that every attack of the very threat model was run
    on, see `fully_attacked`; what else it permits counts where it was run. ``mean_size`` is over the
    successes of all permitted attacks; ``forwards`` and ``backwards`` are each attack's mean per image, added
    up. EER, AUROC and TPR are the worst of the permitted attacks, each by itself, noise left out: it is no
    attack, and no detector need see it; for successes only attacks with `FEWEST` of them count.
    ``worst_attack`` gave ``eer_successful``.

    Args:
        samples: One row per (model, cell, image).
        eer: `eer_table` of these samples.
        checks: `run_checks` of these samples.
    """
    detection = defaultdict(list)
    for row in eer.itertuples(index=False):
        detection[row.model, row.detector].append(row)
    verdicts = defaultdict(list)
    for name, check, passed in zip(checks["model"], checks["check"], checks["passed"], strict=True):
        verdicts[name].append((check, passed))
    rows = []
    for model in models_of(samples):
        for threat in sorted({outcome.threat for outcome in model.outcomes}):
            permitted = [outcome for outcome in model.outcomes if threat.permits(outcome.threat)]
            shared = _threat_row(model, threat, permitted)
            for detector in model.detectors or (NO_DETECTOR,):
                judged = [
                    row
                    for row in detection[model.name, detector]
                    if threat.permits(_threat(row)) and row.attack != NOISE
                ]
                verdict = {"detector": detector, "verdict": _verdict(verdicts[model.name], detector)}
                rows.append(
                    {**shared, **_joint(model, threat, permitted, detector), **_worst(judged), **verdict}
                )
    frame = pd.DataFrame(rows, columns=list(LEADERBOARD_COLUMNS))
    ascending = [True] * len(Threat._fields) + [False, True, True]
    return frame.sort_values(
        [*Threat._fields, "joint_robust_accuracy", "model", "detector"],
        ascending=ascending,
        ignore_index=True,
    )


def _threat_row(model: ModelSamples, threat: Threat, permitted: Sequence[Outcome]) -> Row:
    ran = fully_attacked(model, threat)
    sizes = np.concatenate(
        [outcome.samples["size"].to_numpy(np.float64)[outcome.success] for outcome in permitted]
    )
    return {
        "model": model.name,
        "loss": model.loss,
        "seed": model.seed,
        **threat._asdict(),
        "images": int(ran.sum()),
        "clean_accuracy": model.clean_correct[ran].mean(),
        "attacks": ";".join(dict.fromkeys(outcome.attack for outcome in permitted)),
        **_share("robust_accuracy", model.robust(permitted)[ran]),
        "mean_size": sizes.mean() if len(sizes) else np.nan,
        "forwards": sum(outcome.samples["forwards"].mean() for outcome in permitted),
        "backwards": sum(outcome.samples["backwards"].mean() for outcome in permitted),
    }


def _joint(model: ModelSamples, threat: Threat, permitted: Sequence[Outcome], detector: str) -> Row:
    """Count an image as lost if it is wrong and accepted, clean or under any permitted attack."""
    unknown = dict.fromkeys(
        ("joint_robust_accuracy", "joint_robust_accuracy_low", "joint_robust_accuracy_high", "fpr_at_5"),
        np.nan,
    )
    if any(detector not in outcome.detectors for outcome in permitted):
        return unknown
    threshold = model.threshold(detector, FPR)
    if np.isnan(threshold):  # a comparison with NaN would call every image safe
        return unknown
    ran, clean = fully_attacked(model, threat), model.clean_scores(detector)
    lost = ~model.clean_correct & (clean <= threshold)
    for outcome in permitted:
        wrong = (outcome.samples["predicted"] != outcome.samples["label"]).to_numpy(bool)
        lost[outcome.images] |= wrong & (outcome.scores(detector) <= threshold)
    return _share("joint_robust_accuracy", ~lost[ran]) | {"fpr_at_5": tpr(clean[ran], threshold)}


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
        "worst_attack": max(told, key=lambda row: row.eer).attack if told else "",
    }


def _verdict(checks: Sequence[tuple[str, bool]], detector: str) -> str:
    """Join the failed checks; "check:detector" speaks of the rows of that detector alone."""
    told = [(check, passed) for check, passed in checks if ":" not in check or check.endswith(f":{detector}")]
    return "; ".join(check for check, passed in told if not passed) or ("ok" if told else UNCHECKED)


def _threat(row: Any) -> Threat:
    return Threat(row.norm, row.eps, row.access, row.awareness)


def _share(name: str, values: Flags) -> Row:
    low, high = proportion_interval(values)
    return {name: values.mean(), f"{name}_low": low, f"{name}_high": high}


def failed_checks(rows: pd.DataFrame) -> list[str]:
    """Name the sanity checks that any of these rows of the leaderboard failed.

    `UNCHECKED` where one was not checked.
    """
    parts = [part for verdict in rows["verdict"].astype(str) for part in verdict.split("; ")]
    return list(dict.fromkeys(part for part in parts if part != "ok"))
