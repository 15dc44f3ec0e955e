"""Kernel density of the predicted class.

Feinman, Curtin, Shintre, Gardner, "Detecting adversarial samples from artifacts", 2017, arXiv 1703.00410,
section 3: a Gaussian kernel density per class on the penultimate features, scored under the predicted class;
the GM loss (Wan et al., TPAMI 2023, arXiv 2011.09066) is tested the same way. Without Feinman's second score,
the Bayesian uncertainty, and without the logistic regression over both. Each class keeps a bounded number of
points, as in Pang et al., NeurIPS 2018 (arXiv 1706.00633), who keep 1000.

Published bandwidths hold for one data set and one network each (Feinman: MNIST 1.20, CIFAR-10 .26; the
GM-loss code: 1.5), while the spread of the features differs by orders of magnitude between losses. So the
default is a rule: Scott's (Multivariate Density Estimation, 1992), on the points of each class.
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

__all__ = ["KDE"]


@DETECTORS.register("kde")
@dataclass
class KDE(Detector):
    """-log density of the predicted class.

    Args:
        bandwidth: Standard deviation h of the kernel, > 0, in units of the features; None is s_k
            n_k^(-1/(D+4)) for class k (Scott's rule), with n_k its points and s_k^2 their variance, averaged
            over the features.
        samples: Points kept per class, > 0; None keeps all. They are spread evenly over the training split in
            its order.

    Attributes:
        means_: The mean of each class's points, (K, D).
        points_: K tensors (n_k, D), less their mean.
        bandwidths_: K numbers.
    """

    about = About(title="KDE", citation="Feinman et al. 2017", paper="arXiv 1703.00410")

    bandwidth: float | None = None
    samples: int | None = 1000
    means_: Tensor = field(init=False, repr=False, compare=False)
    points_: list[Tensor] = field(init=False, repr=False, compare=False)
    bandwidths_: list[float] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.bandwidth is not None and not 0 < self.bandwidth < math.inf:
            raise ValueError(f"expected bandwidth to be > 0 and finite, got {self.bandwidth}")
        if self.samples is not None and self.samples < 1:
            raise ValueError(f"expected samples to be at least 1, got {self.samples}")

    def learn(self, outputs: Outputs, y: Tensor) -> None:
        points = [spread(group, self.samples) for group in class_features(outputs, y)]
        self.bandwidths_ = [
            _scott(group, k) if self.bandwidth is None else self.bandwidth for k, group in enumerate(points)
        ]
        self.means_ = torch.stack([group.mean(0) for group in points])
        self.points_ = [group - mean for group, mean in zip(points, self.means_, strict=True)]

    def score(self, outputs: Outputs) -> Tensor:
        self.check_fitted(outputs)
        return score_predicted(outputs, self._minus_log_density)

    def _minus_log_density(self, features: Tensor, k: int) -> Tensor:
        points, h = self.points_[k], self.bandwidths_[k]
        log_sums = log_kernel_sums(features - self.means_[k], points, h)
        return math.log(len(points)) + points.shape[1] * math.log(h * math.sqrt(2 * math.pi)) - log_sums


def _scott(points: Tensor, k: int) -> float:
    spread = math.sqrt(float(points.var(0, correction=0).mean()))
    if not spread > 0:
        raise ValueError(
            f"expected the training features of class {k} to differ, got {len(points)} copies of one; give a "
            "bandwidth"
        )
    return spread * math.pow(len(points), -1 / (points.shape[1] + 4))
