"""The smallest perturbation that fools, image by image; what attacks of minimal norm keep.

A tie is no success: logits that lead within rounding may lose in another batch. So the wrong class must lead
by more than `rounding`.
"""

import math

import torch
from torch import Tensor

from ...models.classifier import Outputs
from .attack import likeliest_targets
from .losses import class_log_likelihood, margin
from .norms import NORMS, Norm, column
from .victim import Victim

__all__ = ["Smallest", "annealed", "leads", "of_length", "rounding"]

ULPS = 16
"""Of the largest logit: a lead within them is a tie, which another batch size may round the other way."""


class Smallest:
    """Keeps each image's smallest perturbation that fools.

    Args:
        x: The clean images, kept until there is an image that fools, (B, *S).
        y: True classes, (B,).
        norm: By what perturbations are measured.

    Attributes:
        size: Of what is kept, infinite where nothing is, (B,).
    """

    def __init__(self, x: Tensor, y: Tensor, norm: Norm) -> None:
        self.size = torch.full((len(x),), torch.inf, dtype=x.dtype, device=x.device)
        self._clean, self._kept = x, x.clone()
        self._y, self._norm = y, norm

    def begin(self, victim: Victim, targets: int) -> tuple[Tensor, list[Tensor | None]]:
        """Ask about the clean images, one forward pass, to leave out those that are wrong as they are.

        Args:
            victim: Whom to ask.
            targets: How many of the likeliest wrong classes are aimed at; 0 aims at none.

        Returns:
            The rows of the others, (b,), and what runs on them aim at: classes, each (b,), or None once.
        """
        outputs = victim.outputs(self._clean)
        self.update(self._clean, outputs, torch.arange(len(self._y), device=self._y.device))
        rows = self.size.nonzero().squeeze(1)
        if targets == 0 or len(rows) == 0:
            return rows, [None] * min(1, len(rows))
        likely = class_log_likelihood(outputs)[rows]
        return rows, [*likeliest_targets(likely, self._y[rows], targets)]

    def update(self, x_adv: Tensor, outputs: Outputs, rows: Tensor) -> None:
        """Take the images that fool and are nearer than what is kept.

        Args:
            x_adv: Images, (b, *S).
            outputs: The victim's, of these.
            rows: Which of the B images they belong to, (b,).
        """
        size = self._norm.size(x_adv - self._clean[rows])
        better = leads(outputs, self._y[rows]) & (size < self.size[rows])
        self.size[rows[better]] = size[better]
        self._kept[rows[better]] = x_adv[better]

    def within(self, eps: float) -> Tensor:
        """Give what is kept, (B, *S), and the clean image where that is farther away than ``eps``."""
        return torch.where(column(self.size <= eps, self._kept), self._kept, self._clean)


def leads(outputs: Outputs, y: Tensor, target: Tensor | None = None) -> Tensor:
    """Tell where a wrong class, or the target, leads by more than rounding, (b,)."""
    return margin(outputs, y, target) > rounding(outputs.logits)


def rounding(logits: Tensor) -> Tensor:
    """Bound the rounding errors of a difference of logits, (b, K) -> (b,)."""
    return logits.abs().amax(1) * (ULPS * torch.finfo(logits.dtype).eps)


def annealed(first: float, last: float, done: float) -> float:
    """Fall from ``first`` to ``last`` along half a cosine, as ``done`` goes from 0 to 1."""
    return last + (first - last) * (1 + math.cos(math.pi * done)) / 2


def of_length(delta: Tensor, length: Tensor) -> Tensor:
    """Scale perturbations, (b, *S), to these L2 norms, (b,); one that is 0 stays 0."""
    size = NORMS["L2"].size(delta)
    return delta * column(length / torch.where(size == 0, 1, size), delta)
