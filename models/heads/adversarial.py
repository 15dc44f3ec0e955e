"""Adversarial training: the perturbation of a training batch, and the head that trains on nothing else.

Madry, Makelov, Schmidt, Tsipras, Vladu, "Towards deep learning models resistant to adversarial attacks", ICLR
2018, arXiv 1706.06083; in one step from a random start as in Wong, Rice, Kolter, "Fast is better than free",
ICLR 2020, arXiv 2001.03994. Different from both: eps grows from 0 over the first part of the training,
without which MNIST's nets at eps .3 often never leave chance.

These few lines stand beside `gmbench.attacks.PGD` because models know nothing of attacks, and a training
wants none of PGD's care: no best iterate, no restarts, no number that is independent of the batch.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

from .head import Head

__all__ = ["AdversarialHead", "Adversary"]


@dataclass(frozen=True)
class Adversary:
    """Ascends an objective inside the Linf ball and the box [0, 1].

    Args:
        eps: Radius at the end of its growth, in (0, 1].
        steps: Gradients, > 0.
        step: Length of a step in units of eps, > 0.
        warm_up: Share of the training over which eps grows from 0, in [0, 1].
    """

    eps: float
    steps: int
    step: float
    warm_up: float

    def __post_init__(self) -> None:
        if not 0 < self.eps <= 1:
            raise ValueError(f"expected eps to be in (0, 1], got {self.eps}")
        if self.steps < 1:
            raise ValueError(f"expected steps to be at least 1, got {self.steps}")
        if not self.step > 0:
            raise ValueError(f"expected step to be > 0, got {self.step}")
        if not 0 <= self.warm_up <= 1:
            raise ValueError(f"expected warm_up to be in [0, 1], got {self.warm_up}")

    def perturb(
        self, objective: Callable[[Tensor], Tensor], x: Tensor, progress: float, generator: Generator
    ) -> Tensor:
        """Perturb images to raise their objectives, (B, *S) -> (B, *S); starts at a random point of the ball.

        Args:
            objective: Images (B, *S) -> (B,).
            x: Clean images in [0, 1].
            progress: Share of the training that is done; decides how far eps has grown.
            generator: Draws the start, on the CPU.
        """
        eps = self.eps * (min(1.0, progress / self.warm_up) if self.warm_up else 1.0)
        start = torch.rand(x.shape, generator=generator, dtype=x.dtype).to(x.device)
        x_adv = (x + eps * (2 * start - 1)).clamp_(0, 1)
        for _ in range(self.steps):
            x_adv.requires_grad_()
            with torch.enable_grad():
                (gradient,) = torch.autograd.grad(objective(x_adv).sum(), x_adv)
            x_adv = x_adv.detach() + self.step * eps * gradient.sign()
            x_adv = (x + (x_adv - x).clamp_(-eps, eps)).clamp_(0, 1)
        return x_adv


class AdversarialHead(Head):
    """A head whose training sees perturbed images alone.

    Put it before the head whose loss it trains: ``class X(AdversarialHead, LGM)``.

    Attributes:
        adversary: Perturbs each batch.
    """

    adversary: Adversary

    def objective(self, features: Tensor, y: Tensor) -> Tensor:
        """Compute what the adversary ascends, cross-entropy unless overridden, (B, D), (B,) -> (B,)."""
        return functional.cross_entropy(self(features), y, reduction="none")

    def training_loss(
        self,
        features: Callable[[Tensor], Tensor],
        x: Tensor,
        y: Tensor,
        progress: float,
        generator: Generator,
    ) -> Tensor:
        x_adv = self.adversary.perturb(
            lambda images: self.objective(features(images), y), x, progress, generator
        )
        return self.loss(features(x_adv), y, progress)
