"""A defense in one file: a classifier, and a detector of one's own.

It scores by the distance to the tenth nearest training feature.

Run it beside L-GM with: gmbench run digits-v2 --defense docs/my_defense.py
"""

import torch
from torch import Tensor

from gmbench import Defense, Detector, Outputs, load_checkpoint


class NearestNeighbours(Detector):
    """Distance to the tenth nearest feature of the training split: the higher, the more suspicious."""

    def learn(self, outputs: Outputs, y: Tensor) -> None:
        """Keep the training features, (N, D)."""
        self.kept = outputs.features

    def score(self, outputs: Outputs) -> Tensor:
        """Score each image, (B, D) -> (B,)."""
        return torch.cdist(outputs.features, self.kept).kthvalue(10, dim=1).values


def build() -> Defense:
    """Return what is to be judged."""
    # Your own network instead: Classifier(net, head, mean, std).eval(), net: images in [0, 1] -> features,
    # head: features -> logits.
    classifier, _card = load_checkpoint("digits-softmax-s0")
    return Defense("knn-on-softmax", classifier, NearestNeighbours())
