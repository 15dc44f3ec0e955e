"""The vertices of a regular simplex: as many unit vectors as classes, as far from each other as can be."""

import torch
from torch import Tensor

__all__ = ["simplex"]


def simplex(classes: int, features: int) -> Tensor:
    """Build K unit vectors whose inner products are all -1 / (K - 1), (K, D), float64.

    The recursion of Pang, Du, Zhu (ICML 2018, algorithm 1): vector j is the first to use coordinate j, and
    all later ones share their value there, because the vectors sum to 0. Coordinates beyond K - 1 are 0.

    Args:
        classes: K, at least 2.
        features: D, at least K - 1.
    """
    if classes < 2:
        raise ValueError(f"expected classes to be at least 2, got {classes}")
    if features < classes - 1:
        raise ValueError(
            f"expected features to be at least {classes - 1}, the number of classes minus 1, got {features}"
        )
    vertices = torch.zeros(classes, features, dtype=torch.float64)
    for j in range(classes - 1):
        vertices[j, j] = (1 - vertices[j].square().sum()).sqrt()
        vertices[j + 1 :, j] = -vertices[j, j] / (classes - 1 - j)
    return vertices
