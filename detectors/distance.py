"""The distance to the predicted class's centre: the verification of the center loss, for every model.

The center loss (Wen, Zhang, Li, Qiao, ECCV 2016) is verified by the distance to a centre that it has learned;
`likelihood` scores so. Here the centre is the mean of the class's training features, the same for models that
learn centres and for those that do not.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..models.about import About
from ..models.classifier import Outputs
from .classes import class_features
from .detector import DETECTORS, Detector

__all__ = ["Distance"]


@DETECTORS.register("distance")
@dataclass
class Distance(Detector):
    """The Euclidean distance to the mean of the predicted class's training features.

    Attributes:
        means_: (K, D), in float64.
    """

    about = About(title="distance", citation="Wen et al. 2016", paper="doi:10.1007/978-3-319-46478-7_31")

    means_: Tensor = field(init=False, repr=False, compare=False)

    def learn(self, outputs: Outputs, y: Tensor) -> None:
        self.means_ = torch.stack([group.mean(0) for group in class_features(outputs, y)])

    def score(self, outputs: Outputs) -> Tensor:
        self.check_fitted(outputs)
        distances: Tensor = torch.linalg.vector_norm(
            outputs.features.double() - self.means_[outputs.predicted], dim=1
        )
        return distances.to(outputs.features.dtype)
