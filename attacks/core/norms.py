"""Norms of perturbations: size, projection, steepest ascent and random start; one class a norm."""

from abc import ABC, abstractmethod
from typing import Any, Protocol

import torch
from torch import Tensor

__all__ = ["NORMS", "Norm", "column", "size_one"]


class Draws(Protocol):
    """What a norm needs of random numbers, a stream per sample: see `SampleRandom`."""

    def uniform(self, *shape: int, dtype: torch.dtype) -> Tensor: ...

    def normal(self, *shape: int, dtype: torch.dtype) -> Tensor: ...


class Norm(ABC):
    """A norm on perturbations (B, *S); every method treats each sample alone."""

    @abstractmethod
    def size(self, delta: Tensor) -> Tensor:
        """Measure, (B, *S) -> (B,)."""

    @abstractmethod
    def project(self, delta: Tensor, eps: float | Tensor) -> Tensor:
        """Move to the nearest point of the ball of radius ``eps``, (B, *S) -> (B, *S).

        One radius for all, or a column of one for each sample.
        """

    @abstractmethod
    def steepest(self, gradient: Tensor) -> Tensor:
        """Give the direction of size 1 along which a loss with this gradient rises fastest.

        (B, *S) -> (B, *S); 0 where it is 0.
        """

    @abstractmethod
    def slope(self, gradient: Tensor) -> Tensor:
        """Tell how fast a loss with this gradient rises along `steepest`, the dual norm, (B, *S) -> (B,)."""

    @abstractmethod
    def sample(self, x: Tensor, eps: float, random: Draws) -> Tensor:
        """Draw a perturbation of ``x`` uniformly from the ball, (B, *S) -> (B, *S)."""

    def perturb(self, x: Tensor, delta: Tensor, eps: float | Tensor) -> Tensor:
        """Apply ``delta`` inside the ball and the box [0, 1].

        The box comes last because it only ever shrinks a perturbation.
        """
        return (x + self.project(delta, eps)).clamp_(0, 1)


class Linf(Norm):
    """The largest absolute change of a pixel."""

    def size(self, delta: Tensor) -> Tensor:
        return delta.abs().flatten(1).amax(1)

    def project(self, delta: Tensor, eps: float | Tensor) -> Tensor:
        limit: Any = eps  # numbers and tensors alike; torch's types tell them apart
        return delta.clamp(-limit, limit)

    def steepest(self, gradient: Tensor) -> Tensor:
        return gradient.sign()

    def slope(self, gradient: Tensor) -> Tensor:
        return gradient.abs().flatten(1).sum(1)

    def sample(self, x: Tensor, eps: float, random: Draws) -> Tensor:
        return (2 * random.uniform(*x.shape[1:], dtype=x.dtype) - 1) * eps


class L2(Norm):
    """The Euclidean length of the change."""

    def size(self, delta: Tensor) -> Tensor:
        size: Tensor = torch.linalg.vector_norm(delta.flatten(1), dim=1)
        return size

    def project(self, delta: Tensor, eps: float | Tensor) -> Tensor:
        size = column(self.size(delta), delta)
        return delta * (eps / size.clamp_min(torch.finfo(delta.dtype).tiny)).clamp_max(1)

    def steepest(self, gradient: Tensor) -> Tensor:
        # Dividing by the largest entry first keeps the squares of tiny gradients (1e-25 is common on GM
        # heads) from underflow.
        scale = column(gradient.abs().flatten(1).amax(1), gradient)
        scaled = gradient / torch.where(scale == 0, 1, scale)
        return scaled / column(self.size(scaled), scaled).clamp_min(1)

    def slope(self, gradient: Tensor) -> Tensor:
        return (gradient * self.steepest(gradient)).flatten(1).sum(1)

    def sample(self, x: Tensor, eps: float, random: Draws) -> Tensor:
        direction = self.steepest(random.normal(*x.shape[1:], dtype=x.dtype))
        radius = random.uniform(dtype=x.dtype) ** (1 / x[0].numel())
        return direction * column(radius, x) * eps


def column(values: Tensor, like: Tensor) -> Tensor:
    """Shape one value per sample, (B,), to broadcast over ``like``, (B, *S)."""
    return values.view(-1, *[1] * (like.ndim - 1))


def size_one(gradient: Tensor) -> Tensor:
    """Divide by the sum of absolute entries.

    (B, *S) -> (B, *S); by the largest one first, since the sum of tiny ones would underflow.
    """
    scale = column(gradient.abs().flatten(1).amax(1), gradient)
    scaled = gradient / torch.where(scale == 0, 1, scale)
    return scaled / column(scaled.abs().flatten(1).sum(1), scaled).clamp_min(1)


NORMS: dict[str, Norm] = {"Linf": Linf(), "L2": L2()}
