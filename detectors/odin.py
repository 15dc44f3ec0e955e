"""ODIN: softmax at a high temperature, after a small step that makes the prediction surer.

Liang, Li, Srikant, "Enhancing the reliability of out-of-distribution image detection in neural networks",
ICLR 2018, arXiv 1706.02690, equations 1 to 3. An image of the training distribution gains more from the step.
The score is -log of the largest probability, which ranks as the paper does. Different from it: the step stays
inside the box of images, and its length is the paper's for CIFAR-10, chosen on no outliers.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from ..models.about import About
from ..models.classifier import Outputs
from .detector import DETECTORS, Detector

__all__ = ["ODIN"]


@DETECTORS.register("odin")
@dataclass
class ODIN(Detector):
    """-log of the largest softmax probability at temperature T, of the image after the step.

    Args:
        temperature: T > 0.
        step: Length in units of the image's range, >= 0.
    """

    about = About(title="ODIN", citation="Liang et al. 2018", paper="arXiv 1706.02690")

    differentiable: ClassVar[bool] = False
    needs_model: ClassVar[bool] = True

    temperature: float = 1000.0
    step: float = 0.0014

    def __post_init__(self) -> None:
        if not self.temperature > 0 or not self.step >= 0:
            raise ValueError(
                f"expected temperature > 0 and step >= 0, got {self.temperature} and {self.step}"
            )

    def score(self, outputs: Outputs) -> Tensor:
        with torch.enable_grad():
            x = outputs.x.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(self._doubt(self.model(x)).sum(), x)
        with torch.no_grad():
            surer = (outputs.x - self.step * gradient.sign()).clamp(0, 1)
            return self._doubt(self.model(surer)).to(outputs.features.dtype)

    def _doubt(self, logits: Tensor) -> Tensor:
        """-log of the largest probability, (B, K) -> (B,), in float64: at T = 1000 it varies little."""
        return -(logits.double() / self.temperature).log_softmax(1).amax(1)
