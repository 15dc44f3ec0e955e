"""How symmetric a feature space is.

The angles between every two class means, and their distances in units of the width of a class.

Source of the question: the GM-loss paper, arXiv 2011.09066, whose "symmetric feature space" has all class
means equally far from each other. K such points are the vertices of a simplex, seen from their centre acos(-1
/ (K - 1)) apart: 96.4 degrees for ten classes. That takes K - 1 dimensions; in fewer, two-dimensional
features say, no loss can reach it.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from ....models.measurements import angles

__all__ = ["Symmetry", "simplex_angle", "symmetry"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Symmetry:
    """Where the class means of one model lie.

    Args:
        name, loss: Of the model.
        dimensions: D.
        classes: K.
        angles: Between the means of every two classes, seen from the centre of all, in degrees, (K (K - 1) /
            2,).
        ratios: Distances between the means of every two classes, divided by the mean distance of an image to
            the mean of its own class.
    """

    name: str
    loss: str
    dimensions: int
    classes: int
    angles: Array = field(repr=False)
    ratios: Array = field(repr=False)


def symmetry(name: str, loss: str, means: Array, within: float) -> Symmetry:
    """Measure class means, (K, D).

    Args:
        name: Of the model.
        loss: Of the model.
        means: Of the classes.
        within: Mean distance of an image to the mean of its own class; 0 makes every ratio infinite.
    """
    centres = torch.from_numpy(np.asarray(means, dtype=np.float64))
    with np.errstate(divide="ignore"):
        ratios = torch.pdist(centres).numpy() / np.float64(within)
    return Symmetry(name, loss, centres.shape[1], len(centres), angles(centres).numpy(), ratios)


def simplex_angle(classes: int) -> float:
    """Tell the angle in degrees between every two vertices of a simplex, seen from its centre."""
    return float(np.degrees(np.arccos(-1 / (classes - 1))))
