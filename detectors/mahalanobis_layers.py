"""The Mahalanobis distance summed over layers.

Lee, Lee, Lee, Shin, "A simple unified framework for detecting out-of-distribution samples and adversarial
attacks", NeurIPS 2018, arXiv 1807.03888, section 2.2: in every layer the features averaged over the image, a
mean per class and one covariance, the distance to the closest class; see `gaussian` for the shrunk
covariance. Different from the paper: the sum of the layers' distances in place of a logistic regression,
which would have to be fitted to adversarial images of a known attack, and no input pre-processing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from ..models.about import About
from ..models.classifier import Outputs
from .detector import DETECTORS, Detector
from .gaussian import Mahalanobis

__all__ = ["MahalanobisLayers"]


@DETECTORS.register("mahalanobis-layers")
@dataclass
class MahalanobisLayers(Detector):
    """The squared Mahalanobis distance to the closest class, summed over all layers that there are.

    Attributes:
        means_: (K, D) of each layer, then of the features.
        whitenings_: (D, D), likewise.
    """

    about = About(title="Mahalanobis, all layers", citation="Lee et al. 2018", paper="arXiv 1807.03888")

    layers: ClassVar[tuple[str, ...] | Literal["all"]] = "all"
    averages_layers: ClassVar[bool] = True

    means_: list[Tensor] = field(init=False, repr=False, compare=False)
    whitenings_: list[Tensor] = field(init=False, repr=False, compare=False)

    def learn(self, outputs: Outputs, y: Tensor) -> None:
        fits = [Mahalanobis().fit(each, y) for each in _each(outputs)]
        self.means_ = [fit.means_ for fit in fits]
        self.whitenings_ = [fit.whitening_ for fit in fits]

    def score(self, outputs: Outputs) -> Tensor:
        self.check_fitted(outputs)
        each = _each(outputs)
        if len(each) != len(self.means_):
            raise ValueError(
                f"expected outputs with {len(self.means_) - 1} layers as in fit, got {len(each) - 1}"
            )
        scores = [
            _distance(one.features.double(), means, whitening)
            for one, means, whitening in zip(each, self.means_, self.whitenings_, strict=True)
        ]
        return torch.stack(scores).sum(0).to(outputs.features.dtype)


def _each(outputs: Outputs) -> Sequence[Outputs]:
    """Give outputs whose features are each layer's, averaged over the image, then the features themselves."""
    layers = outputs.averaged().layers.values()
    return [replace(outputs, features=layer, layers={}) for layer in layers] + [outputs]


def _distance(features: Tensor, means: Tensor, whitening: Tensor) -> Tensor:
    """Compute the squared distance to the closest class, (B, D), (K, D), (D, D) -> (B,)."""
    distances: Tensor = torch.cdist(features @ whitening, means @ whitening).square().amin(1)
    return distances
