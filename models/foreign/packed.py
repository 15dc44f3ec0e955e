"""What a loader of another's model hands over, and what all of them share."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from ..registry import Registry

__all__ = ["LOADERS", "ForeignError", "Packed", "Shape", "digest", "only_tensors"]

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


def digest(*parts: str | bytes | nn.Module) -> str:
    """Hash texts, contents of files and modules' weights (in any type) to one sha256."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, nn.Module):
            for key, value in part.state_dict().items():
                digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
                digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        else:
            content = part.encode() if isinstance(part, str) else part
            digest.update(f"{len(content)} ".encode() + content)
    return digest.hexdigest()


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
