"""In which floats a network computes: float32 in full, and bfloat16 where the device has it.

What is judged, scored and trained is float32 in full. A processor or GPU that computes bfloat16 natively may
give an attack's gradients in it: a direction needs no more digits.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch

__all__ = ["PRECISIONS", "bf16", "computed_in", "full_float32", "has_bf16"]

PRECISIONS = ("float32", "bf16")
"""What gradients are computed in; the head of a classifier always in float32."""

T = TypeVar("T")

_OPERATIONS = {"cudnn": ("conv", "rnn"), "cuda": ("matmul",), "mkldnn": ("conv", "matmul", "rnn")}
"""Backend -> what torch (2.9 and later) sets the precision of, one by one."""


def computed_in(precision: str, device: str) -> str:
    """Tell in which of `PRECISIONS` a device computes gradients for which one was asked.

    Bfloat16 is float32 where it would be emulated: slower, and of no use. So a suite that asks for it runs
    everywhere, and a cell says what it was computed in.

    Raises:
        ValueError: No such precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"expected precision to be one of {', '.join(PRECISIONS)}, got '{precision}'")
    return "bf16" if precision == "bf16" and has_bf16(device) else "float32"


def has_bf16(device: str) -> bool:
    """Tell whether the device computes in bfloat16 natively, not by emulation."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_capability()[0] >= 8
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(key, False) for key in ("avx512_bf16", "amx_bf16", "bf16"))


def bf16(device: torch.device | str, *, wanted: bool = True) -> contextlib.AbstractContextManager[object]:
    """Compute what has weights in bfloat16 inside the context, and the rest as torch thinks fit."""
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=wanted)


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """Compute float32 as float32, whatever the program around has chosen; also a decorator.

    A GPU's convolutions take TF32 by default, ten bits of mantissa; `torch.set_float32_matmul_precision` has
    products take it, too, or bfloat16 on a processor that has it.
    """
    operations = list(_operations())
    before = [operation.fp32_precision for operation in operations]
    convolutions, products = _older(_convolutions), _older(torch.get_float32_matmul_precision)
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    for operation in operations:
        if operation.fp32_precision != "none":
            operation.fp32_precision = "ieee"
    try:
        yield
    finally:
        if convolutions is not None:
            torch.backends.cudnn.allow_tf32 = convolutions
        if products is not None:
            torch.set_float32_matmul_precision(products)
        for operation, precision in zip(operations, before, strict=True):
            operation.fp32_precision = precision


def _convolutions() -> bool:
    return torch.backends.cudnn.allow_tf32


def _older(read: Callable[[], T]) -> T | None:
    """Read a flag; None where operations were set one by one, for torch refuses to tell it then."""
    try:
        return read()
    except RuntimeError:
        return None


def _operations() -> Iterator[Any]:
    for backend, names in _OPERATIONS.items():
        for name in names:
            operation = getattr(getattr(torch.backends, backend), name, None)
            if hasattr(operation, "fp32_precision"):
                yield operation
