"""Maximum softmax probability.

Hendrycks, Gimpel, "A baseline for detecting misclassified and out-of-distribution examples in neural
networks", ICLR 2017, arXiv
1610.02136: an input is the more suspicious, the lower its largest softmax probability p.

The score is log((1 - p) / p), not 1 - p: it grows with 1 - p, so the ROC curve is the paper's, but it does
not saturate. In float32 1 - p is 0 from a margin of about 17 on, and -log p from about 100 on; the logits of
a Gaussian mixture have margins of several hundred, and nearly all samples would tie.
"""

from dataclasses import dataclass

from torch import Tensor

from ..models.about import About
from ..models.classifier import Outputs
from .detector import DETECTORS, Detector

__all__ = ["MSP"]


@DETECTORS.register("msp")
@dataclass
class MSP(Detector):
    """log((1 - p) / p) with p the largest softmax probability."""

    about = About(title="MSP", citation="Hendrycks, Gimpel 2017", paper="arXiv 1610.02136")

    def score(self, outputs: Outputs) -> Tensor:
        descending = outputs.logits.sort(1, descending=True).values
        return (descending[:, 1:] - descending[:, :1]).logsumexp(1)
