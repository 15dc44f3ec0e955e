"""Feature squeezing: how much the prediction changes when the image loses detail.

Xu, Evans, Qi, "Feature squeezing: detecting adversarial examples in deep neural networks", NDSS 2018, arXiv
1704.01155: the image with fewer bits per channel, and after a median filter; the L1 distance between the
softmax outputs, and the larger of the two. The median is that of the authors' code, SciPy's filter with its
edges mirrored. Without the third squeezer of theirs, non-local means, which they use for colour images.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from ..models.about import About
from ..models.classifier import Outputs
from .detector import DETECTORS, Detector

__all__ = ["Squeezing"]


@DETECTORS.register("squeezing")
@dataclass
class Squeezing(Detector):
    """The largest L1 distance of the softmax to that of a squeezed image.

    Args:
        bits: Per channel, 1 to 8; None is the authors' choice, 1 for grey images and 5 for others.
        window: Width and height of the median, > 0; the authors' 2.
    """

    about = About(title="feature squeezing", citation="Xu et al. 2018", paper="arXiv 1704.01155")

    differentiable: ClassVar[bool] = False
    needs_model: ClassVar[bool] = True

    bits: int | None = None
    window: int = 2

    def __post_init__(self) -> None:
        if self.bits is not None and not 1 <= self.bits <= 8:
            raise ValueError(f"expected bits to be 1 to 8, got {self.bits}")
        if self.window < 1:
            raise ValueError(f"expected window to be at least 1, got {self.window}")

    @torch.no_grad()
    def score(self, outputs: Outputs) -> Tensor:
        x, p = outputs.x, outputs.logits.softmax(1)
        bits = self.bits or (1 if x.shape[1] == 1 else 5)
        squeezed = (_fewer_bits(x, bits), _median(x, self.window))
        distances: list[Tensor] = [(self.model(one).softmax(1) - p).abs().sum(1) for one in squeezed]
        return torch.stack(distances).amax(0).to(outputs.features.dtype)


def _fewer_bits(x: Tensor, bits: int) -> Tensor:
    """Round to 2^bits levels, (B, *S) -> (B, *S)."""
    levels = 2**bits - 1
    rounded: Tensor = (x * levels).round() / levels
    return rounded


def _median(x: Tensor, window: int) -> Tensor:
    """Replace each pixel by the median of the window around it, (B, C, H, W) -> (B, C, H, W)."""
    before = window // 2
    after = window - 1 - before
    # one pixel mirrored about the edge is that pixel again, for windows of up to 3
    padded = functional.pad(x, (before, after, before, after), mode="replicate")
    places = padded.unfold(2, window, 1).unfold(3, window, 1).flatten(4)
    middle: Tensor = places.sort(4).values[..., window**2 // 2]
    return middle
