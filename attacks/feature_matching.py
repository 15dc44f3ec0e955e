"""Feature matching: take on the features of a clean image of another class, which the detector accepts.

Tramer, Carlini, Brendel, Madry, "On adaptive attacks to adversarial example defenses", NeurIPS 2020, arXiv
2002.08347: where a detector reads features, an image with the features of a clean one passes, whatever the
detector computes from them, so that no gradients of its score are needed. Different from it: the guides are
clean validation images that are right and accepted; for each class, the one whose features lie nearest to the
attacked image's; steps, dropping and the image on the 8-bit grid as in `evasion`.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..models.about import About
from ..models.classifier import Outputs
from .core.attack import ATTACKS
from .core.known import KnownDetector
from .core.losses import Objective
from .evasion import Evasion, Goal

__all__ = ["FeatureMatching"]


@ATTACKS.register("feature-matching")
@dataclass(frozen=True)
class FeatureMatching(Evasion):
    """Bring an image's features to those of the nearest guide of each of the wrong classes.

    Args:
        steps, step, targets, restarts, near, stop: As in `Evasion`.
    """

    about = About(title="feature matching", citation="Tramer et al. 2020", paper="arXiv 2002.08347")

    needs_score_gradients: ClassVar[bool] = False

    def goal(self, known: KnownDetector, clean: Outputs, target: Tensor) -> Goal:
        guides = nearest(known, clean.features, target)

        def towards(rows: Tensor) -> Objective:
            return lambda outputs: -(outputs.features - guides[rows]).square().sum(1)

        return towards


def nearest(known: KnownDetector, features: Tensor, target: Tensor) -> Tensor:
    """Choose the guide of each target class that lies nearest, (B, D), (B,) -> (B, D).

    Where a class has none, the image's own features: nothing pulls it.

    Raises:
        ValueError: No class has any.
    """
    if not any(map(len, known.guides)):
        raise ValueError(
            f"expected guides for feature-matching, got none: {known.name} accepts no clean validation image "
            "that is classified right"
        )
    chosen = features.clone()
    for k in target.unique().tolist():
        guides = known.guides[k]
        if not len(guides):
            continue
        rows = (target == k).nonzero().squeeze(1)
        guides = guides.to(features)
        chosen[rows] = guides[torch.cdist(features[rows], guides).argmin(1)]
    return chosen
