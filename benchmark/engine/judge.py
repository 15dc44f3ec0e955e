"""The judge: attacks propose, this decides what a proposal is worth, and raises on a cheat.

And on logits that name no class: NaN would count as class 0, and keep what is of class 0 robust.
"""

import numpy as np
import pandas as pd
from torch import Tensor

from ...attacks.core.grid import on_grid
from ...attacks.core.losses import margin
from ...attacks.core.norms import NORMS
from ...attacks.core.threat import ThreatModel
from ...models.classifier import Classifier, Outputs
from .passes import outputs_of_each

__all__ = ["BrokenLogits", "Cheat", "check_logits", "check_proposal", "judge"]

# relative, plus 1e-6: what float32 rounding adds to a norm, far below the 1/255 of a grey level
TOLERANCE = 1e-5


class Cheat(RuntimeError):
    """An attack broke its threat model."""


class BrokenLogits(RuntimeError):
    """A model's logits name no class."""


def check_logits(outputs: Outputs, images: str) -> None:
    """Raise unless the largest logit of each image is a finite number; the others may be minus infinity.

    Args:
        outputs: Of B images.
        images: What they are, for the message.

    Raises:
        BrokenLogits: One is NaN or infinite.
    """
    broken = int((~outputs.logits.amax(1).isfinite()).sum())
    if broken:
        raise BrokenLogits(
            f"expected logits to be finite, got NaN or infinity on {broken} of {len(outputs.logits)} {images}"
        )


def check_proposal(x: Tensor, x_adv: Tensor, threat: ThreatModel) -> None:
    """Raise unless a proposal has the images' shape, is finite, and lies in the box [0, 1] and in the ball.

    Raises:
        Cheat: It does not.
    """
    if not isinstance(x_adv, Tensor) or x_adv.shape != x.shape or x_adv.dtype != x.dtype:
        got = f"{tuple(x_adv.shape)} {x_adv.dtype}" if isinstance(x_adv, Tensor) else type(x_adv).__name__
        raise Cheat(
            f"expected adversarial images to be {tuple(x.shape)} {x.dtype} like the images, got {got}"
        )
    if not x_adv.isfinite().all():
        broken = int((~x_adv.flatten(1).isfinite()).any(1).sum())
        raise Cheat(f"expected adversarial images to be finite, got NaN or infinity in {broken} of {len(x)}")
    if x_adv.min() < 0 or x_adv.max() > 1:
        raise Cheat(
            f"expected adversarial images to lie in [0, 1], got [{x_adv.min():.6g}, {x_adv.max():.6g}]"
        )
    size = NORMS[threat.norm].size(x_adv - x).max().item()
    if size > threat.eps * (1 + TOLERANCE) + 1e-6:
        raise Cheat(f"expected perturbations of {threat.norm} norm at most {threat.eps:g}, got {size:.6g}")


def judge(classifier: Classifier, x: Tensor, x_adv: Tensor, y: Tensor, threat: ThreatModel) -> pd.DataFrame:
    """Judge a batch of proposals, (B, *S), with forward passes of its own; one row per image.

    A proposal counts as it is and rounded to the 8-bit grid inside the ball, the worse for the classifier;
    against a detector the rounded one alone counts.

    Raises:
        Cheat: A proposal breaks the threat model.
        BrokenLogits: The classifier's logits name no class.
    """
    check_proposal(x, x_adv, threat)
    unattacked, outputs, in_8_bits = outputs_of_each(classifier, [x, x_adv, on_grid(x, x_adv, threat)])
    for found, images in (
        (unattacked, "clean images"),
        (outputs, "attacked images"),
        (in_8_bits, "attacked images in 8 bits"),
    ):
        check_logits(found, images)
    right, rounded = unattacked.predicted == y, in_8_bits.predicted != y
    return pd.DataFrame(
        {
            **predictions(outputs, y),
            "clean_predicted": unattacked.predicted.cpu().numpy(),
            "success": (right & ((outputs.predicted != y) | rounded)).cpu().numpy(),
            "success_8bit": (right & rounded).cpu().numpy(),
            "size": NORMS[threat.norm].size(x_adv - x).cpu().numpy(),
        }
    )


def predictions(outputs: Outputs, y: Tensor) -> dict[str, np.ndarray]:
    """Tell label, prediction and margin (largest wrong logit minus the true one) of each image."""
    return {
        "label": y.cpu().numpy(),
        "predicted": outputs.predicted.cpu().numpy(),
        "margin": margin(outputs, y).float().cpu().numpy(),
    }
