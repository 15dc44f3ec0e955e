"""Deep nearest neighbours: how far the k-th nearest training image is.

Sun, Ming, Zhu, Li, "Out-of-distribution detection with deep nearest neighbors", ICML 2022, arXiv 2204.06507:
penultimate features, each divided by its length, and the distance to the k-th nearest of the training split.
After Papernot, McDaniel, "Deep k-nearest neighbors", 2018, arXiv 1803.04765, who compare the neighbours'
classes in every layer. Different from Sun et al.: a bounded number of points of each class is kept.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from ..models.about import About
from ..models.classifier import Outputs
from .classes import class_features
from .detector import DETECTORS, Detector
from .kernels import spread
from .neighbours import nearest

__all__ = ["KNN"]


@DETECTORS.register("knn")
@dataclass
class KNN(Detector):
    """The distance to the k-th nearest training feature, on the unit sphere.

    Args:
        k: Which neighbour, > 0; 50 is the authors' for CIFAR-10. The last where fewer points are kept.
        samples: Points kept per class, > 0; None keeps all. They are spread evenly over the training split in
            its order.

    Attributes:
        points_: (n, D), of length 1.
    """

    about = About(title="deep kNN", citation="Sun et al. 2022", paper="arXiv 2204.06507")

    k: int = 50
    samples: int | None = 1000
    points_: Tensor = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, value in (("k", self.k), ("samples", self.samples)):
            if value is not None and value < 1:
                raise ValueError(f"expected {name} to be at least 1, got {value}")

    def learn(self, outputs: Outputs, y: Tensor) -> None:
        groups = class_features(outputs, y, at_least=0)
        self.points_ = functional.normalize(torch.cat([spread(group, self.samples) for group in groups]))

    def score(self, outputs: Outputs) -> Tensor:
        self.check_fitted(outputs)
        features = functional.normalize(outputs.features.double())
        return nearest(features, self.points_, self.k)[:, -1].to(outputs.features.dtype)
