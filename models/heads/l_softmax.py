"""Large-margin softmax (L-Softmax) and its form with unit weights (A-Softmax, SphereFace).

Liu, Wen, Yu, Yang, "Large-margin softmax loss for convolutional neural networks", ICML 2016, arXiv
1612.02295; Liu, Wen, Yu, Li, Raj, Song, "SphereFace: deep hypersphere embedding for face recognition", CVPR
2017, arXiv 1704.08063.

Logits are |W_k| |f| cos(theta_k). In the loss the true one becomes |W_y| |f| (lambda cos(theta_y) +
psi(theta_y)) / (1 + lambda) with psi(theta) = (-1)^k cos(m theta) - 2k on [k pi / m, (k + 1) pi / m]. Lambda
falls during the training, so that the margin comes by and by.
The schedule is ours: psi's weight 1 / (1 + lambda) rises straight from its start to its end over a share of
the training. The released code's lambda, base / (1 + gamma * iteration) down to 5, comes near that; ours fits
a recipe of any length.
"""

import math

from torch import Tensor, nn, zeros_like
from torch.nn import functional

from ..about import About
from .head import HEADS, Head

__all__ = ["LSoftmax", "psi"]


@HEADS.register("l_softmax")
class LSoftmax(Head):
    """Linear logits without bias, the true one with an angular margin in the loss.

    Args:
        features: D.
        classes: K.
        margin: m, 1 to 4; 1 is plain softmax. A-Softmax has 4.
        normalised: Whether the weights have unit length (A-Softmax).
        lambda_start: Lambda at the start, >= lambda_end; released code: 1000.
        lambda_end: Lambda at the end, >= 0; released code: 5.
        anneal: Share of the training over which lambda falls, in (0, 1]; ours.
    """

    about = About(
        title="L-Softmax", citation="Liu et al. 2016", paper="arXiv 1612.02295", family="softmax", place=70
    )

    def __init__(
        self,
        features: int,
        classes: int,
        margin: int = 4,
        normalised: bool = False,
        lambda_start: float = 1000.0,
        lambda_end: float = 5.0,
        anneal: float = 0.5,
    ) -> None:
        super().__init__()
        if margin not in (1, 2, 3, 4):
            raise ValueError(f"expected margin to be 1, 2, 3 or 4, got {margin}")
        if not 0 <= lambda_end <= lambda_start:
            raise ValueError(
                f"expected lambda_end to be in [0, lambda_start = {lambda_start}], got {lambda_end}"
            )
        if not 0 < anneal <= 1:
            raise ValueError(f"expected anneal to be in (0, 1], got {anneal}")
        self.linear = nn.Linear(features, classes, bias=False)
        self.margin, self.normalised = margin, normalised
        self.lambda_start, self.lambda_end, self.anneal = lambda_start, lambda_end, anneal

    def forward(self, features: Tensor) -> Tensor:
        return functional.linear(features, self._directions())

    def loss(self, features: Tensor, y: Tensor, progress: float) -> Tensor:
        own = self._directions()[y]
        cosine = functional.cosine_similarity(features, own, dim=1)
        length = own.norm(dim=1) * features.norm(dim=1)
        # Added to the logit, not computed anew: with m = 1 the change is exactly 0.
        change = self.weight(progress) * length * (psi(cosine, self.margin) - cosine)
        logits: Tensor = self(features)
        return functional.cross_entropy(logits.scatter_add(1, y.unsqueeze(1), change.unsqueeze(1)), y)

    def weight(self, progress: float) -> float:
        """Tell psi's weight, 1 / (1 + lambda), at this share of the training."""
        start, end = 1 / (1 + self.lambda_start), 1 / (1 + self.lambda_end)
        return start + (end - start) * min(progress / self.anneal, 1.0)

    def _directions(self) -> Tensor:
        return functional.normalize(self.linear.weight, dim=1) if self.normalised else self.linear.weight


def psi(cosine: Tensor, margin: int) -> Tensor:
    """Compute (-1)^k cos(m theta) - 2k from cos(theta), any shape.

    It falls from 1 at theta = 0 to 1 - 2m at pi.

    cos(m theta) is the Chebyshev polynomial of cos(theta): its gradient is finite at 0 and pi, where that of
    the arc cosine is not.
    """
    before, multiple = zeros_like(cosine) + 1, cosine
    k = zeros_like(cosine)
    for j in range(1, margin):
        before, multiple = multiple, 2 * cosine * multiple - before
        k = k + (cosine < math.cos(j * math.pi / margin)).to(cosine.dtype)
    return (1 - 2 * (k % 2)) * multiple - 2 * k
