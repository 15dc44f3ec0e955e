"""The 8-bit grid: an image that is stored, sent or shown has 256 levels, whatever an attack computed.

A proposal that fools between the grid's points need not fool on them, and a detector could tell every
unrounded image from a clean one. So what counts against a detector is the rounded image, which must lie in
the ball itself.
"""

import math

import torch
from torch import Tensor

from .norms import NORMS, column
from .threat import LEVELS, ThreatModel

__all__ = ["LEVELS", "on_grid"]

SLACK = 1e-3
"""Of a level: what float32 may be off at an edge of the ball that lies on the grid."""


def on_grid(x: Tensor, x_adv: Tensor, threat: ThreatModel) -> Tensor:
    """Round adversarial images to the 8-bit grid inside the ball and the box, (B, *S) -> (B, *S).

    In Linf to the nearest level inside the ball. In L2 to the nearest level and, where that leaves the ball,
    towards the clean image.

    Args:
        x: Clean images, which lie on the grid.
        x_adv: Inside the ball and the box.
        threat: Says how large the ball is.
    """
    nearest = (x_adv * LEVELS).round()
    if threat.norm == "Linf":
        if math.isfinite(threat.eps):
            low = ((x - threat.eps) * LEVELS - SLACK).ceil()
            high = ((x + threat.eps) * LEVELS + SLACK).floor()
            # an eps below half a level holds no point of the grid around an image that is off it
            nearest = torch.where(low > high, x * LEVELS, nearest.clamp(low, high))
        return nearest.clamp_(0, LEVELS) / LEVELS
    norm, rounded = NORMS[threat.norm], nearest / LEVELS
    inside = norm.size(rounded - x) <= threat.eps
    shorter = ((x * LEVELS).round() + ((x_adv - x) * LEVELS).trunc()) / LEVELS
    return torch.where(column(inside, x), rounded, shorter)
