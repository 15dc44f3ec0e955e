"""What a loader of another's model hands over, and what all of them share."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn

from ..registry import Registry

__all__ = ["LOADERS", "ForeignError", "Packed", "Shape", "only_tensors"]

Shape = tuple[int, int, int]


class ForeignError(ValueError):
    """Another's model that cannot be had, read or used; one line that says why."""


@dataclass(frozen=True)
class Packed:
    """A model as its loader hands it over.

    Args:
        model: Normalised images (B, C, H, W) to logits (B, K).
        fingerprint: sha256 of all that decides what it computes, as far as its package tells.
        shape: Of the images that it is made for, (C, H, W); None where nothing tells.
        mean: Subtracted from images in [0, 1] before they enter it.
        std: Divides them, likewise.
        opaque: Its layers cannot be taken out.
        note: What was done to it and its user should know, or nothing.
    """

    model: nn.Module
    fingerprint: str
    shape: Shape | None = None
    mean: float | Sequence[float] = 0.0
    std: float | Sequence[float] = 1.0
    opaque: bool = False
    note: str = ""


LOADERS: Registry[Packed] = Registry("kind of model")
"""Every loader by its prefix: what follows the prefix, and the cache folder -> `Packed`."""


@contextmanager
def only_tensors(**variables: str) -> Iterator[None]:
    """Make `torch.load` unpickle tensors only, whatever its callers ask for.

    And set other variables of the environment, for a while.
    """
    wanted = {"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "0", **variables}
    before = {key: os.environ.get(key) for key in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value
