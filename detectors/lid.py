"""Local intrinsic dimensionality: along how many directions the neighbours of an image thin out.

Ma, Li, Wang, Erfani, Wijewickrema, Schoenebeck, Song, Houle, Bailey, "Characterizing adversarial subspaces
using local intrinsic dimensionality", ICLR 2018, arXiv 1801.02613, equation 4: -k / sum_i log(r_i / r_k) with
r_i the distance to the i-th nearest of a minibatch of training images, k = 20 of 100. Adversarial images have
a higher one.

Different from the paper: the penultimate features alone and no logistic regression over layers, which would
have to be fitted to adversarial images of a known attack; and the mean over several fixed minibatches, where
theirs is drawn anew, so that an image has one score.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..models.about import About
from ..models.classifier import Outputs
from .classes import class_features
from .detector import DETECTORS, Detector
from .kernels import spread
from .neighbours import nearest

__all__ = ["LID"]


@DETECTORS.register("lid")
@dataclass
class LID(Detector):
    """The maximum-likelihood estimate of the local intrinsic dimensionality.

    Args:
        k: Neighbours, > 1; all but one of a minibatch that has fewer.
        minibatch: Training images among which neighbours are looked for, > k.
        minibatches: Over how many of these the estimate is averaged, > 0.

    Attributes:
        minibatches_: Their features, each (n, D).
    """

    about = About(title="LID", citation="Ma et al. 2018", paper="arXiv 1801.02613")

    k: int = 20
    minibatch: int = 100
    minibatches: int = 10
    minibatches_: list[Tensor] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, least in (("k", 2), ("minibatch", self.k + 1), ("minibatches", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"expected {name} to be at least {least}, got {getattr(self, name)}")

    def learn(self, outputs: Outputs, y: Tensor) -> None:
        groups = class_features(outputs, y, at_least=0)
        # every class in each minibatch, as often as in the split
        points = spread(torch.cat(groups), self.minibatch * self.minibatches)
        count = max(1, len(points) // self.minibatch)
        self.minibatches_ = [points[first::count] for first in range(count)]

    def score(self, outputs: Outputs) -> Tensor:
        self.check_fitted(outputs)
        features = outputs.features.double()
        estimates = [self._estimate(features, points) for points in self.minibatches_]
        return torch.stack(estimates).mean(0).to(outputs.features.dtype)

    def _estimate(self, features: Tensor, points: Tensor) -> Tensor:
        distances = nearest(features, points, min(self.k, max(2, len(points) - 1)))
        # an image of the minibatch itself is at distance 0 from one of its points
        logs = distances.clamp_min(torch.finfo(distances.dtype).tiny).log()
        thinning = (logs[:, -1:] - logs).mean(1)
        return 1 / thinning.clamp_min(torch.finfo(distances.dtype).eps)
