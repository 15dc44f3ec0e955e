"""TI-DIM: momentum steps on varied images with smoothed gradients, which other models follow, too.

Xie, Zhang, Zhou, Bai, Wang, Ren, Yuille, "Improving transferability of adversarial examples with input
diversity", CVPR 2019, arXiv 1803.06978 (DI); Dong, Pang, Su, Zhu, "Evading defenses to transferable
adversarial examples by translation-invariant attacks", CVPR 2019, arXiv 1904.02884 (TI), which smooths the
gradient instead of shifting the image; both on top of MI-FGSM. Different from the originals: they enlarge
images of 299 pixels to at most 330, here they are made smaller and put back on black at their own size, as
nets of small images need it; the kernel is smaller with the images (theirs has 15 pixels). The last iterate
comes back, not the surrogate's best: it is the victim's opinion that counts.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..models.about import About
from .core.attack import ATTACKS, Attack
from .core.losses import check_loss, objective
from .core.norms import NORMS, column, size_one
from .core.randomness import SampleRandom
from .core.threat import ThreatModel
from .core.victim import Victim

__all__ = ["TIDIM"]

DEVIATIONS = 3.0
"""Standard deviations from the kernel's middle to the middle of its border; the authors' code."""


@ATTACKS.register("ti-dim")
@dataclass(frozen=True)
class TIDIM(Attack):
    """Ascend a loss by momentum steps, each on a varied image, along a smoothed gradient.

    Args:
        loss: What to ascend, a name of `LOSSES`; the papers' is "ce", which underflows on Gaussian logits.
        steps: Gradients, > 0; the papers'.
        momentum: Share of the running sum that the next step keeps, in [0, 1]; 0 leaves MI out.
        diversity: Probability that a step sees a varied image, in [0, 1]; 0 leaves DI out. Xie et al.
        smallest: Side of the smallest varied image in units of the image's, in (0, 1].
        kernel: Side of the Gaussian kernel in pixels, odd; 1 leaves TI out.
    """

    about = About(title="TI-DIM", citation="Dong et al. 2019", paper="arXiv 1904.02884")

    loss: str = "log-odds"
    steps: int = 10
    momentum: float = 1.0
    diversity: float = 0.5
    smallest: float = 0.9
    kernel: int = 5

    def __post_init__(self) -> None:
        check_loss(self.loss)
        if self.steps < 1:
            raise ValueError(f"expected steps to be at least 1, got {self.steps}")
        for name in ("momentum", "diversity"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"expected {name} to be in [0, 1], got {getattr(self, name)}")
        if not 0 < self.smallest <= 1:
            raise ValueError(f"expected smallest to be in (0, 1], got {self.smallest}")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"expected kernel to be odd and at least 1, got {self.kernel}")

    def passes(self) -> tuple[int, int]:
        return self.steps, self.steps

    def __call__(
        self, victim: Victim, x: Tensor, y: Tensor, threat: ThreatModel, /, *, random: SampleRandom
    ) -> Tensor:
        if x.ndim != 4:
            raise ValueError(
                f"expected images to be (B, C, H, W) for ti-dim, got {tuple(x.shape)}; it resizes them"
            )
        norm, climb = NORMS[threat.norm], objective(self.loss, y)
        x_adv, total = x, torch.zeros_like(x)
        for _ in range(self.steps):
            there = x_adv.detach().requires_grad_()
            with torch.enable_grad():
                seen = self._varied(there, random)
            _, slope, _ = victim.gradient(seen.detach(), climb)
            (gradient,) = torch.autograd.grad(seen, there, slope)
            total = self.momentum * total + size_one(self._smoothed(gradient))
            step = threat.eps / self.steps * norm.steepest(total)
            x_adv = norm.perturb(x, x_adv - x + step, threat.eps)
        return x_adv

    def _varied(self, x: Tensor, random: SampleRandom) -> Tensor:
        """Make some images smaller and put them somewhere on black, (B, *S) -> (B, *S)."""
        chosen = random.uniform(dtype=x.dtype) < self.diversity
        side = self.smallest + (1 - self.smallest) * random.uniform(dtype=x.dtype)
        place = (2 * random.uniform(2, dtype=x.dtype) - 1) * (1 - side).unsqueeze(1)
        # where a point of the new image lies in the old one: (new - place) / side
        map_ = torch.zeros(len(x), 2, 3, dtype=x.dtype, device=x.device)
        map_[:, 0, 0] = map_[:, 1, 1] = 1 / side
        map_[:, :, 2] = -place / side.unsqueeze(1)
        grid = functional.affine_grid(map_, list(x.shape), align_corners=False)
        varied = functional.grid_sample(x, grid, align_corners=False)
        return torch.where(column(chosen, x), varied.clamp(0, 1), x)

    def _smoothed(self, gradient: Tensor) -> Tensor:
        """Convolve each channel with a Gaussian kernel, (B, C, H, W)."""
        if self.kernel == 1:
            return gradient
        places = torch.linspace(-DEVIATIONS, DEVIATIONS, self.kernel).to(gradient)
        line = torch.exp(-places.square() / 2)
        channels = gradient.shape[1]
        across = (line / line.sum()).expand(channels, 1, 1, -1)
        half = self.kernel // 2
        rows = functional.conv2d(gradient, across, padding=(0, half), groups=channels)
        return functional.conv2d(rows, across.transpose(2, 3), padding=(half, 0), groups=channels)
