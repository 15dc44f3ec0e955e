"""Scores: every detector over the clean and the attacked images of every cell.

One forward pass for all of them; a detector that asks for the model itself adds its own.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ...attacks.core.grid import on_grid
from ...attacks.core.known import KnownDetector
from ...detectors import DETECTORS, Detector
from ...detectors.detector import OWN
from ...detectors.threshold import FPR, threshold_at_fpr
from ...models.classifier import Classifier, Outputs
from ...models.plugins import code_of
from ..data.image_set import ImageSet
from .cell import NUMERICS, Cell
from .entrant import Entrant, fresh
from .entry import Entry, key_of
from .failure import say
from .guest.client import GuestClassifier
from .passes import outputs_of, outputs_of_all
from .scores import lacking, scores_entry
from .store import Store

__all__ = [
    "BATCH",
    "Fitting",
    "Wanted",
    "described",
    "detector_description",
    "detectors_for",
    "fit",
    "fit_description",
    "groups_of",
    "known_as",
    "lacking_scores",
    "layers_for",
    "score",
    "score_cells",
    "seen_by",
]

BATCH = 1000
"""Images that are scored at once."""

Wanted = tuple[Cell, tuple[str, ...]]
"""A cell, and the detectors whose scores of it are wanted."""

TOGETHER = 20_000
"""Images that a guest is shown in an order that it does not know; the clean ones come on top."""


def detectors_for(
    names: Sequence[str], entrant: Entrant, images: ImageSet, device: str = "cpu"
) -> dict[str, Detector]:
    """Build the detectors that apply to an entrant, unfitted: the named ones, then its own as `OWN`."""
    detectors = {name: DETECTORS.build(name) for name in names}
    if entrant.detector is not None:
        detectors[OWN] = entrant.detector
    for detector in detectors.values():
        if detector.needs_model:
            detector.bind(entrant.classifier)
    layers = layers_for(detectors.values(), entrant.classifier)
    few = outputs_of(entrant.classifier, images.images(slice(0, 2)), device, layers)
    return {
        name: detector for name, detector in detectors.items() if detector.applies(seen_by(detector, few))
    }


def detector_description(name: str, detector: Detector, train: ImageSet) -> dict[str, Any]:
    """Describe a detector that is fitted on ``train``, for the store."""
    code = code_of(detector)
    return {
        **({"code": code} if code else {}),  # likewise in a cell
        "detector": name,
        "kind": type(detector).__name__,
        "configuration": detector.configuration(),
        "train": train.checksum,
        "numerics": NUMERICS,
    }


def described(detectors: Mapping[str, Detector], train: ImageSet) -> dict[str, dict[str, Any]]:
    """Describe detectors by name, see `detector_description`."""
    return {name: detector_description(name, detector, train) for name, detector in detectors.items()}


def fit_description(
    entrant: Entrant, name: str, detector: Detector, train: ImageSet, device: str
) -> dict[str, Any]:
    """Describe what a detector learns of an entrant, for the store."""
    return {
        "fit": detector_description(name, detector, train),
        "fingerprint": entrant.fingerprint,
        "device": device.split(":", maxsplit=1)[0],
    }


def lacking_scores(
    cell: Cell, detectors: Mapping[str, Detector], train: ImageSet, store: Store
) -> tuple[str, ...]:
    """Name the detectors whose scores of a cell the store lacks, or holds damaged."""
    return lacking(store, key_of(cell.description), described(detectors, train))


@dataclass(eq=False)
class Fitting:
    """An entrant's detectors, each fitted once, when it is first needed.

    Args:
        entrant: On ``device``.
        detectors: Those that apply, by name.
        train: Split that they are fitted on.
        device: Where to compute.
        report: Told each number of images that passed the model.
        failed: Those that could not be fitted or do not score, with the reason.
    """

    entrant: Entrant
    detectors: Mapping[str, Detector]
    train: ImageSet
    device: str = "cpu"
    report: Callable[[int], None] = lambda _: None
    failed: dict[str, str] = field(default_factory=dict)
    _fitted: set[str] = field(default_factory=set)
    _known: dict[str, KnownDetector] = field(default_factory=dict)

    def fit(self, names: Iterable[str]) -> None:
        """Fit those of these that are not fitted yet, with one pass over the training split for them all."""
        missing = sorted(set(names) - self._fitted - set(self.failed))
        if not missing:
            return
        layered = [self.detectors[name] for name in missing if self.detectors[name].layers]
        outputs = outputs_of_all(
            self.entrant.classifier,
            self.train,
            BATCH,
            self.device,
            self.report,
            layers=layers_for((self.detectors[name] for name in missing), self.entrant.classifier),
            with_images=any(self.detectors[name].sees_images for name in missing),
            averaged=all(detector.averages_layers for detector in layered),
        )
        for name in missing:
            try:
                fit(self.detectors[name], outputs, self.train.y.to(self.device))
                self._fitted.add(name)
            except Exception as error:  # noqa: BLE001 - a user's may raise anything; the others go on
                self.failed[name] = say(error)
                continue
            learned = self.detectors[name].learned()
            if learned is not None:  # in memory as the store's would lie: so that scores are equal to the bit
                self.detectors[name].restore(learned, self.device)

    def fitted(self, name: str) -> Entry | None:
        """Give what a detector has learned; None where that is more than tensors, or nothing yet.

        A guest's is not kept: each process of it is asked anew, so that none can count on another's answers.
        """
        if name not in self._fitted or isinstance(self.entrant.classifier, GuestClassifier):
            return None
        learned = self.detectors[name].learned()
        return None if learned is None else Entry(self.description(name), tensors=learned)

    def restore(self, name: str, entry: Entry) -> None:
        """Give a detector that is not fitted what it has learned before, see `fitted`.

        Raises:
            ValueError: It is not what this detector learns.
        """
        self.detectors[name].restore(entry.tensors, self.device)
        self._fitted.add(name)

    def unfitted(self) -> list[str]:
        """Name the detectors that are not fitted yet."""
        return [name for name in self.detectors if name not in self._fitted]

    def description(self, name: str) -> dict[str, Any]:
        """Describe what a detector learns of this entrant, for the store."""
        return fit_description(self.entrant, name, self.detectors[name], self.train, self.device)

    def known(self, name: str, validation: ImageSet) -> KnownDetector:
        """Give a detector as an attacker who knows it sees it, with its threshold, which is set once.

        Raises:
            ValueError: It could not be fitted, or does not score the validation images.
        """
        if name in self._known:
            return self._known[name]
        self.fit([name])
        if name in self.failed:
            raise ValueError(f"detector {name} cannot be known: {self.failed[name]}")
        detector = self.detectors[name]
        layers = layers_for([detector], self.entrant.classifier)
        parts = [
            outputs_of(self.entrant.classifier, part, self.device, layers)
            for part in validation.images().split(BATCH)
        ]
        self._known[name] = known_as(name, detector, layers, parts, validation.y)
        return self._known[name]


def known_as(
    name: str, detector: Detector, layers: tuple[str, ...], parts: Sequence[Outputs], y: Tensor
) -> KnownDetector:
    """Show a fitted detector to an attacker.

    Args:
        name: As the threat model calls it.
        detector: Fitted.
        layers: That it asks for.
        parts: Outputs of the clean validation images, which set its threshold, N in all.
        y: Their true classes, (N,).
    """
    clean = torch.cat([score(detector, part) for part in parts]).double()
    threshold = threshold_at_fpr(clean.numpy(), FPR)
    return KnownDetector(
        name,
        lambda outputs: detector.score(seen_by(detector, outputs)),
        threshold,
        float(clean.std(correction=0)) or 1.0,
        detector.differentiable,
        layers,
        _guides(parts, clean <= threshold, y),
    )


def _guides(parts: Sequence[Outputs], accepted: Tensor, y: Tensor) -> tuple[Tensor, ...]:
    """Give the features of the images that are right and accepted, by class."""
    features = torch.cat([part.features for part in parts])
    predicted = torch.cat([part.predicted for part in parts]).cpu()
    usable = accepted & (predicted == y)
    classes = parts[0].logits.shape[1]
    return tuple(features[(usable & (y == k)).to(features.device)] for k in range(classes))


def groups_of(cells: Sequence[Wanted]) -> Iterator[tuple[Wanted, ...]]:
    """Say which cells of a guest are scored together: its attacked images among its clean ones."""
    wanted = [one for one in cells if one[1]]
    if not wanted:
        return
    clean = [one for one in cells if one[0].threat is None]
    attacked = [one for one in wanted if one[0].threat is not None]
    each = max(1, TOGETHER // max(cell.samples for cell, _ in wanted))
    for first in range(0, max(len(attacked), 1), each):
        yield (*clean, *attacked[first : first + each])


def score_cells(
    fitting: Fitting, group: Sequence[Wanted], images: Sequence[Tensor], splits: Mapping[str, ImageSet]
) -> list[Entry]:
    """Score cells, several at once where a guest must not know which images are attacked.

    Fits the detectors that are not fitted. Those that fail are noted in ``fitting.failed``. A guest is one
    whom no attack has asked, and who learns again.

    Args:
        fitting: The entrant and its detectors.
        group: Cells, each with the detectors that are wanted of it.
        images: What each cell's attack proposed, or its clean images; scored as the judge sees them, rounded
            to the 8-bit grid, on which clean ones lie.
        splits: "validation" and "test".
    """
    wanted = {name for _, names in group for name in names}
    seen = [_seen(cell, x, splits) for (cell, _), x in zip(group, images, strict=True)]
    with _afresh(fitting) as asked:
        asked.fit(wanted)
        scores = _scores(asked, wanted, seen)
    fitting.failed.update(asked.failed)
    descriptions = described({name: fitting.detectors[name] for name in scores}, fitting.train)
    entries: list[Entry] = []
    for place, (cell, names) in enumerate(group):
        if own := {name: scores[name][place] for name in names if name in scores}:
            ids = splits[cell.split].ids[: cell.samples]
            entries.append(scores_entry(key_of(cell.description), descriptions, ids, own))
    return entries


@contextmanager
def _afresh(fitting: Fitting) -> Iterator[Fitting]:
    """Leave the scores of a guest to one whom no attack has asked, and who must learn again."""
    with fresh(fitting.entrant) as entrant:
        if entrant is fitting.entrant:
            yield fitting
            return
        detectors = dict(fitting.detectors)
        if OWN in detectors and entrant.detector is not None:
            detectors[OWN] = entrant.detector
        for detector in detectors.values():
            if detector.needs_model:
                detector.bind(entrant.classifier)
        yield Fitting(entrant, detectors, fitting.train, fitting.device, fitting.report)


def _scores(fitting: Fitting, names: Iterable[str], images: Sequence[Tensor]) -> dict[str, Sequence[Tensor]]:
    """Score images with each detector, in batches across them all and in the classifier's order."""
    detectors, classifier = fitting.detectors, fitting.entrant.classifier
    scores: dict[str, list[Tensor]] = {name: [] for name in sorted(set(names) - set(fitting.failed))}
    layers = layers_for((detectors[name] for name in scores), classifier)
    order = classifier.order(sum(map(len, images)))
    for part in torch.cat(list(images))[order].split(BATCH) if scores else ():
        outputs = outputs_of(classifier, part, fitting.device, layers)
        for name in list(scores):
            try:
                scores[name].append(score(detectors[name], outputs))
            except Exception as error:  # noqa: BLE001 - a user's may raise anything; the others go on
                fitting.failed[name] = say(error)
                del scores[name]
        fitting.report(len(part))
    sizes, back = list(map(len, images)), order.argsort()
    return {name: torch.cat(found)[back].split(sizes) for name, found in scores.items()}


def layers_for(detectors: Iterable[Detector], classifier: Classifier) -> tuple[str, ...]:
    """Name the layers that one pass must carry for all of these detectors, of those that there are."""
    wanted = [detector.layers for detector in detectors if detector.layers]
    if not wanted:
        return ()  # another's net is not traced for nobody
    offered = classifier.layer_names
    asked = {name for layers in wanted for name in (offered if layers == "all" else layers)}
    return tuple(name for name in offered if name in asked)


def seen_by(detector: Detector, outputs: Outputs) -> Outputs:
    """Keep the layers that a detector declares: no score depends on what other detectors ask for."""
    if detector.layers == "all":
        return outputs
    return replace(
        outputs, layers={name: layer for name, layer in outputs.layers.items() if name in detector.layers}
    )


def fit(detector: Detector, outputs: Outputs, y: Tensor) -> None:
    """Fit a detector to what it declares of the training split and its classes, (N,).

    It is given the images only if it `sees_images`.
    """
    seen = seen_by(detector, outputs)
    if not detector.sees_images:
        seen = replace(seen, x=seen.x.new_empty(len(seen.x), 0))
    detector.fit(seen, y)


@torch.no_grad()
def score(detector: Detector, outputs: Outputs) -> Tensor:
    """Let a fitted detector score a batch, -> (B,) float32 on the CPU, higher for the more suspicious.

    Raises:
        ValueError: It does not give one number per image.
    """
    scores = detector.score(seen_by(detector, outputs))
    if scores.shape != (len(outputs.logits),):
        raise ValueError(f"expected scores of shape {(len(outputs.logits),)}, got {tuple(scores.shape)}")
    if broken := int((~scores.isfinite()).sum()):
        raise ValueError(
            f"expected scores to be finite, got NaN or infinity for {broken} of {len(scores)} images"
        )
    return scores.float().cpu()


def _seen(cell: Cell, images: Tensor, splits: Mapping[str, ImageSet]) -> Tensor:
    """Show a cell's images as the judge sees them."""
    if cell.threat is None:
        return images
    return on_grid(splits[cell.split].images(slice(0, cell.samples)), images, cell.threat)
