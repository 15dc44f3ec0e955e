"""Inspects one entrant: everything that the model itself must be asked, as an entry of the store.

A pure function of its description, like a cell. Each check is asked by itself: one that raises has not run,
and stops no other.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from ....attacks.core.threat import ThreatModel
from ....detectors import Detector
from ...data.image_set import ImageSet
from ..cell import NUMERICS, Cell
from ..defense import Entrant
from ..entry import Entry
from ..failure import say
from ..machine import describe_machine
from ..passes import outputs_of
from ..scoring import BATCH, Fitting, detector_description, layers_for, score
from . import detectors as of_detectors
from . import gradients, outputs, strength, twins
from .finding import Finding, State, table_of
from .planted import planted
from .subject import Images, Subject

__all__ = ["DETECTOR_CHECKS", "MODEL_CHECKS", "count_seen", "inspect", "inspection_description"]

VERSION = 1
"""Raise it when a change of the code changes what an inspection finds; every one is then made again."""

MOST = 500
"""The first so many images of the test and the validation split."""

MODEL_CHECKS: Mapping[str, Callable[[Subject], Iterator[Finding]]] = {
    "repeatable": outputs.repeatable,
    "batch-split": outputs.batch_split,
    "gradient-mode": outputs.gradient_mode,
    "caller": outputs.caller,
    "finite-logits": outputs.finite_logits,
    "probabilities": outputs.no_probabilities,
    "distinct-logits": outputs.distinct_logits,
    "finite-gradients": gradients.finite_gradients,
    "finite-differences": gradients.finite_differences,
    "any-scale": strength.any_scale,
    "unbounded-attack": strength.unbounded_attack,
    "planted": planted,
    "stronger-attack": strength.stronger_attack,
    "leaked-answers": twins.twins_agree,
    "leaked-images": twins.alike,
}
"""Every check of a model by its name."""

DETECTOR_CHECKS: Mapping[str, Callable[[Subject, of_detectors.Scores], Iterator[Finding]]] = {
    "detector-repeatable": of_detectors.detector_repeatable,
    "detector-caller": of_detectors.detector_caller,
    "detector-grid": of_detectors.detector_grid,
}
"""Every check of its detectors."""


class Asked(Protocol):
    """What an inspection needs of a job: see `plan.Job`."""

    @property
    def entrant(self) -> Entrant: ...
    @property
    def cells(self) -> Sequence[Cell]: ...
    @property
    def detectors(self) -> Mapping[str, Detector]: ...


def inspection_description(job: Asked, splits: Mapping[str, ImageSet]) -> dict[str, Any] | None:
    """Describe a job's inspection; None where it has no cells, as its rows are published."""
    if not job.cells:
        return None
    first = job.cells[0]
    return {
        "inspection": job.entrant.fingerprint,
        "version": VERSION,
        "numerics": NUMERICS,
        "images": {split: splits[split].head(count_seen(job, splits[split])).checksum for split in SPLITS},
        "threats": [[threat.norm, threat.eps] for threat in middle_threats(job.cells)],
        "detectors": {
            name: detector_description(name, one, splits["train"]) for name, one in job.detectors.items()
        },
        "batch": first.batch,
        "device": first.device,
    }


SPLITS = ("test", "validation")


def middle_threats(cells: Sequence[Cell]) -> tuple[ThreatModel, ...]:
    """Choose of each norm the middle and the smallest of the sizes at which the suite attacks with gradients.

    At the middle size of the first norm the other attacks of the inspection are run, too.
    """
    sizes: dict[str, set[float]] = {}
    for cell in cells:
        threat = cell.threat
        if threat is not None and threat.has_gradients and threat.eps < float("inf"):
            sizes.setdefault(threat.norm, set()).add(threat.eps)
    chosen = []
    for norm, found in sorted(sizes.items(), key=lambda item: item[0] != "Linf"):
        ranked = sorted(found)
        chosen += [ThreatModel(norm, eps) for eps in dict.fromkeys((ranked[len(ranked) // 2], ranked[0]))]
    return tuple(chosen)


def inspect(job: Asked, splits: Mapping[str, ImageSet], fitting: Fitting) -> Entry:
    """Ask all checks.

    Args:
        job: Of the entrant.
        splits: "train", "validation" and "test".
        fitting: Its detectors, and the device where to compute.

    Raises:
        ValueError: The job has no cells.
    """
    description = inspection_description(job, splits)
    if description is None:
        raise ValueError(f"expected {job.entrant.name} to have cells, got none")
    start, device = time.monotonic(), fitting.device
    test, validation = (_images(splits[split], count_seen(job, splits[split]), device) for split in SPLITS)
    subject = Subject(job.entrant.classifier, test, validation, middle_threats(job.cells), job.cells[0].batch)
    findings = [
        (name, found) for name, check in MODEL_CHECKS.items() for found in _asked(partial(check, subject))
    ]
    fitting.fit(job.detectors)
    for name in job.detectors:
        if name in fitting.failed:
            findings += [
                (check, Finding(State.NOT_RUN, fitting.failed[name], name)) for check in DETECTOR_CHECKS
            ]
            continue
        scores = {name: _score_function(fitting, name)}
        findings += [
            (check, found)
            for check, ask in DETECTOR_CHECKS.items()
            for found in _asked(partial(ask, subject, scores), name)
        ]
    facts = {
        "seconds": round(time.monotonic() - start, 3),
        "machine": describe_machine(device),
        "model": job.entrant.name,
    }
    return Entry(description, table_of(findings), facts=facts)


def _asked(ask: Callable[[], Iterator[Finding]], detector: str = "") -> list[Finding]:
    """Ask one check; what a user's model raises is why it has not run."""
    try:
        return list(ask())
    except Exception as error:  # noqa: BLE001
        return [Finding(State.NOT_RUN, say(error), detector)]


def count_seen(job: Asked, images: ImageSet) -> int:
    """Tell how many images of a split an inspection looks at, the first ones."""
    asked = max((cell.samples for cell in job.cells if cell.split == images.split), default=len(images))
    return min(MOST, asked, len(images))


def _images(split: ImageSet, count: int, device: str) -> Images:
    rows = slice(0, count)
    return Images(split.images(rows).to(device), split.y[rows].to(device), split.ids[rows].to(device))


def _score_function(fitting: Fitting, name: str) -> Callable[[Tensor], Tensor]:
    """Give what scores images with a fitted detector."""
    classifier, detector = fitting.entrant.classifier, fitting.detectors[name]
    layers = layers_for([detector], classifier)

    def scores(x: Tensor) -> Tensor:
        parts = (outputs_of(classifier, part, fitting.device, layers) for part in x.split(BATCH))
        return torch.cat([score(detector, part) for part in parts])

    return scores
