"""Max-Mahalanobis center loss (MMC): the squared distance to the own, fixed mean, and nothing else.

Pang, Xu, Dong, Du, Chen, Zhu, "Rethinking softmax cross-entropy loss for adversarial robustness", ICLR 2020,
arXiv 1905.10626.

L = |f - mu_y|^2, averaged over the batch. Means, logits -|f - mu_k|^2 and likelihood are those of
`gmbench.models.heads.mmlda`.
"""

from torch import Tensor

from ..about import About
from .head import HEADS
from .mmlda import MMLDA

__all__ = ["MMC"]


@HEADS.register("mmc")
class MMC(MMLDA):
    """Fixed means that their class's features are pulled to; arguments as of `MMLDA`."""

    about = About(
        title="MMC", citation="Pang et al. 2020", paper="arXiv 1905.10626", family="class means", place=100
    )

    def loss(self, features: Tensor, y: Tensor, progress: float) -> Tensor:
        return (features - self.means[y]).square().sum(1).mean()
