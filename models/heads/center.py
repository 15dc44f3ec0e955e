"""Center loss: cross-entropy plus the pull of each feature to its class's centre.

Wen, Zhang, Li, Qiao, "A discriminative feature learning approach for deep face recognition", ECCV 2016,
equations 3 to 5. L = CE + weight / 2 |f - c_y|^2, averaged over the batch; the centres are no parameters but
move by their own rule, c_j <- c_j - centre_lr * sum_{y = j} (c_j - f) / (1 + n_j).
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..about import About
from .head import HEADS, Head
from .lgm import half_squared_distances

__all__ = ["Center"]


@HEADS.register("center")
class Center(Head):
    """Linear logits with a centre per class.

    Args:
        features: D.
        classes: K.
        weight: Lambda of equation 5, >= 0; the authors' face code has .008.
        centre_lr: Alpha of equation 4, in [0, 1]; the paper has .5.
    """

    about = About(
        title="center",
        citation="Wen et al. 2016",
        paper="doi:10.1007/978-3-319-46478-7_31",
        family="class means",
        detector="likelihood",
        place=20,
    )

    centres: Tensor

    def __init__(self, features: int, classes: int, weight: float = 0.008, centre_lr: float = 0.5) -> None:
        super().__init__()
        if weight < 0:
            raise ValueError(f"expected weight to be >= 0, got {weight}")
        if not 0 <= centre_lr <= 1:
            raise ValueError(f"expected centre_lr to be in [0, 1], got {centre_lr}")
        self.linear = nn.Linear(features, classes)
        self.register_buffer("centres", torch.zeros(classes, features))
        self.weight = weight
        self.centre_lr = centre_lr

    def forward(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.linear(features))

    def log_likelihood(self, features: Tensor) -> Tensor:
        """Compute -1/2 |f - c_k|^2, the Gaussian that the center loss implies (L-GM paper, section 3.4).

        (B, D) -> (B, K).
        """
        return -half_squared_distances(features, self.centres)

    def loss(self, features: Tensor, y: Tensor, progress: float) -> Tensor:
        pull = (features - self.centres[y]).square().sum(1).mean() / 2
        if self.training:
            self._move_centres(features.detach(), y)
        return functional.cross_entropy(self(features), y) + self.weight * pull

    @torch.no_grad()
    def _move_centres(self, features: Tensor, y: Tensor) -> None:
        members = functional.one_hot(y, len(self.centres)).to(features.dtype)  # (B, K)
        count = members.sum(0).unsqueeze(1)
        step = (count * self.centres - members.T @ features) / (1 + count)
        self.centres = self.centres - self.centre_lr * step
