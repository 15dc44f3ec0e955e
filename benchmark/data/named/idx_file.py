"""MNIST's file format."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_idx"]


def read_idx(content: bytes) -> NDArray[np.uint8]:
    """Read an idx file of bytes: two zeros, type 8, the number of dimensions, their sizes, the values."""
    dimensions = content[3]
    shape = np.frombuffer(content, ">u4", dimensions, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape.tolist())
