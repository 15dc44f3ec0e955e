"""What a model's features say.

The class means' symmetry, the spread of softmax values, and a picture of two dimensions.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .symmetry import Symmetry

__all__ = ["Landscape", "ModelFeatures", "Plane", "window"]

Array = NDArray[np.floating]


Classes = NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Landscape:
    """What a model says of every place of the plane.

    Args:
        values: On a grid, (R, C), row 0 lowest.
        window: The grid's left, right, bottom and top edge.
        kind: "likelihood", max_k log p(f | k), or "softmax", max_k of the softmax, for a model without
            mixture.
        low: What is this low or lower has the darkest shade.
    """

    values: Array = field(repr=False)
    window: tuple[float, float, float, float]
    kind: str
    low: float


@dataclass(frozen=True, eq=False)
class Plane:
    """One model's features of two dimensions.

    Args:
        title: Of its panel.
        features: Of training images, (N, 2).
        labels: Their classes, (N,).
        means: Of the classes, (K, 2).
        landscape: Behind the points, or None.
        adversarial: Features of attacked images that are classified rightly when clean, (M, 2).
        adversarial_labels: Their true classes, (M,).
        predicted: What the model takes them for, (M,).
        attack: What attacked them, for people; "" where none did.
    """

    title: str
    features: Array = field(repr=False)
    labels: Classes = field(repr=False)
    means: Array = field(repr=False)
    landscape: Landscape | None = field(default=None, repr=False)
    adversarial: Array = field(default_factory=lambda: np.empty((0, 2)), repr=False)
    adversarial_labels: Classes = field(default_factory=lambda: np.empty(0, int), repr=False)
    predicted: Classes = field(default_factory=lambda: np.empty(0, int), repr=False)
    attack: str = ""

    def __post_init__(self) -> None:
        for name in ("features", "means", "adversarial"):
            if (shape := getattr(self, name).shape)[1:] != (2,):
                raise ValueError(f"expected {name} to have two dimensions, (N, 2), got shape {shape}")
        for name, of in (
            ("labels", "features"),
            ("adversarial_labels", "adversarial"),
            ("predicted", "adversarial"),
        ):
            if (shape := getattr(self, name).shape) != (expected := getattr(self, of).shape[:1]):
                raise ValueError(
                    f"expected {name} to be one class for each of {of}, {expected}, got shape {shape}"
                )

    @property
    def fooled(self) -> NDArray[np.bool_]:
        """Which of the attacked images are taken for another class, (M,)."""
        return np.asarray(self.predicted != self.adversarial_labels)


@dataclass(frozen=True, eq=False)
class ModelFeatures:
    """What one model's features say.

    Args:
        name, loss: As in the frames.
        symmetry: Of its class means; None where features are not finite or a class has no training image.
        spread: Mean variance of the non-true softmax values over the clean test images that it classifies
            correctly; NaN without any.
        plane: Its picture, where its features have two dimensions.
    """

    name: str
    loss: str
    symmetry: Symmetry | None = field(repr=False)
    spread: float
    plane: Plane | None = field(repr=False)


def window(*points: Array) -> tuple[float, float, float, float]:
    """Find the square that holds all points with a margin, (N, 2), ... -> left, right, bottom, top.

    In it distances can be compared.
    """
    every = np.concatenate(points).astype(np.float64)
    low, high = every.min(0), every.max(0)
    middle, half = (low + high) / 2, max(0.55 * float((high - low).max()), 1e-6)
    return float(middle[0] - half), float(middle[0] + half), float(middle[1] - half), float(middle[1] + half)
