"""What every detector is: a dataclass that learns from the training split and scores new images.

It reads what a classifier says about them.

The habits are scikit-learn's: the constructor takes the configuration and nothing else, ``fit`` learns and
returns the detector, what is learned stands in fields whose names end in an underscore.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor

from ..models.about import About
from ..models.classifier import Classifier, Outputs
from ..models.registry import Registry
from .learned import NotTensorsError, as_tensors, from_tensors

__all__ = ["DETECTORS", "OWN", "Detector", "why_not"]

DETECTORS: Registry["Detector"] = Registry("detector", group="gmbench.detectors")
"""Every detector by name; a factory takes the detector's configuration, all of which has defaults."""

OWN = "own"
"""How tables call the detector that a defense brings."""


@dataclass
class Detector(ABC):
    """Scores images: the higher, the more suspicious.

    Subclasses are dataclasses and implement `score`, and `learn` if there is anything to learn. What is
    learned stands in fields with ``init=False``, ``repr=False`` and ``compare=False``; all other fields are
    the configuration.

    Attributes:
        about: Its title and paper.
        differentiable: Whether `score` passes gradients to what the outputs were computed from.
        layers: The layers whose features it reads from ``Outputs.layers``, or "all" that there are.
        needs_likelihood: Whether it reads ``Outputs.log_likelihood``, which not every classifier states.
        needs_model: Whether it asks for the classifier itself, as `model`: for gradients, or for what it
            makes of other images. `fit` then sees the images, too, see `sees_images`.
        averages_layers: Whether it reads of each layer only the mean over the image, (B, C), so that `fit` is
            given no more: all of a layer's features of a training split are gigabytes.
        fitted_on_: The numbers of features and classes (D, K) of the split that `fit` saw, None before.
    """

    about: ClassVar[About]
    differentiable: ClassVar[bool] = True
    layers: ClassVar[tuple[str, ...] | Literal["all"]] = ()
    needs_likelihood: ClassVar[bool] = False
    needs_model: ClassVar[bool] = False
    averages_layers: ClassVar[bool] = False

    classifier_: Classifier | None = field(default=None, init=False, repr=False, compare=False)
    fitted_on_: tuple[int, int] | None = field(default=None, init=False, repr=False, compare=False)

    def fit(self, outputs: Outputs, y: Tensor) -> Self:
        """Learn from the training split and return the detector; a second call forgets the first.

        Args:
            outputs: What the classifier says about the clean training images, N of them; its images are
                empty, (N, 0), unless it `sees_images`.
            y: Their true classes, (N,).

        Raises:
            ValueError: The outputs and the classes do not fit together, or nothing can be learned from them.
            TypeError: The classes are not integers.
        """
        classes = outputs.logits.shape[1]
        if y.ndim != 1 or not len(y) == len(outputs.features) == len(outputs.logits):
            counts = f"{len(outputs.features)} features and {len(outputs.logits)} logits"
            raise ValueError(f"expected one true class for each of {counts}, got y of shape {tuple(y.shape)}")
        if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
            raise TypeError(f"expected y to be integers, got {y.dtype}")
        if len(y) and not 0 <= int(y.min()) <= int(y.max()) < classes:
            raise ValueError(f"expected y to be in 0 to {classes - 1}, got {int(y.min())} to {int(y.max())}")
        self.fitted_on_ = None
        self.learn(outputs, y)
        self.fitted_on_ = (outputs.features.shape[1], classes)
        return self

    def learn(self, outputs: Outputs, y: Tensor) -> None:  # noqa: B027 - a detector need not learn
        """Learn from the training split, whose shapes have been checked.

        By default nothing, and `score` needs no `fit`.
        """

    @abstractmethod
    def score(self, outputs: Outputs) -> Tensor:
        """Score each sample by itself, (B, D), (B, K) -> (B,): the higher, the more suspicious.

        Scores are finite for finite outputs, have the dtype of the features, and do not depend on the rest of
        the batch.

        Raises:
            NotFittedError: The detector learns and has not been fitted.
            ValueError: The detector does not apply to these outputs, or was fitted to others.
        """

    def applies(self, outputs: Outputs) -> bool:
        """Tell whether the classifier says what this detector needs: its layers, its likelihood."""
        if self.needs_likelihood and outputs.log_likelihood is None:
            return False
        return bool(outputs.layers) if self.layers == "all" else set(self.layers) <= set(outputs.layers)

    def bind(self, classifier: Classifier) -> Self:
        """Hand over the classifier, before `fit` and `score`, and return the detector.

        It is in evaluation mode and must stay as it is: `torch.autograd.grad` by the images leaves no
        gradients on the weights, ``backward`` does. `score` is called without a graph; `torch.enable_grad`
        begins one.
        """
        self.classifier_ = classifier
        return self

    @property
    def model(self) -> Classifier:
        """The classifier that `bind` handed over.

        Raises:
            NotFittedError: None was.
        """
        if self.classifier_ is None:
            raise _not_fitted(f"expected {self!r} to know its classifier; call bind(classifier) first")
        return self.classifier_

    def learned(self) -> dict[str, Tensor] | None:
        """Give all that `fit` learned as tensors by name, for `restore`; None before, or where it is more.

        What is learned must stand in fields whose names end in an underscore, and be tensors, numbers, or
        lists and tuples of such: then no detector needs code of its own.
        """
        configured = {item.name for item in fields(self) if item.init}
        kept = {name: value for name, value in vars(self).items() if name not in {*configured, "classifier_"}}
        if self.fitted_on_ is None or not all(map(_is_learned, kept)):
            return None
        try:
            return as_tensors(kept)
        except NotTensorsError:
            return None

    def restore(self, learned: Mapping[str, Tensor], device: str = "cpu") -> Self:
        """Take over what a detector of this configuration had learned, instead of `fit`; return the detector.

        Args:
            learned: What its `learned` gave.
            device: Where the tensors are to be.

        Raises:
            ValueError: It is not what a detector of this kind gives.
        """
        values = from_tensors(learned, device)
        if wrong := sorted(name for name in values if not _is_learned(name)):
            raise ValueError(f"expected what {self!r} has learned to end in an underscore, got {wrong[0]}")
        if "fitted_on_" not in values:
            raise ValueError(f"expected {self!r} to have been fitted, got only {sorted(values)}")
        for name, value in values.items():
            setattr(self, name, value)
        return self

    @property
    def sees_images(self) -> bool:
        """Whether `fit` is given the training images, which are as much memory as all else together."""
        return self.needs_model and type(self).learn is not Detector.learn

    def configuration(self) -> dict[str, Any]:
        """Give the options that build this detector again, without what it has learned."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.init}

    def check_fitted(self, outputs: Outputs) -> None:
        """Raise unless the detector was fitted to outputs like these."""
        if self.fitted_on_ is None:
            raise _not_fitted(
                f"expected {self!r} to be fitted; call fit(outputs, y) with the training split first"
            )
        got = (outputs.features.shape[1], outputs.logits.shape[1])
        if got != self.fitted_on_:
            features, classes = self.fitted_on_
            raise ValueError(
                f"expected {features} features and {classes} classes as in fit, got {got[0]} and {got[1]}; "
                "fit it to this classifier"
            )


def why_not(name: str) -> str:
    """Say why the detector of that name gives no score for some classifiers."""
    if name == OWN:
        return "the defense brings no detector of its own"
    factory = DETECTORS.get(name)
    if getattr(factory, "needs_likelihood", False):
        return "the classifier states no likelihood"
    if getattr(factory, "layers", ()):
        return "the classifier names no such layers"
    return "it gives no score there"


def _is_learned(name: str) -> bool:
    return name.endswith("_") and not name.startswith("_") and name != "classifier_"


def _not_fitted(message: str) -> Exception:
    from sklearn.exceptions import NotFittedError  # slow to import, and seldom needed

    error: Exception = NotFittedError(message)
    return error
