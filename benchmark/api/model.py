"""A model as a notebook holds it: a defense with what is known of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...detectors import Detector
from ...models.checkpoint import CheckpointError, read_card
from ...models.classifier import Classifier
from ...models.compiled import as_classifier
from ...models.files import check_name
from ...models.foreign.wrap import fingerprint_of
from ...models.foreign.wrap import wrap as wrap_module
from ..data.datasets import load_data as load_split
from ..engine.defense import Defense, Entrant, entrant_by_name
from .shown import table_of

__all__ = ["Model", "as_images", "as_model", "load", "load_data", "wrap"]

FEW = 200
"""Images that a wrapped model is tried on."""

Images = Any
"""A tensor or a numpy array."""


@dataclass(frozen=True)
class Model:
    """A defense, and what is known of it.

    Args:
        entrant: As it meets a suite.
        data: Name of the data set that it was trained on; "" where nobody said.
        clean_accuracy: On ``tried`` images, or the card's; None where it saw none.
        tried: How many; 0 for the card's.
    """

    entrant: Entrant
    data: str = ""
    clean_accuracy: float | None = None
    tried: int = 0

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.entrant.name

    @property
    def classifier(self) -> Classifier:
        """Images in [0, 1] to features and logits, in evaluation mode."""
        return self.entrant.classifier

    @property
    def found(self) -> dict[str, str]:
        """What is known of it, in words."""
        head, classifier = self.classifier.head, self.classifier
        told = {"model": self.name, "data": self.data or "not said", "head": str(head).split("\n")[0]}
        told |= getattr(classifier, "found", {})
        if self.clean_accuracy is not None:
            of = f"of {self.tried} images" if self.tried else "on the test split, says its card"
            told["clean accuracy"] = f"{self.clean_accuracy:.1%} {of}"
        return told

    def __repr__(self) -> str:
        return f"Model({', '.join(f'{key}: {value}' for key, value in self.found.items())})"

    def _repr_html_(self) -> str:
        return table_of(self.found)


def load(name: str, *, shape: tuple[int, int, int] | None = None) -> Model:
    """Load a model by name: a checkpoint, another's model, or a defense's file.

    A defense's file and some of the others' models run code: load what you trust.

    Args:
        name: As `gmbench run` takes it after ``--models`` and ``--defense``: ``digits-lgm-s0``,
            ``torchvision:resnet18``, ``my_defense.py``.
        shape: Of the images, (C, H, W), where the model does not tell.

    Raises:
        CheckpointError: The checkpoint is missing or damaged.
        ForeignError: The other's model cannot be had, read or used.
        DefenseError: The file gives no defense.
    """
    entrant = entrant_by_name(name, shape)
    try:
        card = read_card(name)
    except CheckpointError:  # no checkpoint
        return Model(entrant)
    return Model(entrant, card.data, card.test_accuracy)


def wrap(
    module: nn.Module,
    *,
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 1.0,
    name: str = "mine",
    data: str = "",
    x: Images | None = None,
    y: Images | None = None,
    detector: Detector | None = None,
    root: Path | None = None,
) -> Model:
    """Wrap a module that gives logits, and find its features: the input of its last linear layer.

    The module is copied, and the copy set to evaluation mode; yours stays as it is.

    Args:
        module: Images (B, C, H, W), normalised, to logits (B, K) or an object whose ``logits`` they are.
        mean: Subtracted from images in [0, 1] before they enter it, a number or one per channel.
        std: Divides them, likewise.
        name: What tables are to call it.
        data: Name of the data set that it was trained on: its detectors are fitted on that, and its clean
            accuracy is told on the first images of its test split.
        x: Images in [0, 1] to try it on instead, (B, C, H, W).
        y: Their classes, (B,).
        detector: Its own, if it has one.
        root: Folder of the data sets.

    Raises:
        TypeError: It is no module.
        ForeignError: It gives no logits, or fails on these images.
        ValueError: The name is none that tables can hold, or the images and classes do not fit.
    """
    check_name("the model's name", name)
    if (x is None) != (y is None):
        raise ValueError("expected x and y together, got one of them")
    if x is None and data:
        x, y = load_data(data, "test", samples=FEW, root=root)
    images, labels = (None, None) if x is None else as_images(x, y)
    shape = None if images is None else tuple(images.shape[1:])
    classifier = wrap_module(module, mean, std, name=name, shape=shape)  # type: ignore[arg-type]
    entrant = Entrant(name, name, 0, classifier.fingerprint, classifier, detector)
    if images is None or labels is None:
        return Model(entrant, data)
    if len(labels) and int(labels.max()) >= classifier.classes:
        raise ValueError(
            f"expected y to be below the {classifier.classes} classes of '{name}', got {labels.max()}"
        )
    with torch.no_grad():
        right = (classifier(images).argmax(1) == labels).float().mean().item()
    return Model(entrant, data, right, len(images))


def as_model(model: object) -> Model:
    """Take whatever can be attacked for a `Model`: one, a name, a `Defense`, a `Classifier`, a module.

    Raises:
        TypeError: It is none of these.
    """
    if isinstance(model, Model):
        return model
    if isinstance(model, str):
        return load(model)
    if isinstance(model, Defense):
        fingerprint = fingerprint_of(model.classifier)
        return Model(Entrant(model.name, model.name, 0, fingerprint, model.classifier, model.detector))
    model = as_classifier(model)
    if isinstance(model, Classifier):
        return as_model(Defense("mine", model))
    if isinstance(model, nn.Module):
        return wrap(model)
    raise TypeError(
        f"expected a model, a name, a Defense, a Classifier or a torch.nn.Module, got {type(model).__name__}"
    )


def load_data(
    name: str, split: str = "test", *, samples: int | None = None, root: Path | None = None, **options: Any
) -> tuple[Tensor, Tensor]:
    """Load images in [0, 1], (N, C, H, W), and their classes, (N,).

    Args:
        name: "digits", "mnist", "folder:PATH", ...; see ``gmbench list``.
        split: "train", "validation" or "test".
        samples: The first so many; None for all.
        root: Folder of the data sets; without it the environment's GMBENCH_DATA, else the user's cache.
        **options: Of the data set, for instance ``mode="RGB"`` or ``classes=["cat", "dog"]``.

    Raises:
        DataError: The data are missing or damaged; the message has the command that fetches them.
    """
    images = load_split(name, split, root, **options)
    images = images if samples is None else images.head(samples)
    return images.images(), images.y


def as_images(x: Images, y: Images) -> tuple[Tensor, Tensor]:
    """Take tensors or numpy arrays for images, float32 in [0, 1], and classes, int64, on the CPU.

    Raises:
        ValueError: They are not images in [0, 1] with one class each.
        TypeError: They are no numbers.
    """
    images, labels = torch.as_tensor(x).detach().cpu(), torch.as_tensor(y).detach().cpu()
    if not images.is_floating_point():
        raise TypeError(f"expected x to be floats in [0, 1], got {images.dtype}; divide by 255?")
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise TypeError(f"expected y to be integers, got {labels.dtype}")
    if images.ndim < 2 or len(images) == 0 or labels.shape != (len(images),):
        raise ValueError(
            "expected x to be images (N, C, H, W) and y one class each, (N,), got "
            f"{tuple(images.shape)} and {tuple(labels.shape)}"
        )
    if not (images.amin() >= 0 and images.amax() <= 1):
        raise ValueError(
            f"expected x to lie in [0, 1], got [{images.amin():.3g}, {images.amax():.3g}]; normalisation is "
            "part of the model: gmbench.wrap(module, mean=..., std=...)"
        )
    return images.float(), labels.long()
