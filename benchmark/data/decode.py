"""Image files into one tensor.

PNG, JPEG and whatever else Pillow reads, all of one size and 8 bits per channel.
"""

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .image_set import DataError

__all__ = ["stack_images"]

# What each of Pillow's modes is read as. Those that are missing, e.g. 16 bits, would lose their values in the
# conversion.
MODES = {
    "1": "L",
    "L": "L",
    "LA": "L",
    "P": "RGB",
    "RGB": "RGB",
    "RGBA": "RGB",
    "CMYK": "RGB",
    "YCbCr": "RGB",
}


def stack_images(encoded: Iterable[tuple[int, str, bytes | Path]], count: int) -> Tensor:
    """Decode ``count`` images into one tensor, -> (N, C, H, W) uint8.

    Args:
        encoded: Of each image its row in the result, what to call it in an error, and its file or the file's
            bytes, in any order.
        count: N; at 0 the result has no C, H and W.

    Raises:
        DataError: An image is unreadable, or differs in size or channels from the first; the message names
            both.
    """
    x: NDArray[np.uint8] | None = None
    first = ""
    for row, what, content in encoded:
        image = _decode(what, content)
        if x is None:
            x, first = np.empty((count, *image.shape), np.uint8), what
        if image.shape != x.shape[1:]:
            raise DataError(
                f"expected all images to be {_size(x.shape[1:])} like {first}, got {_size(image.shape)}: "
                f"{what}"
            )
        x[row] = image
    return torch.from_numpy(np.empty((0,), np.uint8) if x is None else x)


def _decode(what: str, content: bytes | Path) -> NDArray[np.uint8]:
    """Decode one image, -> (C, H, W)."""
    try:
        with Image.open(content if isinstance(content, Path) else io.BytesIO(content)) as image:
            if image.mode not in MODES:
                raise DataError(
                    f"expected images to have 8 bits per channel, got mode '{image.mode}': {what}"
                )
            pixels = np.asarray(image.convert(MODES[image.mode]))
    # Pillow reports damage as any of these, depending on the format.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"cannot read the image {what}: {error}") from error
    return pixels[np.newaxis] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
