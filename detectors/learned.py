"""What a detector has learned as tensors by name, and back, without any code of the detector's own.

A name is a path: the field, then ``list`` or ``tuple`` and the place in it, and at last ``number`` or
``none`` for what is no tensor: ``points_/list/3``, ``fitted_on_/tuple/0/number``.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["NotTensorsError", "as_tensors", "from_tensors"]

_NUMBERS = {bool: torch.bool, int: torch.int64, float: torch.float64}


class NotTensorsError(TypeError):
    """Something is none of tensors, numbers, None, and lists and tuples of such."""


def as_tensors(values: Mapping[str, Any]) -> dict[str, Tensor]:
    """Flatten values by name into tensors on the CPU, each with memory of its own.

    Raises:
        NotTensorsError: One cannot be given back by `from_tensors` to the bit.
    """
    found: dict[str, Tensor] = {}
    for name, value in values.items():
        _flatten(name, value, found)
    return found


def from_tensors(tensors: Mapping[str, Tensor], device: str = "cpu") -> dict[str, Any]:
    """Give the values back that `as_tensors` has flattened, their tensors on ``device``.

    Raises:
        ValueError: The names are not such as it gives.
    """
    tree: dict[str, Any] = {}
    try:
        for path, tensor in tensors.items():
            *steps, last = path.split("/")
            node = tree
            for step in steps:
                node = node.setdefault(step, {})
            node[last] = tensor
        return {name: _grown(value, device) for name, value in tree.items()}
    except (KeyError, TypeError, IndexError, AttributeError, RuntimeError) as error:
        raise ValueError(f"expected what was learned as tensors by path, got {error}") from error


def _flatten(path: str, value: Any, found: dict[str, Tensor]) -> None:
    if isinstance(value, Tensor) and type(value) is Tensor and not value.is_complex() and not value.is_sparse:
        found[path] = value.detach().cpu().contiguous().clone()
    elif type(value) in _NUMBERS and not (type(value) is int and abs(value) >= 2**63):
        found[f"{path}/number"] = torch.tensor(value, dtype=_NUMBERS[type(value)])
    elif value is None:
        found[f"{path}/none"] = torch.empty(0)
    elif type(value) in (list, tuple):
        kind = type(value).__name__
        found[f"{path}/{kind}/size"] = torch.tensor(len(value))
        for place, item in enumerate(value):
            _flatten(f"{path}/{kind}/{place}", item, found)
    else:
        raise NotTensorsError(f"expected {path} to be tensors and numbers, got {type(value).__name__}")


def _grown(node: Any, device: str) -> Any:
    if isinstance(node, Tensor):
        return node.to(device)
    match node:
        case {"number": Tensor() as number}:
            return number.item()
        case {"none": Tensor()}:
            return None
        case {"list": {"size": Tensor() as size, **items}}:
            return [_grown(items[str(place)], device) for place in range(int(size))]
        case {"tuple": {"size": Tensor() as size, **items}}:
            return tuple(_grown(items[str(place)], device) for place in range(int(size)))
    raise ValueError(f"expected what was learned to be tensors, numbers and lists, got {sorted(node)}")
