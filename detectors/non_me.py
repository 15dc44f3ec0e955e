"""Non-ME: the entropy of the probabilities beside the largest one, the other detector of RCE.

Pang, Du, Dong, Zhu, "Towards robust detection of adversarial examples", NeurIPS 2018, arXiv 1706.00633,
section 3.2: a net trained with RCE makes the classes that it does not predict equally likely on clean images,
so that the entropy of these probabilities, made to sum to 1, is high; adversarial images lower it. Nets of
other losses promise nothing of the kind.

The score is -log of the entropy: it falls as the entropy rises, and does not saturate where one class beside
the predicted one has nearly everything.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..models.about import About
from ..models.classifier import Outputs
from .detector import DETECTORS, Detector

__all__ = ["NonME"]


@DETECTORS.register("non-me")
@dataclass
class NonME(Detector):
    """-log of the entropy of the non-maximal probabilities, renormalised; of three classes or more."""

    about = About(title="non-ME", citation="Pang et al. 2018", paper="arXiv 1706.00633")

    def applies(self, outputs: Outputs) -> bool:
        return outputs.logits.shape[1] > 2

    def score(self, outputs: Outputs) -> Tensor:
        classes = outputs.logits.shape[1]
        if classes < 3:
            raise ValueError(f"expected at least 3 classes for non-me, got {classes}")
        others = outputs.logits.double().sort(1, descending=True).values[:, 1:]
        below = others[:, 1:] - others[:, :1]  # logarithms of odds to the likeliest of them, <= 0
        second = below[:, :1]
        shares = (below - second).exp()
        rest = (second.exp() * shares.sum(1, keepdim=True)).clamp_min(torch.finfo(torch.float64).tiny)
        # -sum p log p in units of the second's odds, so that nothing cancels and nothing underflows where one
        # of them has nearly everything
        entropy = shares.sum(1) * (rest.log1p() / rest).squeeze(1) - (shares * below / (1 + rest)).sum(1)
        return -(second.squeeze(1) + entropy.log()).to(outputs.features.dtype)
