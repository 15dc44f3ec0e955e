"""Other people's models: each becomes a `Classifier`, whatever it was packed in.

======================================= ======================================================================
name                                    what
======================================= ======================================================================
``torchvision:NAME``                    Its default weights; ``torchvision:NAME.WEIGHTS`` for others.
``timm:NAME``                           ``timm:NAME.TAG`` and ``timm:hf-hub:USER/NAME`` as timm has them.
``robustbench:NAME``                    ``robustbench:DATA/THREAT/NAME`` where several have a NAME.
``PATH.pt2``                            An archive of `torch.export`; ``pt2:PATH`` says the same.
``torchscript:PATH``                    TorchScript; ``PATH.ts`` says the same (``.pt`` alone does not:
                                        `load_checkpoint` reads it).
``FILE.py:CLASS@WEIGHTS``               What ``CLASS()`` of the Python file builds, with those weights:
                                        safetensors, or what torch.save wrote (.pt, .pth, .ckpt, .bin).
======================================= ======================================================================

The features are the last linear layer's input. The layer is found by running the model and taken out, so that
the head has it and the rest of the model gives the features; that the two still compute the model's logits,
bit for bit, is checked. Where they do not (a last layer that is no `torch.nn.Linear`, an ensemble) and where
layers cannot be taken out (TorchScript, ``.pt2``), **the features are the logits** and
`Foreign.features_are_logits` says so.

A stranger's weights are never unpickled beyond tensors. The rest is code and runs as such: a Python file, a
TorchScript program, an exported graph; see `file`.
"""

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from ..classifier import Classifier, Outputs, normalisation
from ..files import models_root
from ..python_file import first_line
from ..registry import check_known
from .file import PythonParts, parts_of
from .layers import Layers, find_layers
from .packed import LOADERS, ForeignError, Packed, Shape

__all__ = [
    "HUBS",
    "Foreign",
    "ForeignError",
    "behead",
    "is_foreign",
    "load_foreign",
    "needs_trust",
    "probe",
    "python_parts",
]

SUFFIXES = {".pt2": "pt2", ".ts": "torchscript"}
"""What a path's suffix says where its prefix is left out."""

HUBS = ("torchvision", "timm", "robustbench")
"""Kinds that run the installed package's code alone.

What they fetch is unpickled as tensors or not at all.
"""

SIDES = (32, 28, 8, 16, 64, 96, 128, 160, 192, 224, 256, 288, 299, 320, 384, 448, 512)
"""Sides that are tried, in this order, on a model that does not tell its own."""


class Foreign(Classifier):
    """Another's model; images in [0, 1] enter, its normalisation is inside.

    Args:
        packed: As loaded.
        net: The model without its last layer, or the model.
        head: Its last layer, or the identity.
        classes: K.
        probed: Shape of images that it was tried with, (C, H, W).

    Attributes:
        classes: K, as the model's logits have it.
        opaque: See `Packed`; it offers no layers, then.
        shape: Of the images that it is made for, (C, H, W); None where nothing tells.
        fingerprint: See `Packed`.
        note: Likewise.
        features_are_logits: The layer before the logits could not be had.
    """

    def __init__(
        self, packed: Packed, net: nn.Module, head: nn.Module, classes: int, probed: Sequence[int]
    ) -> None:
        super().__init__(net, head, packed.mean, packed.std)
        self.classes = classes
        self.shape = packed.shape
        self.fingerprint = packed.fingerprint
        self.note = packed.note
        self.features_are_logits = isinstance(head, nn.Identity)
        self.opaque = packed.opaque
        self.probed = tuple(probed)

    @cached_property
    def _layers(self) -> Layers:
        """Look at the net only when layers are asked for."""
        if self.opaque:
            return Layers((), lambda net, _names, x: (net(x), {}))
        weight = next(self.parameters(), torch.zeros(0))
        x = torch.rand(2, *self.probed, generator=torch.Generator().manual_seed(0)).to(weight.device)
        return find_layers(self.net, self.normalise(x))

    @property
    def found(self) -> dict[str, str]:
        """What is known of it, in words."""
        nothing = f"{self.classes}: the logits, as no last linear layer was found"
        features = nothing if self.features_are_logits else str(self.head.in_features)
        return {"classes": str(self.classes), "features": features}

    @property
    def layer_names(self) -> tuple[str, ...]:
        return self._layers.names

    def outputs(self, x: Tensor, layers: Sequence[str] = ()) -> Outputs:
        if not layers:
            return super().outputs(x)
        features, values = self._layers.extract(self.net, layers, self.normalise(x))
        return Outputs(x, features, self.head(features), layers=values)


def is_foreign(name: str) -> bool:
    """Tell whether `load_foreign` is asked for, rather than a checkpoint's name or path."""
    return bool(_split(name)[0])


def needs_trust(name: str) -> bool:
    """Tell whether whoever loads it must trust somebody beside a hub's package.

    That is every kind but `HUBS`, as it may run code, and timm's ``hf-hub:USER/NAME``: anybody uploads there,
    and an upload has a say in how its net is built.
    """
    kind, rest = _split(name)
    return kind in LOADERS and (kind not in HUBS or ":" in rest)


def python_parts(name: str) -> PythonParts | None:
    """Take apart ``FILE.py:CLASS@WEIGHTS``; None for every other kind of model.

    Raises:
        ForeignError: It is written wrongly, or there is no such file.
    """
    kind, rest = _split(name)
    return parts_of(rest) if kind == "python" else None


def load_foreign(name: str, cache: Path | None = None, shape: Shape | None = None) -> Foreign:
    """Load another's model in evaluation mode.

    Args:
        name: See the module's table.
        cache: Folder for what is fetched; see `models_root`.
        shape: Of the images it will get, (C, H, W). A model that does not tell its own is tried with it, and
            without it with square images.

    Raises:
        ForeignError: An unknown name, a missing package, a hub that cannot be reached, a damaged file, or a
            model that gives no logits.
    """
    kind, rest = _split(name)
    if not kind:
        raise ForeignError(
            f"expected a model's name to be KIND:NAME with one of {', '.join(LOADERS)}, PATH.pt2, PATH.ts or "
            f"FILE.py:CLASS@WEIGHTS, got '{name}'"
        )
    check_known("kind of model", kind, LOADERS, ForeignError)
    packed = LOADERS[kind](rest, models_root(cache))
    packed.model.eval()
    x, logits = probe(name, packed, shape)
    net, head = (packed.model, nn.Identity()) if packed.opaque else behead(packed.model, x, logits)
    return Foreign(packed, net, head, logits.shape[1], x.shape[1:]).eval()


def _split(name: str) -> tuple[str, str]:
    """Tell kind and rest; the kind may be one that nobody knows, and is "" where there is no sign of any."""
    prefix, colon, rest = name.partition(":")
    if prefix in LOADERS:
        return prefix, rest
    if ".py:" in name:
        return "python", name
    if kind := SUFFIXES.get(Path(name).suffix):
        return kind, name
    return (prefix, rest) if colon and prefix.isidentifier() else ("", name)


@torch.no_grad()
def probe(name: str, packed: Packed, shape: Shape | None) -> tuple[Tensor, Tensor]:
    """Run the model on two images of the first shape that it takes, in float32.

    Returns them, normalised, and its logits (2, K).

    Raises:
        ForeignError: It takes none of the likely shapes, or gives no logits.
    """
    if not packed.opaque:  # half precision stores weights; attacks need gradients that do not vanish in it
        packed.model.float()
    wanted = packed.shape or shape
    failure = "it has no weights that tell its input"
    for tried in [wanted] if wanted else _likely_shapes(packed.model):
        x = normalisation(packed.mean, packed.std)(
            torch.rand(2, *tried, generator=torch.Generator().manual_seed(0))
        )
        try:
            logits = packed.model(x)
        except ForeignError:
            raise
        # Another's model may raise anything where a shape does not fit
        except Exception as error:  # noqa: BLE001
            failure = f"on images of shape {tried}: {first_line(error)}"
            continue
        if isinstance(logits, Tensor) and logits.ndim == 2 and len(logits) == 2 and logits.shape[1] > 1:
            return x, logits
        failure = f"expected logits of shape (2, K) for two images of shape {tried}, got {_say_shape(logits)}"
        if not isinstance(logits, Tensor):
            failure += "; return its logits alone, or wrap it: gmbench.wrap"
    raise ForeignError(f"'{name}' does not work as a classifier; {failure}")


def _likely_shapes(model: nn.Module) -> Iterator[Shape]:
    """Guess inputs from the first layer.

    A convolution tells the channels, a linear layer the number of pixels.
    """
    first = next((weight for weight in model.parameters() if weight.ndim in (2, 4)), None)
    if first is not None and first.ndim == 2:
        for channels in (1, 3):
            side = math.isqrt(first.shape[1] // channels)
            if channels * side**2 == first.shape[1]:
                yield channels, side, side
    for channels in (3, 1) if first is None or first.ndim == 2 else (first.shape[1],):
        yield from ((channels, side, side) for side in SIDES)


@torch.no_grad()
def behead(model: nn.Module, x: Tensor, logits: Tensor) -> tuple[nn.Module, nn.Module]:
    """Take out the linear layer that gives the logits.

    Returns the rest and the layer, or the model and the identity.

    Args:
        model: Changed in place.
        x: Normalised images, (B, *S).
        logits: What the model makes of them, (B, K).
    """
    for name in _layers_giving(logits, model, x):
        layer = cast(nn.Linear, model.get_submodule(name))
        model.set_submodule(name, nn.Identity())
        try:
            features = model(x)
        # A model that asks more of its last layer than to be called: it keeps it
        except Exception:  # noqa: BLE001
            features = None
        model.set_submodule(name, layer)
        if isinstance(features, Tensor) and features.ndim == 2 and _agree(model, layer, x, features):
            model.set_submodule(name, nn.Identity())
            return model, layer
    return model, nn.Identity()


def _agree(model: nn.Module, layer: nn.Linear, x: Tensor, features: Tensor) -> bool:
    """Tell whether the layer makes of the features what the model makes of the images.

    Also with the signs of its weights turned.

    Were there a ReLU behind the layer, positive logits would hide it and negative ones would not.
    """
    if features.shape[1] != layer.in_features or not torch.equal(layer(features), model(x)):
        return False
    _turn(layer)
    try:
        return torch.equal(layer(features), model(x))
    finally:
        _turn(layer)


def _turn(layer: nn.Module) -> None:
    for weight in layer.parameters():
        weight.neg_()


def _layers_giving(logits: Tensor, model: nn.Module, x: Tensor) -> list[str]:
    """Name the linear layers, last first, whose output is the logits."""
    found: list[str] = []

    def note(name: str, output: Tensor) -> None:
        if output.shape == logits.shape and torch.equal(output, logits):
            found.insert(0, name)

    layers = [
        (name, module) for name, module in model.named_modules() if name and isinstance(module, nn.Linear)
    ]
    hooks = [
        module.register_forward_hook(lambda _module, _x, y, name=name: note(name, y))
        for name, module in layers
    ]
    try:
        model(x)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _say_shape(value: object) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__
