"""K-density: the mean kernel of the predicted class, the detector that RCE was proposed with.

Pang, Du, Dong, Zhu, "Towards robust detection of adversarial examples", NeurIPS 2018, arXiv 1706.00633,
section 3.3: the mean of exp(-|z - z_i|^2 / sigma^2) over 1000 training points z_i of the predicted class, on
the final hidden vectors. The score is -log of it, which ranks images as the paper does and never underflows.
It is `kde` but for the width: one number for all classes, where `kde` has a rule for each.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..models.about import About
from ..models.classifier import Outputs
from .classes import class_features, score_predicted
from .detector import DETECTORS, Detector
from .kernels import log_kernel_sums, spread

__all__ = ["KDensity"]


@DETECTORS.register("k-density")
@dataclass
class KDensity(Detector):
    """-log of the mean kernel over points of the predicted class.

    Args:
        sigma2: The kernel's width sigma^2, > 0, in squared units of the features: .385 is the authors' for
            nets trained with RCE, 3.85 for those trained with cross-entropy.
        samples: Points kept per class, > 0, spread evenly over the training split in its order.

    Attributes:
        means_: The mean of each class's points, (K, D).
        points_: K tensors (n_k, D), less their mean.
    """

    about = About(title="K-density", citation="Pang et al. 2018", paper="arXiv 1706.00633")

    sigma2: float = 0.385
    samples: int = 1000
    means_: Tensor = field(init=False, repr=False, compare=False)
    points_: list[Tensor] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 < self.sigma2 < math.inf:
            raise ValueError(f"expected sigma2 to be > 0 and finite, got {self.sigma2}")
        if self.samples < 1:
            raise ValueError(f"expected samples to be at least 1, got {self.samples}")

    def learn(self, outputs: Outputs, y: Tensor) -> None:
        points = [spread(group, self.samples) for group in class_features(outputs, y)]
        self.means_ = torch.stack([group.mean(0) for group in points])
        self.points_ = [group - mean for group, mean in zip(points, self.means_, strict=True)]

    def score(self, outputs: Outputs) -> Tensor:
        self.check_fitted(outputs)
        return score_predicted(outputs, self._minus_log_mean)

    def _minus_log_mean(self, features: Tensor, k: int) -> Tensor:
        points = self.points_[k]
        return math.log(len(points)) - log_kernel_sums(
            features - self.means_[k], points, math.sqrt(self.sigma2 / 2)
        )
