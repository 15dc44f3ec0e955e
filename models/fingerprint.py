"""What decides what a model computes, as one hash: texts, files, and every tensor of any type."""

import hashlib
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["digest"]

_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype)


def digest(*parts: object) -> str:
    """Hash parts to one sha256.

    Args:
        parts: Texts, contents of files, tensors, arrays; modules with all their parameters and buffers,
            persistent or not, and what else their state holds; containers of such; other objects by their
            type and their attributes. What a function or an object behind ``__slots__`` holds is not seen.
    """
    whole = hashlib.sha256()
    seen: set[int] = set()
    for part in parts:
        for piece in _pieces(part, seen):
            whole.update(f"{len(piece)} ".encode() + piece)
    return whole.hexdigest()


def _pieces(part: object, seen: set[int]) -> Iterator[bytes]:
    """Give a part's bytes; what was ``seen`` is not gone through again, lest a circle never ends."""
    if isinstance(part, bytes):
        yield part
    elif isinstance(part, str):
        yield part.encode()
    elif isinstance(part, Tensor):
        yield from _of_tensor(part)
    elif isinstance(part, np.ndarray | np.generic):
        yield f"{part.dtype} {part.shape}".encode()
        yield part.tobytes()
    elif isinstance(part, _PLAIN):
        yield repr(part).encode()
    elif id(part) in seen:
        yield b"seen"
    else:
        if not isinstance(part, tuple):  # those are made on the way, and their ids are used again
            seen.add(id(part))
        yield f"{type(part).__module__}.{type(part).__qualname__}".encode()
        for inner in _held(part):
            yield from _pieces(inner, seen)


def _held(part: object) -> Iterator[object]:
    if isinstance(part, nn.Module):
        # tensors that two names share are there twice; a quantised layer has its weights in its state alone
        yield from part.named_parameters(remove_duplicate=False)
        yield from part.named_buffers(remove_duplicate=False)
        yield from (
            (name, value) for name, value in part.state_dict().items() if not isinstance(value, Tensor)
        )
    elif isinstance(part, Mapping):
        yield from part.items()
    elif isinstance(part, list | tuple):
        yield from part
    elif isinstance(part, set | frozenset):
        yield from sorted(map(repr, part))
    elif not isinstance(part, type) and not callable(getattr(part, "__get__", None)):
        yield from getattr(part, "__dict__", {}).items()


def _of_tensor(tensor: Tensor) -> Iterator[bytes]:
    value = tensor.detach().cpu()
    yield f"{value.dtype} {tuple(value.shape)}".encode()
    if value.is_quantized:
        yield repr(value.qscheme()).encode()
        per_channel = value.qscheme() in (torch.per_channel_affine, torch.per_channel_symmetric)
        if per_channel:
            yield from _of_tensor(value.q_per_channel_scales())
            yield from _of_tensor(value.q_per_channel_zero_points())
        else:
            yield f"{value.q_scale()} {value.q_zero_point()}".encode()
        value = value.int_repr()
    elif value.layout != torch.strided:
        value = value.to_dense()
    yield value.contiguous().flatten().view(torch.uint8).numpy().tobytes()
