"""Clean and attacked images asked for together, in an order that nobody can know.

A defense that counts its calls, or looks where in a batch an image stands, learns nothing of what the image
is. The order is drawn from the system's entropy, not from a seed: it decides no result, since what is asked
answers for each image by itself, and a guest that knew the suite could compute any seed that it has.
"""

import torch
from torch import Tensor

__all__ = ["secret_order"]


def secret_order(images: int) -> Tensor:
    """Draw an order of so many images, (N,)."""
    generator = torch.Generator()
    generator.seed()
    return torch.randperm(images, generator=generator)
