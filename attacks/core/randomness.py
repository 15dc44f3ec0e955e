"""Random numbers that belong to a sample, not to a batch.

A `torch.Generator` hands numbers out in the order of the batch, so what a sample gets depends on its
neighbours and on the device. Here number n of a sample is a hash of (its seed, n): SplitMix64 (Steele, Lea,
Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014), whose n-th output needs no earlier one.
The same numbers come out in any batch, order or worker, and on any device.
"""

import hashlib

import torch
from torch import Tensor

__all__ = ["SampleRandom"]

GAMMA = -0x61C8864680B583EB  # 0x9E3779B97F4A7C15 as a signed integer: the golden ratio's odd increment
MIX = ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15))  # 0xBF58476D1CE4E5B9 and 0x94D049BB133111EB


class SampleRandom:
    """Streams of random numbers, one per sample.

    Args:
        seeds: One per sample, (B,), int64.
        position: How many numbers each stream has given out.
    """

    def __init__(self, seeds: Tensor, position: int = 0) -> None:
        self.seeds = seeds
        self.position = position

    @classmethod
    def of(cls, description: str, ids: Tensor) -> "SampleRandom":
        """Derive one stream per sample id, (B,), from a text that names the use."""
        seed = int.from_bytes(hashlib.sha256(description.encode()).digest()[:8], "big", signed=True)
        return cls(_mix(_mix(ids.long()) + seed))

    def __len__(self) -> int:
        return len(self.seeds)

    def __getitem__(self, rows: Tensor) -> "SampleRandom":
        """Select samples; their streams stand where these stand."""
        return SampleRandom(self.seeds[rows], self.position)

    def uniform(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Draw from [0, 1), (B, *shape)."""
        bits = 53 if dtype == torch.float64 else 24
        return (_shift(self._draw(shape), 64 - bits).to(torch.float64) * 2.0**-bits).to(dtype)

    def normal(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Draw from N(0, 1), (B, *shape), by Box and Muller."""
        radius = (-2 * torch.log1p(-self.uniform(*shape, dtype=torch.float64))).sqrt()
        return (radius * torch.cos(2 * torch.pi * self.uniform(*shape, dtype=torch.float64))).to(dtype)

    def integers(self, high: int, *shape: int) -> Tensor:
        """Draw from {0, ..., high - 1}, (B, *shape), int64."""
        return (self.uniform(*shape, dtype=torch.float64) * high).long()

    def seed(self) -> int:
        """Draw one seed for all samples, for a library that has a global generator only.

        It does depend on the batch.
        """
        return int(_mix(self._draw(()).sum()).item()) & (2**63 - 1)

    def _draw(self, shape: tuple[int, ...]) -> Tensor:
        count = torch.Size(shape).numel()
        places = torch.arange(self.position + 1, self.position + count + 1, device=self.seeds.device)
        self.position += count
        return _mix(self.seeds.unsqueeze(1) + places * GAMMA).view(-1, *shape)


def _mix(state: Tensor) -> Tensor:
    """Scramble 64-bit states; int64 arithmetic wraps as the algorithm's unsigned does."""
    for shift, factor in MIX:
        state = (state ^ _shift(state, shift)) * factor
    return state ^ _shift(state, 31)


def _shift(state: Tensor, places: int) -> Tensor:
    """Shift right without the sign."""
    return (state >> places) & ((1 << (64 - places)) - 1)
