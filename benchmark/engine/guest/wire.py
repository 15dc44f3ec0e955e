"""What goes between host and guest: JSON lines over a socket, and tensors over a shared file.

Both sides take turns, so that one file serves both directions. Tensors are read by copying: what the guest
does to the file later changes nothing that the host has checked. Nothing is ever unpickled.
"""

import json
import math
import os
import socket
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["LARGEST", "Channel", "Ended", "Late", "Nonsense"]

LARGEST = 8 * 2**30
"""Bytes of tensors in one message: a thousand images' features of every layer of a large net."""

LONGEST_LINE = 2**24
"""Bytes of one line of JSON."""

ALIGNED = 64
"""Tensors begin at multiples of so many bytes."""

DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64)
}


class Nonsense(ValueError):
    """The other side said what the protocol does not know."""


class Late(TimeoutError):
    """The other side did not answer in time."""


class Ended(ConnectionError):
    """The other side is gone."""


class Channel:
    """One end of the line.

    Args:
        line: A connected stream socket.
        desk: File descriptor of the shared file.
    """

    def __init__(self, line: socket.socket, desk: int) -> None:
        self._line = line
        self._desk = desk
        self._unread = b""

    def say(self, message: Mapping[str, Any], tensors: Mapping[str, Tensor] | None = None) -> None:
        """Send a message with its tensors.

        Raises:
            Ended: Nobody listens.
            ValueError: A tensor has a type that cannot be sent.
        """
        specs = self._lay_down(tensors or {})
        try:
            self._line.sendall(json.dumps({**message, "tensors": specs}).encode() + b"\n")
        except TimeoutError:
            raise Late from None
        except OSError:
            raise Ended from None

    def hear(self, limit: float | None = None) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Wait for a message, and copy its tensors.

        Args:
            limit: Seconds; None waits for ever.

        Raises:
            Late: Nothing came in time.
            Ended: The other side is gone.
            Nonsense: What came is no message, or its tensors are none.
        """
        line = self._next_line(None if limit is None else time.monotonic() + limit)
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            raise Nonsense(f"a line of JSON, got {line[:40]!r}") from None
        if not isinstance(message, dict) or not isinstance(specs := message.pop("tensors", None), dict):
            raise Nonsense(f"an object with its tensors, got {line[:40]!r}")
        return message, self._pick_up(specs)

    def _next_line(self, deadline: float | None) -> bytes:
        while b"\n" not in self._unread:
            if len(self._unread) > LONGEST_LINE:
                raise Nonsense(f"a line of at most {LONGEST_LINE} bytes, got a longer one")
            if deadline is not None:  # a timeout of 0 would not wait, but fail
                self._line.settimeout(max(deadline - time.monotonic(), 1e-6))
            try:
                part = self._line.recv(2**16)
            except TimeoutError:
                raise Late from None
            except OSError:
                raise Ended from None
            if not part:
                raise Ended
            self._unread += part
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _lay_down(self, tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Any]]:
        specs: dict[str, dict[str, Any]] = {}
        place = 0
        for name, tensor in tensors.items():
            if (dtype := str(tensor.dtype).removeprefix("torch.")) not in DTYPES:
                raise ValueError(f"expected {name} to be floats, got {dtype}")
            order = _order(tensor)
            stored = tensor.detach().cpu().permute(order).contiguous()
            content = _bytes(stored)
            _write(self._desk, content, place)
            specs[name] = {"dtype": dtype, "shape": list(stored.shape), "order": order}
            place = _aligned(place + len(content))
        return specs

    def _pick_up(self, specs: Mapping[str, Any]) -> dict[str, Tensor]:
        there = os.fstat(self._desk).st_size
        tensors: dict[str, Tensor] = {}
        place = 0
        for name, spec in specs.items():
            dtype, shape, order = _checked(name, spec)
            size = math.prod(shape) * dtype.itemsize
            if size and place + size > min(there, LARGEST):
                raise Nonsense(f"{name} of at most {min(there, LARGEST) - place} bytes, got {size}")
            content = torch.empty(size, dtype=torch.uint8)
            _read(self._desk, _bytes(content), place)
            inverse = sorted(range(len(order)), key=order.__getitem__)
            tensors[name] = content.view(dtype).view(shape).permute(inverse)
            place = _aligned(place + size)
        return tensors


def _order(tensor: Tensor) -> list[int]:
    """List the dimensions from the outermost in memory to the innermost.

    Strides decide which kernels run, and so the last bits: those of channels-last images survive the way.
    """
    strides, shape = tensor.stride(), tensor.shape
    return sorted(range(tensor.ndim), key=lambda axis: (-strides[axis], -shape[axis]))


def _checked(name: str, spec: Any) -> tuple[torch.dtype, list[int], list[int]]:
    """Check what says how a tensor lies in the file.

    Raises:
        Nonsense: It is none.
    """
    if isinstance(spec, dict):
        dtype, shape, order = (spec.get(key) for key in ("dtype", "shape", "order"))
        if (
            isinstance(dtype, str)
            and dtype in DTYPES
            and isinstance(shape, list)
            and len(shape) <= 16
            and all(type(size) is int and 0 <= size <= LARGEST for size in shape)
            and isinstance(order, list)
            and all(type(axis) is int for axis in order)
            and sorted(order) == list(range(len(shape)))
        ):
            return DTYPES[dtype], shape, order
    raise Nonsense(f"{name} to be a tensor, got {str(spec)[:80]}")


def _bytes(tensor: Tensor) -> memoryview:
    """Show the memory of a contiguous tensor."""
    return memoryview(tensor.flatten().view(torch.uint8).numpy())  # type: ignore[arg-type]


def _aligned(place: int) -> int:
    return -(-place // ALIGNED) * ALIGNED


def _write(file: int, content: memoryview, place: int) -> None:
    while content:
        written = os.pwrite(file, content, place)
        content, place = content[written:], place + written


def _read(file: int, content: memoryview, place: int) -> None:
    while content:
        read = os.preadv(file, [content], place)
        if read == 0:
            raise Nonsense("a whole tensor, got a part of one")
        content, place = content[read:], place + read
