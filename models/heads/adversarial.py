"""Adversarial training: the perturbation of a training batch, for a loss of any kind.

Madry, Makelov, Schmidt, Tsipras, Vladu, "Towards deep learning models resistant to adversarial attacks", ICLR
2018, arXiv 1706.06083, equation 2.1; in one step from a random start as in Wong, Rice, Kolter, "Fast is
better than free", ICLR 2020, arXiv 2001.03994. Different from both: eps grows from 0 over the first part of
the training, without which MNIST's nets at eps .3 often never leave chance.

A recipe asks for it in its table ``[adversary]``. Losses that are defined by an adversary of their own,
`gmbench.models.heads.trades` and `gmbench.models.heads.mcat`, use `Adversary` alone.

These few lines stand beside `gmbench.attacks.PGD` because models know nothing of attacks, and a training
wants none of PGD's care: no best iterate, no restarts, no number that is independent of the batch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import ConfigDict
from torch import Generator, Tensor
from torch.nn import functional

__all__ = ["OBJECTIVES", "Adversary", "Hardening"]


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
    steps: int = 1
    step: float = 1.25
    warm_up: float = 0.3

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


@dataclass(frozen=True)
class Hardening(Adversary):
    """Perturbs every image of a training, whatever its loss.

    Args:
        eps: As all but the objective, see `Adversary`; Madry et al. have .3 on MNIST, 8/255 on CIFAR-10.
        steps: 1 in Wong et al.; Madry et al. take 40 on MNIST, 7 on CIFAR-10.
        step: 1.25 in Wong et al.
        warm_up: Ours.
        objective: What is ascended: "ce", cross-entropy of the logits, or "margin", how much larger the best
            wrong logit is than the true one. The gradient of cross-entropy vanishes on squared distances.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    objective: Literal["ce", "margin"] = "ce"

    def attack(
        self,
        logits: Callable[[Tensor], Tensor],
        x: Tensor,
        y: Tensor,
        progress: float,
        generator: Generator,
    ) -> Tensor:
        """Perturb a batch of the training, (B, *S) -> (B, *S).

        Args:
            logits: The model, (B, *S) -> (B, K).
            x: Clean images in [0, 1].
            y: True classes, (B,).
            progress: As of `Adversary.perturb`, as is the next.
            generator: Draws the start.
        """
        climb = OBJECTIVES[self.objective]
        return self.perturb(lambda images: climb(logits(images), y), x, progress, generator)


def _cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    return functional.cross_entropy(logits, y, reduction="none")


def _margin(logits: Tensor, y: Tensor) -> Tensor:
    true = functional.one_hot(y, logits.shape[1]).bool()
    return logits.masked_fill(true, -float("inf")).amax(1) - logits[true]


OBJECTIVES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"ce": _cross_entropy, "margin": _margin}
"""What an adversary ascends, (B, K), (B,) -> (B,)."""
