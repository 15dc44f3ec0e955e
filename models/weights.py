"""Weights that others saved: read as tensors and nothing else, and fitted to a net.

They come wrapped: DataParallel puts ``module.`` before every key, `torch.compile` ``_orig_mod.``, Lightning
``model.``; Lightning and many training scripts keep them in a dictionary beside the optimizer's.
"""

import pickle
from collections.abc import Collection, Mapping
from io import BytesIO

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

__all__ = ["PICKLED", "fit_weights", "read_weights"]

PICKLED = (".pt", ".pth", ".ckpt", ".bin")
"""Suffixes of weights that torch.save wrote."""

PREFIXES = ("module.", "_orig_mod.", "model.")
"""What wrappers put before every key."""

INSIDE = ("state_dict", "model_state_dict", "model")
"""Under which key training scripts keep the weights."""

SHOWN = 3
"""Keys that an error names."""


def read_weights(name: str, content: bytes) -> dict[str, Tensor]:
    """Read a state_dict from a file's content; nothing but tensors and plain values is unpickled.

    Args:
        name: Of the file, whose suffix tells safetensors from what `torch.save` wrote.
        content: Of the file.

    Raises:
        ValueError: It is damaged, holds no state_dict, or more than tensors; one line.
    """
    if not name.endswith(PICKLED):
        try:
            return safetensors.torch.load(content)
        except safetensors.SafetensorError as error:
            raise ValueError(f"{name} is no file of safetensors: {error}") from None
    try:
        found = torch.load(BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ValueError(
            f"{name} is pickled with more than tensors, which could run code, and is refused; save its "
            "state_dict() as safetensors"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError):
        raise ValueError(f"{name} is damaged, or was not written by torch.save") from None
    state = _state_of(found)
    if state is None:
        raise ValueError(f"expected {name} to be a state_dict, or to hold one as {', '.join(INSIDE)}")
    return state


def fit_weights(model: nn.Module, state: Mapping[str, Tensor]) -> str:
    """Load weights into a net and say what was done to their keys, or "".

    A prefix that all keys have and the net's have not is taken off. A key that is missing does no harm where
    the net ties its tensor to one that is there.

    Raises:
        ValueError: They do not fit; one line.
    """
    own = model.state_dict()
    taken = ""
    while not state.keys() <= own.keys():
        prefix = next((prefix for prefix in PREFIXES if all(key.startswith(prefix) for key in state)), None)
        if prefix is None:
            break
        state = {key.removeprefix(prefix): value for key, value in state.items()}
        taken += prefix
    try:
        missing, unknown = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise ValueError(str(error).splitlines()[-1].strip()) from None
    there = {_place(own[key]) for key in state if key in own}
    lacking = [key for key in missing if _place(own[key]) not in there]
    if lacking or unknown:
        told = [f"lack {_listed(lacking)}"] * bool(lacking) + [f"have also {_listed(unknown)}"] * bool(
            unknown
        )
        raise ValueError(f"the weights {' and '.join(told)}")
    return f"the prefix '{taken}' was taken off the weights' keys" if taken else ""


def _state_of(found: object) -> dict[str, Tensor] | None:
    """Find the state_dict in what a training script saved."""
    while isinstance(found, Mapping):
        if found and all(isinstance(value, Tensor) for value in found.values()):
            return dict(found)
        found = next((found[key] for key in INSIDE if isinstance(found.get(key), Mapping)), None)
    return None


def _place(tensor: Tensor) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """Tell which memory a tensor shows; tied ones show the same."""
    return tensor.data_ptr(), tuple(tensor.shape), tensor.stride()


def _listed(keys: Collection[str]) -> str:
    more = len(keys) - SHOWN
    return ", ".join(list(keys)[:SHOWN]) + (f" and {more} more" if more > 0 else "")
