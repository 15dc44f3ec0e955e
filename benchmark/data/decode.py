"""Image files into one tensor.

PNG, JPEG and whatever else Pillow reads, all of one size and 8 bits per channel. Where an image has an alpha
channel, it is what one sees on white paper.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ...models.processors import processors
from ...models.registry import check_known
from .error import DataError
from .kept import Kept

__all__ = ["Decoding", "stack_files", "stack_images"]

# What each of Pillow's modes is read as. Those that are missing, e.g. 16 bits, would lose their values in the
# conversion.
MODES = {
    "1": "L",
    "L": "L",
    "LA": "L",
    "P": "RGB",
    "PA": "RGB",
    "RGB": "RGB",
    "RGBA": "RGB",
    "CMYK": "RGB",
    "YCbCr": "RGB",
}

AT_ONCE = 256  # encoded images in memory, read ahead of those that are decoded

Encoded = tuple[int, str, bytes | Path]


@dataclass(frozen=True)
class Decoding:
    """How images become arrays.

    Args:
        mode: "RGB" or "L" (grey), which every image is converted to; None to leave each as it is.
        resize: Pixels of the shorter side, by torchvision's bilinear rule; None to leave sizes as they are.
        crop: Side of the square cut out of the middle, after ``resize``.

    Raises:
        ValueError: There is no such mode, or a size is below 1.
    """

    mode: str | None = None
    resize: int | None = None
    crop: int | None = None

    def __post_init__(self) -> None:
        if self.mode is not None:
            check_known("mode", self.mode, ("RGB", "L"))
        for what, size in (("resize", self.resize), ("crop", self.crop)):
            if size is not None and size < 1:
                raise ValueError(f"expected {what} to be at least 1 pixel, got {size}")


AS_IS = Decoding()


def stack_images(
    encoded: Iterable[Encoded], count: int, decoding: Decoding = AS_IS, kept: Kept | None = None
) -> Tensor:
    """Decode ``count`` images into one tensor, -> (N, C, H, W) uint8, on every processor at once.

    Args:
        encoded: Of each image its row in the result, what to call it in an error, and its file or the file's
            bytes, in any order.
        count: N; at 0 the result has no C, H and W.
        decoding: How.
        kept: Where the result is kept, mapped into memory, if it is large; what is kept is not decoded again.

    Raises:
        DataError: An image is unreadable, or differs in size or channels from the first; the message names
            both.
    """
    if kept is not None and (found := kept.find()) is not None:
        return torch.from_numpy(found)
    x: NDArray[np.uint8] | None = None
    first = ""
    try:
        for (row, what, _), image in _decoded(encoded, decoding):
            if x is None:
                x, first = _room((count, *image.shape), kept), what
            if image.shape != x.shape[1:]:
                raise DataError(_unlike(x.shape[1:], first, image.shape, what))
            x[row] = image
        if kept is not None and isinstance(x, np.memmap):
            x = kept.finish(x)
    finally:
        if kept is not None:
            kept.clean()
    return torch.from_numpy(np.empty((0,), np.uint8) if x is None else x)


def stack_files(files: Sequence[Path], decoding: Decoding, *what: object) -> Tensor:
    """Decode files in their order, -> (N, C, H, W) uint8; keep the result if it is large, see `Kept`."""
    encoded = ((row, str(file), file) for row, file in enumerate(files))
    return stack_images(encoded, len(files), decoding, Kept(files, decoding, *what))


def _room(shape: tuple[int, ...], kept: Kept | None) -> NDArray[np.uint8]:
    """Make an array for all images, in a file where it is large and is to be kept."""
    if kept is None or not kept.is_large(shape):
        return np.empty(shape, np.uint8)
    try:
        return kept.new(shape)
    except OSError as error:
        raise DataError(str(error)) from error


def _decoded(encoded: Iterable[Encoded], decoding: Decoding) -> Iterator[tuple[Encoded, NDArray[np.uint8]]]:
    """Decode in threads, in order: Pillow lets go of the interpreter while it computes."""
    images = iter(encoded)
    with ThreadPoolExecutor(processors()) as pool:
        while some := list(islice(images, AT_ONCE)):
            yield from zip(
                some, pool.map(lambda image: _decode(image[1], image[2], decoding), some), strict=True
            )


def _decode(what: str, content: bytes | Path, decoding: Decoding) -> NDArray[np.uint8]:
    """Decode one image, -> (C, H, W)."""
    try:
        with Image.open(content if isinstance(content, Path) else io.BytesIO(content)) as image:
            if image.mode not in MODES:
                raise DataError(
                    f"expected images to have 8 bits per channel, got mode '{image.mode}': {what}"
                )
            if image.format in ("GIF", "PNG", "TIFF", "WEBP") and getattr(image, "is_animated", False):
                raise DataError(f"expected an image, got one of several frames or pages: {what}")
            plain = _on_white(image, what).convert(MODES[image.mode])
            pixels = np.asarray(_cut(plain.convert(decoding.mode or plain.mode), decoding, what))
    # Pillow reports damage as any of these, depending on the format.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"cannot read the image {what}: {error}") from error
    return pixels[np.newaxis] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _on_white(image: Image.Image, what: str) -> Image.Image:
    """Lay an image that is transparent somewhere on white."""
    if not image.has_transparency_data:
        return image
    layered = image.convert("RGBA")
    alpha = np.asarray(layered)[..., 3]
    if alpha.min() == 255:
        return image
    seen = Image.alpha_composite(Image.new("RGBA", image.size, "white"), layered).convert("RGB")
    if np.ptp(alpha) and not np.ptp(np.asarray(seen), axis=(0, 1)).any():
        raise DataError(
            "expected an image to be seen on white, got one whose picture is in its alpha channel alone: "
            f"{what}"
        )
    return seen


def _cut(image: Image.Image, decoding: Decoding, what: str) -> Image.Image:
    """Resize and crop as torchvision's `Resize` and `CenterCrop` do, which ask for no more than this."""
    if decoding.resize is not None:
        short = min(image.size)
        width, height = (int(decoding.resize * side / short) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    if decoding.crop is not None:
        side = decoding.crop
        if min(image.size) < side:
            raise DataError(
                f"expected images to be at least {side} pixels high and wide to be cropped, got "
                f"{image.height}x{image.width}: {what}"
            )
        left, top = (round((length - side) / 2) for length in image.size)
        image = image.crop((left, top, left + side, top + side))
    return image


def _unlike(shape: tuple[int, ...], first: str, other: tuple[int, ...], what: str) -> str:
    hint = "resize and crop make them alike"
    if shape[1:] == other[1:]:
        hint = 'mode = "RGB" or "L" reads all of them alike'
    return f"expected all images to be {_size(shape)} like {first}, got {_size(other)}: {what}; {hint}"


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
