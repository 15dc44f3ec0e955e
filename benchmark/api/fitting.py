"""A detector fitted to a model, from a notebook: built, shown the training split, and ready to score."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...detectors import DETECTORS, Detector
from ...detectors.detector import OWN
from ...models.classifier import Outputs
from ..engine.defense import Entrant
from ..engine.passes import outputs_of
from ..engine.scoring import BATCH, fit, layers_for, score, seen_by
from .model import Images, Model, as_images, load_data

__all__ = ["Fitted", "fitted", "split_of"]


@dataclass(frozen=True, eq=False)
class Fitted:
    """A detector that has learned from the training split.

    Args:
        entrant: Whose outputs it reads.
        detector: Fitted.
        layers: That it asks for.
    """

    entrant: Entrant
    detector: Detector
    layers: tuple[str, ...] = field(default=())

    def outputs(self, images: Tensor) -> Outputs:
        """Compute what it reads of images, (N, *S)."""
        return _outputs(self.entrant, images, self.layers)

    def scores(self, images: Tensor) -> Tensor:
        """Score images, (N, *S) -> (N,) float64."""
        parts = (self.outputs(part) for part in images.split(BATCH))
        return torch.cat([score(self.detector, part) for part in parts]).double()


def fitted(
    detector: Detector | str,
    model: Model,
    entrant: Entrant,
    train: tuple[Images, Images] | None,
    root: Path | None,
) -> Fitted:
    """Build a detector and fit it.

    Args:
        detector: A name of ``gmbench list``, "own" for the one that the model brings, or a `Detector`.
        model: Says what it was trained on.
        entrant: The model's, perhaps in a process of its own.
        train: Clean images and classes; None for the training split of the model's data.
        root: Folder of the data sets.

    Raises:
        UnknownName: No such detector.
        ValueError: It does not apply to the model, or nobody said what the model was trained on.
    """
    built = _built(detector, entrant)
    if built.needs_model:
        built.bind(entrant.classifier)
    layers = layers_for([built], entrant.classifier)
    images, classes = split_of(model, "train", train, root)
    if not built.applies(seen_by(built, _outputs(entrant, images[:2], layers))):
        raise ValueError(
            f"expected a detector that applies to '{model.name}', got {built!r}: it asks for what the model "
            "does not say, such as a mixture's likelihood"
        )
    outputs = _outputs(entrant, images, layers)
    fit(built, outputs, classes.to(outputs.logits.device))
    return Fitted(entrant, built, layers)


def split_of(model: Model, name: str, given: Any, root: Path | None) -> tuple[Tensor, Tensor]:
    """Give the images and classes of a split of the model's data, or those that are given instead.

    Raises:
        ValueError: Nobody said what the model was trained on.
    """
    if given is not None:
        return as_images(*given)
    if not model.data:
        raise ValueError(
            f"expected to know what '{model.name}' was trained on: give {name}=(x, y), or wrap it with "
            'data="digits" or another name'
        )
    return load_data(model.data, name, root=root)


def _outputs(entrant: Entrant, images: Tensor, layers: tuple[str, ...]) -> Outputs:
    device = next(entrant.classifier.buffers()).device
    return Outputs.cat([outputs_of(entrant.classifier, part, device, layers) for part in images.split(BATCH)])


def _built(detector: Detector | str, entrant: Entrant) -> Detector:
    if detector == OWN and entrant.detector is not None:
        return entrant.detector
    if isinstance(detector, str):
        return DETECTORS.build(detector)
    if not isinstance(detector, Detector):
        raise TypeError(f"expected a detector or its name, got {type(detector).__name__}")
    return detector
