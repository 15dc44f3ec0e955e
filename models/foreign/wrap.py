"""A module in memory becomes a `Classifier`: its features are found, its outputs are made plain logits.

What is wrapped is a copy in evaluation mode; the user's module stays as it is.
"""

import copy
import hashlib
from collections.abc import Sequence
from types import CodeType

import torch
from torch import Tensor, nn

from ..classifier import Classifier
from ..compiled import as_written
from ..python_file import first_line
from .load import Foreign, behead, probe
from .packed import ForeignError, Packed, Shape

__all__ = ["fingerprint_of", "wrap"]


def wrap(
    module: nn.Module,
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 1.0,
    *,
    name: str = "mine",
    shape: Shape | None = None,
) -> Foreign:
    """Wrap a module that maps images to logits.

    Args:
        module: Normalised images (B, C, H, W) -> logits (B, K), or an object whose ``logits`` they are, as
            Hugging Face's models give. A compiled one runs as written: layers are looked for in it.
        mean: Subtracted from images in [0, 1] before they enter it, a number or one per channel.
        std: Divides them, likewise.
        name: For the messages.
        shape: Of the images, (C, H, W); without it likely ones are tried.

    Raises:
        TypeError: It is no module, or a `Classifier` already.
        ForeignError: It cannot be copied, gives no logits, or fails on such images.
    """
    if isinstance(as_written(module), Classifier):
        raise TypeError(f"expected '{name}' to be a plain torch.nn.Module, got a gmbench.Classifier already")
    if not isinstance(module, nn.Module):
        raise TypeError(f"expected '{name}' to be a torch.nn.Module, got {type(module).__name__}")
    module = as_written(module)
    try:
        model = copy.deepcopy(module).eval()
    # A module may hold anything, an open file or a tensor with a graph
    except Exception as error:
        raise ForeignError(
            f"expected '{name}' to be a module that can be copied, got {type(error).__name__}: "
            f"{first_line(error)}"
        ) from error
    packed = Packed(_Logits(model, name), fingerprint_of(module, mean, std), shape, mean, std)
    x, logits = probe(name, packed, shape)
    net, head = behead(packed.model, x, logits)
    return Foreign(packed, net, head, logits.shape[1], x.shape[1:]).eval()


def fingerprint_of(module: nn.Module, *settings: object) -> str:
    """Hash what decides what a module in memory computes, as far as Python tells, to a sha256.

    Its structure, every parameter and buffer of whatever type, persistent or not, the plain values in its
    attributes, and the code of its classes; not what they call elsewhere.
    """
    digest = hashlib.sha256(repr((settings, module)).encode())
    for name, part in module.named_modules():
        plain = {
            key: value for key, value in sorted(vars(part).items()) if key != "training" and _is_plain(value)
        }
        digest.update(repr((name, type(part).__qualname__, plain)).encode())
        for kind in type(part).__mro__:
            if not kind.__module__.startswith(("torch.", "builtins")):
                for key, value in sorted(vars(kind).items()):
                    digest.update(_code(key, getattr(value, "__code__", None)))
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class _Logits(nn.Module):
    """Takes the logits out of whatever a module returns."""

    def __init__(self, module: nn.Module, name: str) -> None:
        super().__init__()
        self.module = module
        self._name = name

    def forward(self, x: Tensor) -> Tensor:
        found = self.module(x)
        logits = found if isinstance(found, Tensor) else getattr(found, "logits", None)
        if not isinstance(logits, Tensor):
            raise ForeignError(
                f"expected '{self._name}' to give logits (B, K), or an object with .logits, got "
                f"{type(found).__name__}; wrap it in a module whose forward returns the logits alone"
            )
        return logits


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _code(name: str, code: CodeType | None) -> bytes:
    """Give a function's instructions and constants, of the functions inside it, too."""
    if code is None:
        return b""
    inner = [value for value in code.co_consts if isinstance(value, CodeType)]
    # a set's order differs from process to process
    plain = [
        sorted(map(repr, value)) if isinstance(value, frozenset) else value
        for value in code.co_consts
        if not isinstance(value, CodeType)
    ]
    told = repr((name, plain, code.co_names, code.co_varnames)).encode() + code.co_code
    return told + b"".join(_code(value.co_name, value) for value in inner)
