"""What is attacked: a classifier that shows its features, its logits and, where it has one, its likelihood.

A likelihood-based defense is more than its logits: the detectors read the features, and the attacker who
knows the defense climbs the class-conditional log-likelihood. `Outputs` carries all three out of one forward
pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

__all__ = ["Classifier", "Outputs", "normalisation"]


@dataclass(frozen=True)
class Outputs:
    """What one forward pass tells about a batch.

    Args:
        x: The images the rest was computed from, (B, *S), in [0, 1].
        features: (B, D).
        logits: (B, K).
        log_likelihood: (B, K), log p(features | class) up to one constant for all classes, or None where the
            model has no mixture.
    """

    x: Tensor
    features: Tensor
    logits: Tensor
    log_likelihood: Tensor | None = None

    @property
    def predicted(self) -> Tensor:
        """The predicted class, (B,)."""
        return self.logits.argmax(1)

    def detach(self) -> "Outputs":
        """Cut the graph."""
        likelihood = self.log_likelihood
        return Outputs(
            self.x.detach(),
            self.features.detach(),
            self.logits.detach(),
            None if likelihood is None else likelihood.detach(),
        )

    def cpu(self) -> "Outputs":
        """Bring all to the CPU."""
        likelihood = self.log_likelihood
        return Outputs(
            self.x.cpu(),
            self.features.cpu(),
            self.logits.cpu(),
            None if likelihood is None else likelihood.cpu(),
        )

    def __getitem__(self, rows: Tensor | slice) -> "Outputs":
        """Select samples."""
        likelihood = self.log_likelihood
        return replace(
            self,
            x=self.x[rows],
            features=self.features[rows],
            logits=self.logits[rows],
            log_likelihood=None if likelihood is None else likelihood[rows],
        )

    @staticmethod
    def cat(parts: Sequence["Outputs"]) -> "Outputs":
        """Join batches."""
        likelihoods = [part.log_likelihood for part in parts if part.log_likelihood is not None]
        return Outputs(
            torch.cat([part.x for part in parts]),
            torch.cat([part.features for part in parts]),
            torch.cat([part.logits for part in parts]),
            torch.cat(likelihoods) if likelihoods else None,
        )


class Classifier(nn.Module):
    """A network for features and a head for logits.

    Inputs always lie in [0, 1], normalisation is a layer inside.

    Compose one from two modules, or subclass and override `features` and `head`.

    Args:
        net: Maps images (B, *S) in [0, 1] to features (B, D).
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
        """Compute the features, (B, *S) -> (B, D), always in float32 or wider."""
        features = cast(Tensor, self.net(self.normalise(x)))
        return features if features.dtype == torch.float64 else features.float()

    def outputs(self, x: Tensor) -> Outputs:
        """Compute features, logits and likelihood in one pass, (B, *S)."""
        features = self.features(x)
        mixture = getattr(self.head, "log_likelihood", None)
        return Outputs(x, features, self.head(features), None if mixture is None else mixture(features))

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits, (B, *S) -> (B, K)."""
        return cast(Tensor, self.head(self.features(x)))


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
