"""Gaussian kernels on kept training points, for the detectors that are densities."""

import torch
from torch import Tensor

__all__ = ["log_kernel_sums", "spread"]

CHUNK = 2**21
"""Kernel values that are held at a time: 16 MB in float64."""


def log_kernel_sums(features: Tensor, points: Tensor, h: float) -> Tensor:
    """Compute log sum_i exp(-|f - x_i|^2 / 2 h^2), (B, D), (n, D) -> (B,).

    |f|^2 - 2 f x + |x|^2 is one matrix product; float64, and features less the points' mean, keep what
    cancels far below the kernel's width.
    """
    chunks = features.split(max(1, CHUNK // len(points)))
    return torch.cat([_log_sums(chunk, points, h) for chunk in chunks])


def _log_sums(features: Tensor, points: Tensor, h: float) -> Tensor:
    exponents = features @ points.T - points.square().sum(1) / 2  # (B, n)
    return torch.logsumexp(exponents / h**2, 1) - features.square().sum(1) / (2 * h**2)


def spread(group: Tensor, samples: int | None) -> Tensor:
    """Take ``samples`` rows at even steps, (n, D) -> (min(n, samples), D)."""
    if samples is None or len(group) <= samples:
        return group
    return group[torch.arange(samples, device=group.device) * len(group) // samples]
