"""Checks of a model that its samples answer, and those that compare them with its inspection."""

from collections.abc import Iterator
from itertools import combinations, groupby

import numpy as np

from ...attacks.core.threat import ThreatModel
from ..engine.inspection.finding import Finding, State
from .attack_strength import TOLERANCE, Comparisons
from .evidence import Evidence
from .model_samples import NOISE, ModelSamples, Outcome, fully_attacked
from .verdict import more_often_than

__all__ = [
    "above_chance",
    "eight_bits",
    "huge_eps",
    "inside",
    "larger_eps",
    "noise_weakest",
    "second_engine",
    "stronger_attack",
    "white_box_strongest",
    "zero_gradients",
]

ZEROS = 0.1
"""The largest share of an attack's gradients that may be exactly 0."""

ROUNDED_AWAY = 0.05
"""The share of images, under one attack, whose success 8 bits may undo."""

HUGE = 0.5
"""From this Linf eps on every image's ball holds uniform grey: images of one class at most can withstand."""

SECOND_ENGINE = "torchattacks-"
"""What the registry's names of torchattacks' attacks begin with; ours of the same name follows."""

OUTSIDE = 1e-4
"""By which a perturbation may exceed its eps, relative: floats, and a size that was stored in float32."""

CHANCE = 0.01
"""The probability, under guessing, below which an accuracy counts as better."""


def larger_eps(evidence: Evidence) -> Iterator[Finding]:
    """Compare each eps with every larger one.

    Over the attacks that the threat model permits and that were run at both.

    The worst case over them and not each by itself: a single long step may well overshoot.
    """
    model = evidence.model
    comparisons = Comparisons(model)
    finite = [outcome.threat for outcome in model.outcomes if np.isfinite(outcome.threat.eps)]
    for norm, access, knows in sorted({(threat.norm, threat.access, threat.knows) for threat in finite}):
        for small, large in combinations(sorted({threat.eps for threat in finite if threat.norm == norm}), 2):
            weaker, stronger = (ThreatModel(norm, eps, access, knows) for eps in (small, large))
            weak, strong = _permitted(model, weaker), _permitted(model, stronger)
            both = weak.keys() & strong.keys()
            comparisons.together(
                [strong[key] for key in both], [weak[key] for key in both], str(stronger), weaker.size
            )
    yield from comparisons.finding()


def white_box_strongest(evidence: Evidence) -> Iterator[Finding]:
    """Compare the worst case over the white-box attacks with each other attack of the same size, by image."""
    comparisons = Comparisons(evidence.model)
    for outcomes in _by_size(evidence.model):
        white = [outcome for outcome in outcomes if _has_gradients(outcome)]
        for outcome in outcomes:
            if white and not _has_gradients(outcome):
                comparisons.by_image(
                    white, [outcome], f"white-box attacks, {outcome.threat.size}", outcome.label
                )
    yield from comparisons.finding()


def noise_weakest(evidence: Evidence) -> Iterator[Finding]:
    """Compare each attack that has gradients with noise of the same size."""
    comparisons = Comparisons(evidence.model)
    for outcomes in _by_size(evidence.model):
        noise = [outcome for outcome in outcomes if outcome.attack == NOISE]
        for outcome in outcomes:
            if noise and _has_gradients(outcome):
                cell = f"{outcome.label}, {outcome.threat.size}"
                comparisons.together([outcome], noise, cell, " and ".join(other.label for other in noise))
    yield from comparisons.finding()


def second_engine(evidence: Evidence) -> Iterator[Finding]:
    """Compare ours of a name, all its variants together, with torchattacks' under the same threat model."""
    model = evidence.model
    comparisons = Comparisons(model)
    for theirs in model.outcomes:
        if theirs.attack.startswith(SECOND_ENGINE):
            name = theirs.attack.removeprefix(SECOND_ENGINE)
            same = (outcome for outcome in model.outcomes if outcome.threat == theirs.threat)
            ours = [outcome for outcome in same if outcome.attack == name]
            comparisons.together(ours, [theirs], f"{name}, {theirs.threat.size}", theirs.label)
    yield from comparisons.finding()


def stronger_attack(evidence: Evidence) -> Iterator[Finding]:
    """Compare the suite's white-box worst case with what the inspection's attack found, image by image."""
    model = evidence.model
    found: list[tuple[float, str]] = []
    for one in evidence.inspected.get("stronger-attack", ()):
        if one.state == State.NOT_RUN:
            yield one
            continue
        white = [
            outcome
            for outcome in model.outcomes
            if _has_gradients(outcome) and (outcome.threat.norm, outcome.threat.eps) == (one.norm, one.eps)
        ]
        ids = model.clean["id"].to_numpy()
        both = fully_attacked(model, white) & np.isin(ids, one.met)
        if not white or not both.any():
            continue
        left = model.robust(white)[both]
        fallen = int((left & np.isin(ids[both], one.fooled)).sum())
        told = f"{fallen} of {int(both.sum())} images withstand the suite's {one.norm} {one.eps:g} alone"
        found.append((more_often_than(TOLERANCE, fallen, int(both.sum())), told))
    if found:
        p, told = min(found)
        yield Finding.statistical(min(1.0, len(found) * p), told)


def zero_gradients(evidence: Evidence) -> Iterator[Finding]:
    """Tell each attack's share of gradients that are exactly 0, from the cell where it is largest."""
    shares: dict[str, float] = {}
    for outcome in evidence.model.outcomes:
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
        yield Finding.told(False, "; ".join(flagged))
    elif shares:
        label = max(shares, key=lambda key: shares[key])
        yield Finding.told(True, f"at most {shares[label]:.1%} of gradients are exactly 0 ({label})")


def eight_bits(evidence: Evidence) -> Iterator[Finding]:
    """Tell the share of images whose success 8 bits undo, and whether that is more than `ROUNDED_AWAY`.

    Attacks that seek the smallest change stop at the boundary and may lose it.
    """
    told, p = [], 1.0
    for minimal in (False, True):
        outcomes = [one for one in evidence.model.outcomes if np.isinf(one.threat.eps) == minimal]
        lost = [(outcome.success & ~outcome.rounded_success, outcome) for outcome in outcomes]
        if lost:
            gone, outcome = max(lost, key=lambda pair: float(pair[0].mean()))
            cell = f"{outcome.label}, {outcome.threat.size}"
            told.append(f"{gone.mean():.1%} of images lose their success to rounding ({cell})")
            if not minimal:
                every = (more_often_than(ROUNDED_AWAY, int(one.sum()), len(one)) for one, _ in lost)
                p = min(1.0, len(lost) * min(every))
    if told:
        yield Finding.statistical(p, "; ".join(told))


def inside(evidence: Evidence) -> Iterator[Finding]:
    """See that no attacked image lies outside its ball, and that every margin is a number."""
    outside = broken = 0
    for outcome in evidence.model.outcomes:
        outside += int((outcome.samples["size"] > outcome.threat.eps * (1 + OUTSIDE) + 1e-6).sum())
        broken += int(outcome.samples[["size", "margin"]].isna().any(axis=1).sum())
    if evidence.model.outcomes:
        told = f"{outside} attacked images lie outside their ball, {broken} have no margin or size"
        yield Finding.told(not outside + broken, told)


def above_chance(evidence: Evidence) -> Iterator[Finding]:
    """Compare clean accuracy with the share of the most frequent class."""
    right, classes = evidence.model.clean_correct, evidence.model.clean["y"].value_counts()
    n, most = len(right), int(classes.iloc[0])
    if len(classes) > 1:
        p = more_often_than(most / n, int(right.sum()), n)
        told = f"{right.mean():.1%} of clean images are right, the most frequent class has {most / n:.1%}"
        yield Finding.told(p < CHANCE, told)


def huge_eps(evidence: Evidence) -> Iterator[Finding]:
    """Ask whether white-box attacks leave nothing at the largest Linf eps, if that is `HUGE`."""
    model = evidence.model
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
            yield Finding.told(left == 0, told)


def _permitted(model: ModelSamples, threat: ThreatModel) -> dict[tuple[str, str, str], Outcome]:
    """Find the attacks that a threat model permits, by what makes them the same attack at another eps."""
    permitted = model.permitted(threat)
    return {(one.label, one.threat.access, one.threat.knows): one for one in permitted}


def _has_gradients(outcome: Outcome) -> bool:
    return outcome.threat.has_gradients and outcome.attack != NOISE


def _by_size(model: ModelSamples) -> list[list[Outcome]]:
    def size(outcome: Outcome) -> tuple[str, float]:
        return outcome.threat.norm, outcome.threat.eps

    return [list(outcomes) for _, outcomes in groupby(sorted(model.outcomes, key=size), key=size)]
