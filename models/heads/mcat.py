"""Mahalanobis-distance calibrated adversarial training (MCAT).

GM trained jointly with its detector, the minimum distance.

From the code that the authors of the GM loss released (repository jschenthu/GM-Loss, folder MCAT; Wan, Chen,
Yu, Wu, Zhong, Yang, TPAMI 45(2), 2023, arXiv 2011.09066). The model rejects what lies far from every mean, so
the training pulls clean features to their nearest mean and pushes those of perturbed images beyond a
threshold from every *wrong* one. With D_k = |f - mu_k|^2:

* L_nat = CE with margin alpha + lambda mean_k D_k, as in `gmbench.models.heads.gm` with likelihood "all";
* first half of the batch, clean: L_nat + 1.5 beta min_k D_k;
* second half, perturbed to *minimise* min_{k != y} D_k inside the Linf ball: (1 - g) L_nat + g beta relu(T -
  min_{k != y} D_k), where T = thres * the mean of |mu_i - mu_j|^2 over pairs i != j and g = 1 - (1 - min(1,
  |delta|_inf / eps))^power;
* alpha, lambda, beta and thres grow over the first tenth of the training, from .01, .1, .01 and .1 of their
  values (for alpha and lambda the other way round than in the authors' GM code);
* a first part of the training, 60 of 131 epochs, is without adversary and has beta = 0; after it the means
  are held fixed. Its end lies after that of the growth, so beta and thres then begin at their full values.

Different from the authors' code, each for the sake of time or of a recipe of any length: the first part sees
whole batches, not their first halves, and is a share of the training, .45; the growth is continuous; the
adversary takes `Adversary`'s few sign steps from a uniform start, not 40 with momentum and backtracking from
a Gaussian, uniform or zero one. Its images therefore almost all lie on the ball's edge, where g = 1. The
network stays in training mode while the adversary climbs. T passes no gradient; in the authors' code it does
where thres <= 1, which is without effect once the means are fixed.

Its detector is the distance to the nearest mean: `likelihood` in `gmbench.detectors` is half of that distance
squared, and `distance` takes the classes' means of the training features instead of the learned ones.
"""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Generator, Tensor
from torch.nn import functional

from ..about import ADVERSARIAL, About
from .adversarial import Adversary
from .gm import GM
from .head import HEADS
from .lgm import half_squared_distances

__all__ = ["MCAT"]

COMPACTNESS = 1.5
"""Weight of the clean half's pull to the nearest mean in units of beta; the released runs have no other."""


@HEADS.register("mcat")
class MCAT(GM):
    """A Gaussian mixture as the classifier, and as the detector of adversarial images.

    Args:
        features: D.
        classes: K, > 1.
        alpha: Margin, >= 0; this and the next four are those of the released run.
        weight: Lambda, >= 0.
        beta: Weight of what calibrates the distances, >= 0.
        threshold: Distance from every wrong mean that perturbed images shall have, in units of the mean
            distance between means, >= 0; both squared.
        power: How fast a perturbation, as it grows, turns an image from one to classify into one to reject, >
            0.
        eps: Linf radius of the adversary, in (0, 1]; the released runs have .3 on MNIST, .03 on CIFAR-10.
        steps: Its gradients; the released runs have 40.
        step: Their length in units of eps.
        clean_share: Share of the training without adversary, in [0, 1].
    """

    about = About(
        title="MCAT",
        citation="Wan et al. 2023",
        paper="arXiv 2011.09066",
        family=ADVERSARIAL,
        detector="likelihood",
        place=110,
    )

    alpha_start: ClassVar[float] = 0.01
    weight_start: ClassVar[float] = 0.1
    beta_start: ClassVar[float] = 0.01
    """Share of beta at the start."""

    threshold_start: ClassVar[float] = 0.1
    """Share of the threshold at the start."""

    def __init__(
        self,
        features: int,
        classes: int,
        alpha: float = 0.1,
        weight: float = 0.05,
        beta: float = 0.5,
        threshold: float = 0.7,
        power: float = 10.0,
        eps: float = 0.3,
        steps: int = 1,
        step: float = 1.25,
        clean_share: float = 0.45,
    ) -> None:
        super().__init__(features, classes, alpha, weight, likelihood="all", warm_up=0.1)
        if classes < 2:
            raise ValueError(
                f"expected classes to be at least 2, got {classes}: without a wrong class there is nothing "
                "to keep away from"
            )
        if beta < 0 or threshold < 0:
            raise ValueError(f"expected beta and threshold to be >= 0, got {beta} and {threshold}")
        if not power > 0:
            raise ValueError(f"expected power to be > 0, got {power}")
        if not 0 <= clean_share <= 1:
            raise ValueError(f"expected clean_share to be in [0, 1], got {clean_share}")
        self.beta, self.threshold, self.power, self.clean_share = beta, threshold, power, clean_share
        self.adversary = Adversary(eps, steps, step, warm_up=0.0)

    def losses(self, distances: Tensor, y: Tensor, progress: float) -> Tensor:
        """Compute each clean sample's loss from its half squared distances, (B, K), (B,) -> (B,)."""
        return super().losses(distances, y, progress) + COMPACTNESS * self._beta(
            progress
        ) * 2 * distances.amin(1)

    def training_loss(
        self,
        features: Callable[[Tensor], Tensor],
        x: Tensor,
        y: Tensor,
        progress: float,
        generator: Generator,
    ) -> Tensor:
        if progress < self.clean_share:
            return self.loss(features(x), y, progress)
        means = self.means.detach()
        clean = (len(x) + 1) // 2  # the odd image stays clean, and so does an only one
        x_adv = x[clean:]
        if len(x_adv):
            x_adv = self.adversary.perturb(
                lambda images: -_to_wrong(half_squared_distances(features(images), means), y[clean:]),
                x_adv,
                progress,
                generator,
            )
        distances = half_squared_distances(features(torch.cat([x[:clean], x_adv])), means)
        losses = self.losses(distances[:clean], y[:clean], progress)
        rejected = self.transition(x_adv - x[clean:])
        losses_adv = self.losses_adv(distances[clean:], y[clean:], rejected, progress)
        return torch.cat([losses, losses_adv]).mean()  # of equal halves: half the sum of their means

    def losses_adv(self, distances: Tensor, y: Tensor, rejected: Tensor, progress: float) -> Tensor:
        """Compute each perturbed sample's loss.

        Args:
            distances: Half squared distances, (B, K).
            y: True classes, (B,).
            rejected: g, how much the sample is one to reject, (B,), in [0, 1].
            progress: See `loss`.
        """
        natural = super().losses(distances, y, progress)
        threshold = self.grown(self.threshold, self.threshold_start, progress) * self.spread()
        missing = (threshold - 2 * _to_wrong(distances, y)).relu()
        return (1 - rejected) * natural + rejected * self._beta(progress) * missing

    def transition(self, delta: Tensor) -> Tensor:
        """Compute g, 0 for no perturbation and 1 on the ball's edge, (B, *S) -> (B,)."""
        size = delta.flatten(1).abs().amax(1) / self.adversary.eps
        result: Tensor = 1 - (1 - size.clamp(max=1)).pow(self.power)
        return result

    def spread(self) -> Tensor:
        """Compute the mean squared distance between the means of two classes, () without gradient."""
        means = self.means.detach()
        return 2 * half_squared_distances(means, means).sum() / (len(means) * (len(means) - 1))

    def _beta(self, progress: float) -> float:
        return self.grown(self.beta, self.beta_start, progress) if progress >= self.clean_share else 0.0


def _to_wrong(distances: Tensor, y: Tensor) -> Tensor:
    """Take the distance to the nearest mean of another class, (B, K), (B,) -> (B,)."""
    true = functional.one_hot(y, distances.shape[1]).bool()
    return distances.masked_fill(true, float("inf")).amin(1)
