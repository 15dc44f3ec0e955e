"""A compiled `Classifier` is a Classifier still: `torch.compile` wraps it in a module that is none."""

import copy
from typing import Any, cast

from torch import nn

from .classifier import Classifier

__all__ = ["as_classifier", "as_written"]


def as_classifier(module: Any) -> Any:
    """Give a compiled Classifier as one whose net is compiled, by the same backend; anything else as is.

    Its head runs as written, for detectors and attacks ask more of it than logits. A Classifier that has no
    ``net`` runs as written altogether. The user's own is left alone; weights are shared.
    """
    plain = as_written(module)
    if plain is module or not isinstance(plain, Classifier):
        return module
    result = copy.copy(plain)
    parts = dict(plain.named_children())
    if "net" in parts:
        parts["net"] = type(module)(parts["net"], module.dynamo_ctx)
    result.__dict__["_modules"] = parts  # a shallow copy shares its parts' table with the original
    return result


def as_written(module: nn.Module) -> nn.Module:
    """Give the module that was compiled, and one that was not as it is."""
    return cast(nn.Module, getattr(module, "_orig_mod", module))
