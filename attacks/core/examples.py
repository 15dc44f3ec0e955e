"""Clean images that an attacker has of its own, and the nearest of other classes to each image."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Examples", "nearest_of_others"]


class Examples(NamedTuple):
    """Clean images that are not under attack, with their true classes: (N, *S), (N,)."""

    x: Tensor
    y: Tensor


def nearest_of_others(
    examples: Examples, x: Tensor, y: Tensor, norm: str, targets: int, each: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Rank the classes other than the true one by how near their nearest example lies.

    Args:
        examples: Of these.
        x: Images, (B, *S).
        y: Their true classes, (B,).
        norm: "Linf" or "L2", in which they are near.
        targets: How many classes, of all where there are fewer.
        each: How many examples of each class, likewise.

    Yields:
        For each rank the class, (B,), and its nearest examples as places in ``examples``, (B, n), the nearest
        first, -1 where the class has no more.
    """
    classes = examples.y.unique()
    # no matrix product: an image's distances must not depend on the batch, whose order decides
    apart = torch.cdist(
        x.flatten(1).double(),
        examples.x.flatten(1).double(),
        p=float("inf") if norm == "Linf" else 2.0,
        compute_mode="donot_use_mm_for_euclid_dist",
    )
    found = [(examples.y == k).nonzero().squeeze(1) for k in classes]
    each = min(each, max(map(len, found)))
    places = torch.full((len(classes), len(x), each), -1, device=x.device)
    nearest = torch.full((len(classes), len(x)), torch.inf, dtype=torch.float64, device=x.device)
    for row, own in enumerate(found):
        near = apart[:, own].topk(min(each, len(own)), largest=False)
        places[row, :, : near.indices.shape[1]] = own[near.indices]
        nearest[row] = near.values[:, 0]
    nearest[classes.unsqueeze(1) == y] = torch.inf
    images = torch.arange(len(x), device=x.device)
    order = nearest.argsort(stable=True, dim=0)
    for rank in order[: min(targets, len(classes) - 1)]:
        yield classes[rank], places[rank, images]
