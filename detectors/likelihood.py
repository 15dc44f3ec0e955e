"""The likelihood under the model's own mixture: the verification that L-GM brings along.

Wan, Zhong, Li, Chen, "Rethinking feature distribution for loss functions in image classification", CVPR 2018,
arXiv 1803.02988, verify an input by its likelihood under the class that is predicted for it. With the center
loss the same score is half the squared distance to that class's centre, up to a constant, which is what the
paper compares with. A model without a mixture (softmax) has no such score.
"""

from dataclasses import dataclass

from torch import Tensor

from ..models.about import About
from ..models.classifier import Outputs
from .detector import DETECTORS, Detector

__all__ = ["Likelihood", "Mixture"]


@DETECTORS.register("likelihood")
@dataclass
class Likelihood(Detector):
    """-log p(f | predicted class), up to a constant."""

    about = About(title="likelihood", citation="Wan et al. 2018", paper="arXiv 1803.02988")
    needs_likelihood = True

    def score(self, outputs: Outputs) -> Tensor:
        return -_log_likelihood(outputs).gather(1, outputs.predicted.unsqueeze(1)).squeeze(1)


@DETECTORS.register("mixture")
@dataclass
class Mixture(Detector):
    """-log sum_k p(f | k), up to a constant: with equal priors, -log p(f) of the whole mixture."""

    about = About(title="mixture")
    needs_likelihood = True

    def score(self, outputs: Outputs) -> Tensor:
        return -_log_likelihood(outputs).logsumexp(1)


def _log_likelihood(outputs: Outputs) -> Tensor:
    if outputs.log_likelihood is None:
        raise ValueError(
            "expected a classifier with a mixture, got outputs without log_likelihood; 'gaussian' fits a "
            "mixture to any"
        )
    return outputs.log_likelihood
