"""Distances to the nearest of kept training points, for the detectors that ask for neighbours."""

import torch
from torch import Tensor

__all__ = ["nearest"]

CHUNK = 2**21
"""Distances that are held at a time: 16 MB in float64."""


def nearest(features: Tensor, points: Tensor, k: int) -> Tensor:
    """Compute the Euclidean distances to the k nearest points, rising, (B, D), (n, D) -> (B, min(k, n)).

    Which they are is told by one matrix product, |x|^2 - 2 f x; their distances by the differences, in which
    nothing cancels and which pass gradients.
    """
    k = min(k, len(points))
    chunks = features.split(max(1, CHUNK // len(points)))
    return torch.cat([_nearest(chunk, points, k) for chunk in chunks])


def _nearest(features: Tensor, points: Tensor, k: int) -> Tensor:
    with torch.no_grad():
        ranks = points.square().sum(1) - 2 * features @ points.T
        rows = ranks.topk(k, largest=False).indices
    distances: Tensor = torch.linalg.vector_norm(features.unsqueeze(1) - points[rows], dim=2)
    return distances.sort(1).values
