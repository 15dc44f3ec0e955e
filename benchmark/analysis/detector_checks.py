"""Checks of a model's detectors, from the scores of its samples."""

from collections.abc import Iterator

import numpy as np

from ...attacks.core.threat import ThreatModel
from ..engine.inspection.finding import Finding
from .evidence import Evidence
from .model_samples import NOISE
from .verdict import same_quantile

__all__ = ["fpr_holds", "not_constant", "rejects", "sign"]

FPR = 0.05

EQUAL = 0.95
"""The share of clean images that may have one and the same score."""

FEWEST = 100
"""Scores, clean and attacked, of which one at least is rejected."""


def sign(evidence: Evidence) -> Iterator[Finding]:
    """Ask of each detector whether most adversarials come from attacks that it ranks, beyond chance.

    Below clean images.

    Over the attacks that do not know the detector, noise left out: over their successes or, where there are
    none at all, all their images.
    """
    eer = evidence.eer
    oblivious = [not ThreatModel.of_row(row).knows_detector for row in eer.itertuples(index=False)]
    blind = eer[np.array(oblivious, bool) & (eer["attack"] != NOISE) & (eer["adversarials"] > 0)]
    for detector, rows in blind.groupby("detector", observed=True):
        successful = rows[rows["population"] == "successful"]
        judged = rows if successful.empty else successful
        weights = judged["adversarials"]
        told = f"AUROC {np.average(judged['auroc'], weights=weights):.2f}"
        if weights[judged["auroc_high"] < 0.5].sum() > weights.sum() / 2:
            ranks = (
                f"score_{detector} ranks oblivious adversarials as less suspicious than clean images ({told})"
            )
            yield Finding.told(
                False, f"{ranks}: wrong sign, or fooled; higher must mean more suspicious", str(detector)
            )
        else:
            yield Finding.told(True, f"{told} on average over oblivious attacks", str(detector))


def not_constant(evidence: Evidence) -> Iterator[Finding]:
    """Tell the share of clean test images that have the most frequent score."""
    for detector in evidence.model.detectors:
        _, counts = np.unique(evidence.model.clean_scores(detector), return_counts=True)
        share = counts.max() / counts.sum()
        alone = counts.sum() == 1
        yield Finding.told(
            bool(alone or share < EQUAL), f"{share:.1%} of clean images score the same", detector
        )


def rejects(evidence: Evidence) -> Iterator[Finding]:
    """See whether the threshold rejects anything at all, clean or attacked."""
    model = evidence.model
    for detector in model.detectors:
        threshold = model.threshold(detector, FPR)
        if np.isnan(threshold):
            continue
        every = [model.clean_scores(detector)]
        every += [one.scores(detector) for one in model.outcomes if detector in one.detectors]
        scores = np.concatenate(every)
        rejected = int((scores > threshold).sum())
        told = f"{rejected} of {len(scores)} clean and attacked test images are rejected"
        yield Finding.told(rejected > 0 or len(scores) < FEWEST, told, detector)


def fpr_holds(evidence: Evidence) -> Iterator[Finding]:
    """Compare how many test images a threshold rejects with what validation images promise."""
    model = evidence.model
    for detector in model.detectors:
        threshold, clean = model.threshold(detector, FPR), model.clean_scores(detector)
        if np.isnan(threshold):
            continue
        held = model.validation_scores(detector)
        p = same_quantile(
            over=int((held > threshold).sum()),
            held=len(held),
            at_least=int((held >= threshold).sum()),
            above=int((clean > threshold).sum()),
            reached=int((clean >= threshold).sum()),
            n=len(clean),
        )
        shares = [f"{(scores > threshold).mean():.1%}" for scores in (held, clean)]
        told = f"{shares[0]} of validation and {shares[1]} of test images are rejected"
        yield Finding.statistical(p, told, detector)
