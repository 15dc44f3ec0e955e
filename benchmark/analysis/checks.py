"""Sanity checks: does the evaluation itself look right?

A robust accuracy is an upper bound, which a broken attack leaves too high; an AUROC says nothing where the
score has the wrong sign. Each check is one function, from one model's samples and EERs to findings; it yields
none where the cells that it needs were not run. Sources:

* C: Carlini et al., "On evaluating adversarial robustness", arXiv 1902.06705, sections 4 and 5.
* A: Athalye et al., "Obfuscated gradients give a false sense of security", arXiv 1802.00420, section 3.1.
* AA: the flags of AutoAttack, Croce and Hein, arXiv 2003.01690.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, groupby

import numpy as np
import pandas as pd

from ...attacks.core.threat import ThreatModel
from ..engine.failure import Failure
from .attack_strength import Comparisons
from .model_samples import NOISE, ModelSamples, Outcome, fully_attacked, models_of

__all__ = ["CHECKS", "CHECK_COLUMNS", "COMPLETED", "Check", "Finding", "run_checks"]

CHECK_COLUMNS = ("model", "check", "passed", "detail")

COMPLETED = "completed"
"""The check that fails where a cell or a score of a model failed or is lacking: the rest is not all of it."""

ZEROS = 0.1
"""The largest share of an attack's gradients that may be exactly 0."""

ROUNDED_AWAY = 0.05
"""The share of images, under one attack, from which on successes that 8 bits undo are too many."""

HUGE = 0.5
"""From this Linf eps on every image's ball holds uniform grey: images of one class at most can withstand."""

SECOND_ENGINE = "torchattacks-"
"""What the registry's names of torchattacks' attacks begin with; ours of the same name follows."""

TOLD = 5
"""Failures of one model that the page tells."""


@dataclass(frozen=True)
class Finding:
    """What a check found for one model.

    Args:
        passed: Whether all is as it should be.
        detail: One short sentence with the numbers.
        detector: The detector it speaks of; empty where it speaks of the model.
    """

    passed: bool
    detail: str
    detector: str = ""


@dataclass(frozen=True)
class Check:
    """One thing that must hold.

    Args:
        meaning: What, in a sentence.
        source: Who asks for it.
        run: Yields the findings for one model, from its samples and its rows of the `eer` frame.
    """

    meaning: str
    source: str
    run: Callable[[ModelSamples, pd.DataFrame], Iterator[Finding]]


def run_checks(samples: pd.DataFrame, eer: pd.DataFrame, failures: Sequence[Failure] = ()) -> pd.DataFrame:
    """Compute the `checks` frame, one row per (model, check) that can be told.

    A check of detectors has one per detector, "check:detector". What failed or is lacking is a failed check,
    `COMPLETED`: a worst case without the strongest attack looks better than it is.

    Args:
        samples: One row per (model, cell, image).
        eer: `eer_table` of these samples.
        failures: What there is no result of.
    """
    detection = {str(name): rows for name, rows in eer.groupby("model", observed=True)}
    rows = [
        (
            model.name,
            f"{name}:{finding.detector}" if finding.detector else name,
            finding.passed,
            finding.detail,
        )
        for model in models_of(samples)
        for name, check in CHECKS.items()
        for finding in check.run(model, detection.get(model.name, eer.iloc[:0]))
    ]
    rows += [
        (model, COMPLETED, False, _told([failure for failure in failures if failure.model == model]))
        for model in dict.fromkeys(failure.model for failure in failures)
    ]
    return pd.DataFrame(rows, columns=list(CHECK_COLUMNS)).astype({"passed": bool})


def _told(failures: Sequence[Failure]) -> str:
    """Say the first few failures, and how many more there are."""
    told = [": ".join(part for part in (failure.what, failure.why) if part) for failure in failures[:TOLD]]
    more = f"; and {len(failures) - TOLD} more" if len(failures) > TOLD else ""
    return "; ".join(told) + more


def larger_eps(model: ModelSamples, _eer: pd.DataFrame) -> Iterator[Finding]:
    """Compare each eps with every larger one.

    Over the attacks that the threat model permits and that were run at both.

    The worst case over them and not each by itself: a single long step may well overshoot.
    """
    comparisons = Comparisons(model)
    finite = [outcome.threat for outcome in model.outcomes if np.isfinite(outcome.threat.eps)]
    for norm, access, awareness in sorted(
        {(threat.norm, threat.access, threat.awareness) for threat in finite}
    ):
        for small, large in combinations(sorted({threat.eps for threat in finite if threat.norm == norm}), 2):
            weaker, stronger = (
                _permitted(model, ThreatModel(norm, eps, access, awareness)) for eps in (small, large)
            )
            both = weaker.keys() & stronger.keys()
            names = f"{norm} {large:g} ({access}, {awareness})", f"{norm} {small:g}"
            comparisons.add([stronger[key] for key in both], [weaker[key] for key in both], *names)
    yield from _finding(comparisons)


def white_box_strongest(model: ModelSamples, _eer: pd.DataFrame) -> Iterator[Finding]:
    """Compare the worst case over the white-box attacks with each black-box attack of the same size."""
    comparisons = Comparisons(model)
    for outcomes in _by_size(model):
        white = [outcome for outcome in outcomes if _has_gradients(outcome)]
        for outcome in outcomes:
            if not outcome.threat.has_gradients and outcome.attack != NOISE:
                comparisons.add(white, [outcome], f"white-box attacks, {outcome.threat.size}", outcome.label)
    yield from _finding(comparisons)


def noise_weakest(model: ModelSamples, _eer: pd.DataFrame) -> Iterator[Finding]:
    """Compare each attack that has gradients with noise of the same size."""
    comparisons = Comparisons(model)
    for outcomes in _by_size(model):
        noise = [outcome for outcome in outcomes if outcome.attack == NOISE]
        for outcome in outcomes:
            if noise and _has_gradients(outcome):
                cell = f"{outcome.label}, {outcome.threat.size}"
                comparisons.add([outcome], noise, cell, " and ".join(other.label for other in noise))
    yield from _finding(comparisons)


def zero_gradients(model: ModelSamples, _eer: pd.DataFrame) -> Iterator[Finding]:
    """Tell each attack's share of gradients that are exactly 0, from the cell where it is largest."""
    shares: dict[str, float] = {}
    for outcome in model.outcomes:
        if total := int(outcome.samples["backwards"].sum()):
            shares[outcome.label] = max(
                shares.get(outcome.label, 0.0), int(outcome.samples["zeros"].sum()) / total
            )
    flagged = [
        f"{label}: {share:.0%} of gradients are exactly 0: its robust accuracy means nothing"
        for label, share in shares.items()
        if share > ZEROS
    ]
    if flagged:
        yield Finding(False, "; ".join(flagged))
    elif shares:
        label = max(shares, key=lambda key: shares[key])
        yield Finding(True, f"at most {shares[label]:.1%} of gradients are exactly 0 ({label})")


def eight_bits(model: ModelSamples, _eer: pd.DataFrame) -> Iterator[Finding]:
    """Tell the share of images whose success 8 bits undo.

    Attacks that seek the smallest change stop at the boundary and may lose it.
    """
    told, passed = [], True
    for minimal in (False, True):
        outcomes = [outcome for outcome in model.outcomes if np.isinf(outcome.threat.eps) == minimal]
        lost = [
            (float((outcome.success & ~outcome.samples["success_8bit"].to_numpy(bool)).mean()), outcome)
            for outcome in outcomes
        ]
        if lost:
            share, outcome = max(lost, key=lambda pair: pair[0])
            cell = f"{outcome.label}, {outcome.threat.size}"
            told.append(f"{share:.1%} of images lose their success to rounding ({cell})")
            passed &= minimal or share < ROUNDED_AWAY
    if told:
        yield Finding(passed, "; ".join(told))


def detector_sign(_model: ModelSamples, eer: pd.DataFrame) -> Iterator[Finding]:
    """Ask of each detector whether most adversarials come from attacks that it ranks, beyond chance.

    Below clean images.

    Over the attacks that do not know the detector, noise left out: over their successes or, where there are
    none at all, all their images.
    """
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
            yield Finding(
                False, f"{ranks}: wrong sign, or fooled; higher must mean more suspicious", str(detector)
            )
        else:
            yield Finding(True, f"{told} on average over oblivious attacks", str(detector))


def huge_eps(model: ModelSamples, _eer: pd.DataFrame) -> Iterator[Finding]:
    """Ask whether white-box attacks leave nothing at the largest Linf eps, if that is `HUGE`."""
    white = [
        outcome for outcome in model.outcomes if _has_gradients(outcome) and outcome.threat.norm == "Linf"
    ]
    largest = max((outcome.threat.eps for outcome in white if np.isfinite(outcome.threat.eps)), default=0.0)
    if largest >= HUGE:
        outcomes = [outcome for outcome in white if outcome.threat.eps == largest]
        met = fully_attacked(model, outcomes)
        if met.any():
            left = float(model.robust(outcomes)[met].mean())
            told = f"{left:.1%} of images withstand the white-box attacks at Linf {largest:g}"
            yield Finding(left == 0, told)


def second_engine(model: ModelSamples, _eer: pd.DataFrame) -> Iterator[Finding]:
    """Compare ours of a name, all its variants together, with torchattacks' under the same threat model."""
    comparisons = Comparisons(model)
    for theirs in model.outcomes:
        if theirs.attack.startswith(SECOND_ENGINE):
            name = theirs.attack.removeprefix(SECOND_ENGINE)
            same = (outcome for outcome in model.outcomes if outcome.threat == theirs.threat)
            ours = [outcome for outcome in same if outcome.attack == name]
            comparisons.add(ours, [theirs], f"{name}, {theirs.threat.size}", theirs.label)
    yield from _finding(comparisons)


CHECKS = {
    "larger-eps": Check("A larger eps leaves no more images robust.", "C", larger_eps),
    "white-box-strongest": Check(
        "White-box attacks together are as strong as each black-box attack.", "A, C", white_box_strongest
    ),
    "noise-weakest": Check("No attack that has gradients is weaker than noise.", "A, C", noise_weakest),
    "zero-gradients": Check("At most 10 % of an attack's gradients are exactly 0.", "A, AA", zero_gradients),
    "eight-bits": Check(
        "Under 5 % of images lose an attack's success to rounding to 8 bits.", "C", eight_bits
    ),
    "detector-sign": Check(
        "Adversarial images score as more suspicious than clean ones.",
        "the convention of `metrics`",
        detector_sign,
    ),
    "huge-eps": Check(
        "White-box attacks with an Linf eps of .5 or more leave no image robust.", "A, C", huge_eps
    ),
    "second-engine": Check(
        "Our attacks are as strong as those of torchattacks of the same name.", "C", second_engine
    ),
}
"""Every check by name, in the order in which they are told."""


def _finding(comparisons: Comparisons) -> Iterator[Finding]:
    if comparisons.worst is not None:
        yield Finding(*comparisons.worst)


def _permitted(model: ModelSamples, threat: ThreatModel) -> dict[tuple[str, str, str], Outcome]:
    """Find the attacks that a threat model permits, by what makes them the same attack at another eps."""
    permitted = (outcome for outcome in model.outcomes if threat.permits(outcome.threat))
    return {
        (outcome.label, outcome.threat.access, outcome.threat.awareness): outcome for outcome in permitted
    }


def _has_gradients(outcome: Outcome) -> bool:
    return outcome.threat.has_gradients and outcome.attack != NOISE


def _by_size(model: ModelSamples) -> list[list[Outcome]]:
    def size(outcome: Outcome) -> tuple[str, float]:
        return outcome.threat.norm, outcome.threat.eps

    return [list(outcomes) for _, outcomes in groupby(sorted(model.outcomes, key=size), key=size)]
