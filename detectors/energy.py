"""The free energy of the logits.

Liu, Wang, Owens, Li, "Energy-based out-of-distribution detection", NeurIPS 2020, arXiv 2010.03759, equation 4
at the temperature 1 that the paper recommends; no fine-tuning. Where the logits are the log-likelihoods of a
Gaussian mixture (L-GM), the energy is -log p(f) and equals `mixture`.
"""

from dataclasses import dataclass

from torch import Tensor

from ..models.about import About
from ..models.classifier import Outputs
from .detector import DETECTORS, Detector

__all__ = ["Energy"]


@DETECTORS.register("energy")
@dataclass
class Energy(Detector):
    """-log sum_k exp(logit_k)."""

    about = About(title="energy", citation="Liu et al. 2020", paper="arXiv 2010.03759")

    def score(self, outputs: Outputs) -> Tensor:
        return -outputs.logits.logsumexp(1)
