"""Gaussians fitted to the training features after the classifier is trained.

Lee, Lee, Lee, Shin, "A simple unified framework for detecting out-of-distribution samples and adversarial
attacks", NeurIPS 2018, arXiv
1807.03888, equations 1 and 2: a mean per class, one covariance for all, the score of the closest class.
Different from the paper: the penultimate features alone, with no ensemble of layers, no input pre-processing
and no logistic regression, which would have to be fitted to adversarial images of a known attack.

Covariances are shrunk as in Ledoit, Wolf, "A well-conditioned estimator for large-dimensional covariance
matrices", J. Multivariate
Analysis 88, 2004: a trained network's features lie near a subspace, and the paper's plain covariance is
singular there.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..models.about import About
from ..models.classifier import Outputs
from ..models.heads.lgm import half_squared_distances
from .classes import class_features, score_predicted
from .detector import DETECTORS, Detector

__all__ = ["Gaussian", "Mahalanobis"]


@DETECTORS.register("mahalanobis")
@dataclass
class Mahalanobis(Detector):
    """The squared Mahalanobis distance to the closest class, with one covariance for all classes.

    Attributes:
        means_: (K, D).
        whitening_: (D, D); a feature times this has the identity as its covariance within a class.
    """

    about = About(title="Mahalanobis", citation="Lee et al. 2018", paper="arXiv 1807.03888")

    means_: Tensor = field(init=False, repr=False, compare=False)
    whitening_: Tensor = field(init=False, repr=False, compare=False)

    def learn(self, outputs: Outputs, y: Tensor) -> None:
        groups = class_features(outputs, y)
        self.means_ = torch.stack([group.mean(0) for group in groups])
        centred = torch.cat([group - mean for group, mean in zip(groups, self.means_, strict=True)])
        self.whitening_, _ = _whitening(centred, "within the classes")

    def score(self, outputs: Outputs) -> Tensor:
        self.check_fitted(outputs)
        white = outputs.features.double() @ self.whitening_
        distances = 2 * half_squared_distances(white, self.means_ @ self.whitening_)
        return distances.amin(1).to(outputs.features.dtype)


@DETECTORS.register("gaussian")
@dataclass
class Gaussian(Detector):
    """-log N(f; mean_k, covariance_k) of the predicted class k.

    What `likelihood` is, with Gaussians that every model can have.

    Attributes:
        means_: (K, D).
        whitenings_: (K, D, D); one for each class.
        half_log_dets_: (K,); half of each covariance's log-determinant.
    """

    about = About(title="Gaussians")

    means_: Tensor = field(init=False, repr=False, compare=False)
    whitenings_: Tensor = field(init=False, repr=False, compare=False)
    half_log_dets_: Tensor = field(init=False, repr=False, compare=False)

    def learn(self, outputs: Outputs, y: Tensor) -> None:
        groups = class_features(outputs, y, at_least=2)
        self.means_ = torch.stack([group.mean(0) for group in groups])
        fits = [
            _whitening(group - mean, f"of class {k}")
            for k, (group, mean) in enumerate(zip(groups, self.means_, strict=True))
        ]
        self.whitenings_ = torch.stack([whitening for whitening, _ in fits])
        self.half_log_dets_ = torch.stack([half_log_det for _, half_log_det in fits])

    def score(self, outputs: Outputs) -> Tensor:
        self.check_fitted(outputs)
        return score_predicted(outputs, self._minus_log_density)

    def _minus_log_density(self, features: Tensor, k: int) -> Tensor:
        white = (features - self.means_[k]) @ self.whitenings_[k]
        return white.square().sum(1) / 2 + self.half_log_dets_[k] + white.shape[1] * math.log(2 * math.pi) / 2


def _whitening(centred: Tensor, where: str) -> tuple[Tensor, Tensor]:
    """Compute V diag(l)^-1/2 and sum(log l) / 2 of the shrunk covariance V diag(l) V^T, (N, D) -> (D, D), ().

    Args:
        centred: Features less their class's mean.
        where: Whose features they are; for the error message.
    """
    from sklearn.covariance import LedoitWolf  # slow to import, and seldom needed

    covariance = (
        LedoitWolf(assume_centered=True, store_precision=False).fit(centred.cpu().numpy()).covariance_
    )
    variances, axes = torch.linalg.eigh(torch.from_numpy(covariance))
    if not variances[0] > len(variances) * torch.finfo(variances.dtype).eps * variances[-1]:
        # Where all features are equal there is nothing to shrink towards, and of two samples the estimate
        # shrinks nothing.
        raise ValueError(
            f"expected the training features {where} to vary enough for a covariance, got {len(centred)} "
            "samples too much alike"
        )
    return (axes / variances.sqrt()).to(centred.device), variances.log().sum().to(centred.device) / 2
