"""What to do when a device runs out of memory: the same work in pieces, each half as large."""

from collections.abc import Callable
from typing import TypeVar

import torch

__all__ = ["Memory", "ran_out"]

T = TypeVar("T")

_TOLD = (
    "DefaultCPUAllocator: can't allocate memory",
    "CUDA out of memory",
    "CUDA error: out of memory",
    "ALLOC_FAILED",
)
"""What torch's CPU allocator, CUDA, cuBLAS and cuDNN say."""


def ran_out(error: BaseException) -> bool:
    """Tell whether there was no memory left."""
    told = isinstance(error, RuntimeError) and any(words in str(error) for words in _TOLD)
    return told or isinstance(error, torch.OutOfMemoryError | MemoryError)


class Memory:
    """Cuts batches into pieces that fit, and remembers what did.

    Attributes:
        most: Images that fit at once; None as long as everything did.
    """

    def __init__(self) -> None:
        self.most: int | None = None

    def fit(self, images: int, work: Callable[[list[slice]], T]) -> T:
        """Do ``work`` on the pieces of a batch, and again on halves as long as memory runs out.

        Args:
            images: In the batch.
            work: Takes the pieces in their order, one piece while everything fits.

        Raises:
            RuntimeError: One image alone does not fit, or whatever else ``work`` raises.
        """
        while True:
            most = min(images, self.most or images)
            pieces = [slice(first, min(first + most, images)) for first in range(0, images, most or 1)]
            try:
                return work(pieces or [slice(0, 0)])
            except (RuntimeError, MemoryError) as error:
                if most <= 1 or not ran_out(error):
                    raise
            # not in the handler, where the error still holds what was allocated
            self.most = -(-most // 2)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
