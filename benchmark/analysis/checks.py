"""Sanity checks: does the evaluation itself look right?

A robust accuracy is an upper bound, which a broken attack leaves too high; an AUROC says nothing where the
score has the wrong sign. Each check is one function, from what is known of one model (its samples, its EERs,
its inspection) to findings; where it yields none it has not run. docs/checks.md has a paragraph on each.
Sources:

* C: Carlini et al., "On evaluating adversarial robustness", arXiv 1902.06705, sections 4 and 5.
* A: Athalye et al., "Obfuscated gradients give a false sense of security", arXiv 1802.00420, section 3.1.
* AA: the flags of AutoAttack, Croce and Hein, arXiv 2003.01690.
* Z: Zimmermann et al., "Increasing confidence in adversarial robustness evaluations", arXiv 2206.13991.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from ..engine.failure import Failure
from ..engine.inspection.finding import Finding, State, findings_of
from . import detector_checks as of_detectors
from . import sample_checks as of_samples
from .evidence import Evidence
from .model_samples import models_of
from .verdict import holm

__all__ = ["CHECKS", "CHECK_COLUMNS", "COMPLETED", "Check", "run_checks"]

CHECK_COLUMNS = ("model", "check", "state", "p", "detail", "advice")

COMPLETED = "completed"
"""The check that fails where a cell or a score of a model failed or is lacking: the rest is not all of it."""

TOLD = 5
"""Failures of one model that the page tells."""


@dataclass(frozen=True)
class Check:
    """One thing that must hold.

    Args:
        meaning: What, in a sentence.
        source: Who asks for it.
        advice: What to try where it fails.
        run: Yields the findings for one model. None: its inspection answers.
        wrong: Whether a failure shows the number wrong, and not merely doubtful.
        of_detectors: Whether each detector of the model is to be asked.
        optional: Whether it does not apply where nothing can be told, because a suite need not run what it
            needs.
    """

    meaning: str
    source: str
    advice: str
    run: Callable[[Evidence], Iterator[Finding]] | None = field(default=None, repr=False)
    wrong: bool = False
    of_detectors: bool = False
    optional: bool = False


def run_checks(
    samples: pd.DataFrame,
    eer: pd.DataFrame,
    failures: Sequence[Failure] = (),
    inspections: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Compute the `checks` frame, one row per model and check, in the state that the check is in.

    A check of detectors has one row per detector, "check:detector". What failed or is lacking is a failed
    check, `COMPLETED`: a worst case without the strongest attack looks better than it is.

    Args:
        samples: One row per (model, cell, image).
        eer: `eer_table` of these samples.
        failures: What there is no result of.
        inspections: Of the models that were inspected, see `inspections_frame`.
    """
    detection = {str(name): rows for name, rows in eer.groupby("model", observed=True)}
    inspected = _by_model(inspections)
    rows = []
    for model in models_of(samples):
        evidence = Evidence(model, detection.get(model.name, eer.iloc[:0]), inspected.get(model.name, {}))
        rows += [_row(model.name, name, found) for name, found in _judged(_found(evidence))]
    rows += [
        _row(model, COMPLETED, Finding(State.FAILED, _told([one for one in failures if one.model == model])))
        for model in dict.fromkeys(failure.model for failure in failures)
    ]
    return pd.DataFrame(rows, columns=list(CHECK_COLUMNS)).astype({"p": "float64"})


def _by_model(inspections: pd.DataFrame | None) -> Mapping[str, Mapping[str, Sequence[Finding]]]:
    if inspections is None:
        return {}
    found: dict[str, dict[str, list[Finding]]] = {}
    for model, table in inspections.groupby("model", observed=True):
        for check, finding in findings_of(table):
            found.setdefault(str(model), {}).setdefault(check, []).append(finding)
    return found


def _found(evidence: Evidence) -> Iterator[tuple[str, Finding]]:
    """Ask every check; one that says nothing has not run, or does not apply."""
    detectors = evidence.model.detectors
    for name, check in CHECKS.items():
        found = list(check.run(evidence)) if check.run else evidence.inspected.get(name, ())
        yield from ((name, one) for one in found)
        silent = State.NOT_APPLICABLE if check.optional else State.NOT_RUN
        why = "the suite runs nothing that it needs" if check.run else "the model was not inspected"
        told = {one.detector for one in found}
        for detector in detectors if check.of_detectors else ("",):
            if detector not in told and not (check.of_detectors and "" in told):
                yield name, Finding(silent, why, detector)


def _judged(found: Iterator[tuple[str, Finding]]) -> Iterator[tuple[str, Finding]]:
    """Let Holm's rule decide the statistical ones together, and say which failures show a number wrong."""
    every = list(found)
    for (name, one), refuted in zip(every, holm([one.p for _, one in every]), strict=True):
        failed = refuted or one.state == State.FAILED
        state = (State.BROKEN if CHECKS[name].wrong else State.FAILED) if failed else one.state
        yield name, replace(one, state=state)


def _row(model: str, name: str, found: Finding) -> tuple[object, ...]:
    told = f"{name}:{found.detector}" if found.detector else name
    fails = found.state in (State.FAILED, State.BROKEN)
    advice = CHECKS[name].advice if fails and name in CHECKS else ""
    return model, told, str(found.state), found.p, found.detail, advice


def _told(failures: Sequence[Failure]) -> str:
    """Say the first few failures, and how many more there are."""
    told = [": ".join(part for part in (failure.what, failure.why) if part) for failure in failures[:TOLD]]
    more = f"; and {len(failures) - TOLD} more" if len(failures) > TOLD else ""
    return "; ".join(told) + more


_MASKED = (
    "attack with the margin or dlr loss, in float64, or by queries (square); or through a smooth stand-in"
)

CHECKS = {
    "larger-eps": Check(
        "A larger eps leaves no more images robust.",
        "C",
        "give the attack more steps and restarts at the larger eps",
        of_samples.larger_eps,
        wrong=True,
    ),
    "white-box-strongest": Check(
        "What falls to queries, decisions, transfer or noise falls to white-box attacks, image by image.",
        "A, C",
        _MASKED,
        of_samples.white_box_strongest,
    ),
    "noise-weakest": Check(
        "No attack that has gradients is weaker than noise.", "A, C", _MASKED, of_samples.noise_weakest
    ),
    "stronger-attack": Check(
        "Ten times the steps, more restarts and targets fool no more images than the suite's attacks.",
        "C",
        "give the suite's attacks more steps, restarts and targets, or run autoattack",
        of_samples.stronger_attack,
        wrong=True,
    ),
    "zero-gradients": Check(
        "At most 10 % of an attack's gradients are exactly 0.", "A, AA", _MASKED, of_samples.zero_gradients
    ),
    "eight-bits": Check(
        "At most 5 % of images lose an attack's success to rounding to 8 bits.",
        "C",
        "choose an eps on the grid of grey levels, or let the attack go past the boundary",
        of_samples.eight_bits,
    ),
    "inside": Check(
        "Attacked images lie in their ball, and margins are numbers.",
        "C",
        "mend the attack, or the model that gives NaN",
        of_samples.inside,
        wrong=True,
    ),
    "above-chance": Check(
        "Clean images are classified better than by naming the most frequent class.",
        "C",
        "give the model the normalisation that it was trained with: mean and std",
        of_samples.above_chance,
        wrong=True,
    ),
    "huge-eps": Check(
        "White-box attacks with an Linf eps of .5 or more leave no image robust.",
        "A, C",
        _MASKED,
        of_samples.huge_eps,
        optional=True,
    ),
    "second-engine": Check(
        "Our attacks are as strong as those of torchattacks of the same name.",
        "C",
        "compare the two attacks' settings",
        of_samples.second_engine,
        optional=True,
    ),
    "repeatable": Check(
        "The same images get the same logits in every pass.",
        "A",
        "attack the mean over draws: draws = 10 in an attack of the suite",
    ),
    "batch-split": Check(
        "An image's logits do not depend on its batch.",
        "C",
        "set the model to evaluation mode, and let nothing be computed over the batch",
    ),
    "gradient-mode": Check(
        "The outputs are the same with gradients on and off.",
        "A",
        "give one model to the attack and to the judge",
        wrong=True,
    ),
    "caller": Check(
        "The outputs do not depend on what the caller holds.",
        "traps.md 31",
        "let the model look at its images alone, and run it as a guest: --defense FILE.py",
        wrong=True,
    ),
    "finite-logits": Check(
        "Logits are numbers, whatever the image.",
        "C",
        "find what overflows; compute it in float64",
        wrong=True,
    ),
    "probabilities": Check(
        "Logits are no probabilities or log-probabilities.",
        "A",
        "return what enters the softmax: energy and margins mean nothing behind it",
    ),
    "distinct-logits": Check(
        "Margins of different images differ: nothing rounds or saturates them.",
        "A, AA",
        "return logits before they are rounded or squashed; attack in float64",
    ),
    "finite-gradients": Check(
        "Gradients of every loss are numbers.", "A", "find what divides by 0 or takes the root of 0"
    ),
    "finite-differences": Check(
        "Gradients agree with finite differences on random directions.",
        "A",
        "replace what has no useful gradient by a smooth stand-in (BPDA), or attack by queries",
    ),
    "any-scale": Check(
        "The attack finds as much on logits plus a number and times a hundred.", "AA", _MASKED
    ),
    "unbounded-attack": Check("An attack without a bound leaves no image robust.", "A, C", _MASKED),
    "planted": Check(
        "An adversarial image that is planted in the ball is found in 95 of 100 cases.", "Z", _MASKED
    ),
    "leaked-answers": Check(
        "Shifted and turned test images lose no more right answers than validation images.",
        "the module `inspection.twins`",
        "train and tune without the test images",
    ),
    "leaked-images": Check(
        "Margins and logits do not tell test images from validation images.",
        "the module `inspection.twins`",
        "train and tune without the test images",
    ),
    "detector-sign": Check(
        "Adversarial images score as more suspicious than clean ones.",
        "the convention of `metrics`",
        "turn the score's sign; where it is right, the detector is fooled by attacks that do not know it",
        of_detectors.sign,
        of_detectors=True,
    ),
    "detector-constant": Check(
        "Different images score differently.",
        "the convention of `metrics`",
        "return a score before it is cut or rounded",
        of_detectors.not_constant,
        of_detectors=True,
    ),
    "detector-rejects": Check(
        "At 5 % FPR some image is rejected.",
        "Tramer, arXiv 2107.11630",
        "return a score that varies over clean images: no threshold rejects 5 % of them",
        of_detectors.rejects,
        of_detectors=True,
    ),
    "detector-fpr": Check(
        "A threshold from validation images rejects as many clean test images.",
        "Tramer, arXiv 2107.11630",
        "see that neither the validation nor the test images were used to build the detector",
        of_detectors.fpr_holds,
        of_detectors=True,
    ),
    "detector-repeatable": Check(
        "The same images get the same scores, whenever and in whatever company.",
        "traps.md 31",
        "keep no state between calls, and let nothing be computed over the batch",
        of_detectors=True,
    ),
    "detector-caller": Check(
        "Scores do not depend on what the caller holds.",
        "traps.md 31",
        "let the detector look at its images alone, and run it as a guest: --defense FILE.py",
        wrong=True,
        of_detectors=True,
    ),
    "detector-grid": Check(
        "A change of a grey level or less makes no clean image suspicious.",
        "traps.md 30",
        "score what rounding does not change: attacked images are judged on the 8-bit grid, too",
        of_detectors=True,
    ),
}
"""Every check by name, in the order in which they are told."""
