"""What is attacked: a classifier that shows its features, its logits and, where it has one, its likelihood.

A likelihood-based defense is more than its logits: the detectors read the features, and the attacker who
knows the defense climbs the class-conditional log-likelihood. `Outputs` carries all three out of one forward
pass.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import cast

import torch
from torch import Tensor, nn

__all__ = ["Classifier", "Outputs", "normalisation", "watching"]


@dataclass(frozen=True)
class Outputs:
    """What one forward pass tells about a batch.

    Args:
        x: The images the rest was computed from, (B, *S), in [0, 1].
        features: (B, D).
        logits: (B, K).
        log_likelihood: (B, K), log p(features | class) up to one constant for all classes, or None where the
            model has no mixture.
        layers: Features of layers further down by name, (B, ...) each; only those that were asked for.
        score: What the detector that an attacker knows says, (B,), the higher the more suspicious; None where
            nobody asked it.
    """

    x: Tensor
    features: Tensor
    logits: Tensor
    log_likelihood: Tensor | None = None
    layers: Mapping[str, Tensor] = field(default_factory=dict)
    score: Tensor | None = None

    @property
    def predicted(self) -> Tensor:
        """The predicted class, (B,)."""
        return self.logits.argmax(1)

    def detach(self) -> "Outputs":
        """Cut the graph."""
        return self.each(Tensor.detach)

    def cpu(self) -> "Outputs":
        """Bring all to the CPU."""
        return self.each(Tensor.cpu)

    def __getitem__(self, rows: Tensor | slice) -> "Outputs":
        """Select samples."""
        return self.each(lambda tensor: tensor[rows])

    @property
    def tensors(self) -> list[Tensor]:
        """All that it holds, in one order."""
        found: list[Tensor] = []

        def keep(tensor: Tensor) -> Tensor:
            found.append(tensor)
            return tensor

        self.each(keep)
        return found

    def each(self, change: Callable[[Tensor], Tensor]) -> "Outputs":
        """Change every tensor that it holds."""
        return Outputs(
            change(self.x),
            change(self.features),
            change(self.logits),
            None if self.log_likelihood is None else change(self.log_likelihood),
            {name: change(layer) for name, layer in self.layers.items()},
            None if self.score is None else change(self.score),
        )

    def averaged(self) -> "Outputs":
        """Average every layer over the image, (B, C, ...) -> (B, C)."""
        means = {
            name: layer.flatten(2).mean(2) if layer.ndim > 2 else layer for name, layer in self.layers.items()
        }
        return replace(self, layers=means)

    @staticmethod
    def cat(parts: Sequence["Outputs"]) -> "Outputs":
        """Join batches that carry the same layers and scores."""
        scores = [part.score for part in parts if part.score is not None]
        likelihoods = [part.log_likelihood for part in parts if part.log_likelihood is not None]
        return Outputs(
            torch.cat([part.x for part in parts]),
            torch.cat([part.features for part in parts]),
            torch.cat([part.logits for part in parts]),
            torch.cat(likelihoods) if likelihoods else None,
            {name: torch.cat([part.layers[name] for part in parts]) for name in parts[0].layers},
            torch.cat(scores) if scores else None,
        )


class Classifier(nn.Module):
    """A network for features and a head for logits.

    Inputs always lie in [0, 1], normalisation is a layer inside.

    Compose one from two modules, or subclass and override `features` and `head`.

    Args:
        net: Maps images (B, *S) in [0, 1] to features (B, D). An attribute ``layers`` of it, {name: path of a
            submodule}, offers the features of these layers, too.
        head: Maps features (B, D) to logits (B, K). If it has a method ``log_likelihood`` (B, D) -> (B, K),
            that is the model's mixture.
        mean: Subtracted from the input, a number or one per channel.
        std: Divides the input, likewise.
    """

    def __init__(
        self,
        net: nn.Module,
        head: nn.Module,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
    ) -> None:
        super().__init__()
        self.normalise = normalisation(mean, std)
        self.net = net
        self.head = head

    def features(self, x: Tensor) -> Tensor:
        """Compute the features, (B, *S) -> (B, D), always in float32 or wider.

        Raises:
            TypeError: The network gives no tensor.
        """
        return _wide("net", self.net(self.normalise(x)))

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The layers whose features `outputs` can carry, in the order of the pass."""
        return tuple(getattr(getattr(self, "net", None), "layers", ()))

    def outputs(self, x: Tensor, layers: Sequence[str] = ()) -> Outputs:
        """Compute features, logits and likelihood in one pass, (B, *S).

        Args:
            x: Images.
            layers: Names of `layer_names` whose features are wanted, too.
        """
        values: dict[str, Tensor] = {}
        if layers:
            places = cast(Mapping[str, str], self.net.layers)
            with watching(self.net, {name: places[name] for name in layers}) as values:
                features = self.features(x)
        else:
            features = self.features(x)
        mixture = getattr(self.head, "log_likelihood", None)
        with _in_float32(x):
            likelihood = None if mixture is None else mixture(features)
            return Outputs(x, features, _wide("head", self.head(features)), likelihood, values)

    def outputs_each(self, batches: Sequence[Tensor]) -> list[Outputs]:
        """Compute the outputs of several batches of as many images each, (B, *S)."""
        return [self.outputs(batch) for batch in batches]

    def order(self, images: int) -> Tensor:
        """Tell in which order it is shown so many images, (N,), where that is for it to say: as they come."""
        return torch.arange(images)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits, (B, *S) -> (B, K)."""
        features = self.features(x)
        with _in_float32(x):
            return _wide("head", self.head(features))


def _in_float32(x: Tensor) -> torch.autocast:
    """Let a head compute in float32 where the net runs in bfloat16: distances lose too many digits in it."""
    return torch.autocast(x.device.type, enabled=False)


def _wide(part: str, value: object) -> Tensor:
    """Give what a part computed in float32 or wider."""
    if not isinstance(value, Tensor):
        raise TypeError(
            f"expected the {part} of a Classifier to give a tensor, got {type(value).__name__}; return its "
            "logits or features alone, or wrap the whole model: gmbench.wrap"
        )
    return value if value.dtype == torch.float64 else value.float()


@contextmanager
def watching(net: nn.Module, places: Mapping[str, str]) -> Iterator[dict[str, Tensor]]:
    """Note what submodules of ``net`` give while it runs inside the context.

    Args:
        net: Whose submodules.
        places: {name: path of the submodule}.

    Yields:
        {name: what the submodule gave when it was last called}, filled while the net runs.
    """
    values: dict[str, Tensor] = {}

    def note(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        return lambda _module, _inputs, value: values.__setitem__(name, value)

    hooks = [net.get_submodule(place).register_forward_hook(note(name)) for name, place in places.items()]
    try:
        yield values
    finally:
        for hook in hooks:
            hook.remove()


def normalisation(mean: float | Sequence[float], std: float | Sequence[float]) -> nn.Module:
    """Build the layer (x - mean) / std for images (B, C, H, W), or anything (B, C, ...).

    Numbers become one-element channels.
    """
    return _Normalise(mean, std)


class _Normalise(nn.Module):
    mean: Tensor
    std: Tensor

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        super().__init__()
        for name, value in (("mean", mean), ("std", std)):
            channels = [value] if isinstance(value, (int, float)) else list(value)
            self.register_buffer(name, torch.tensor(channels), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        channels = (-1, *(1,) * (x.ndim - 2))
        return (x - self.mean.view(channels)) / self.std.view(channels)
