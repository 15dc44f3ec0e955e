"""The two standard sets: scikit-learn's digits, which need no file, and MNIST as torchvision lays it out.

MNIST: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998. Files
and layout are torchvision's (``ROOT/MNIST/raw``), its loader is not used: it checks no hash and prefers
``MNIST/processed/*.pt`` of old releases, where they lie.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from .image_set import DataError, ImageSet, shuffled_parts

__all__ = ["Digits", "Mnist"]

MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}

IMAGE_HEADER, LABEL_HEADER = 16, 8  # bytes of an idx file before its values


class Digits:
    """scikit-learn's ``load_digits``: 1 797 images of 8 x 8, values 0 to 16, here scaled to 0 to 255.

    1 047 / 250 / 500.
    """

    def load(self, split: str, root: Path) -> ImageSet:
        from sklearn.datasets import load_digits  # slow to import, and needed for digits alone

        images, y = load_digits(return_X_y=True)
        x = np.rint(images * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
        test, validation, train = shuffled_parts(len(x), 500, 250)
        rows = {"train": train, "validation": validation, "test": test}[split]
        return _select("digits", split, x, y, rows)

    def fetch(self, root: Path) -> Path:
        return root


class Mnist:
    """MNIST: 55 000 train and 5 000 validation images out of the file of 60 000.

    And its 10 000 test images in their order.
    """

    def load(self, split: str, root: Path) -> ImageSet:
        source = "t10k" if split == "test" else "train"
        images = self._read(root, f"{source}-images-idx3-ubyte")[IMAGE_HEADER:].reshape(-1, 1, 28, 28)
        labels = self._read(root, f"{source}-labels-idx1-ubyte")[LABEL_HEADER:]
        validation, train = shuffled_parts(60_000, 5_000)
        rows = {"train": train, "validation": validation, "test": np.arange(10_000)}[split]
        return _select("mnist", split, images, labels, rows)

    def fetch(self, root: Path) -> Path:
        folder = root / "MNIST" / "raw"
        try:
            for name, md5 in MD5.items():
                if not (folder / name).exists() or _md5((folder / name).read_bytes()) != md5:
                    _download(folder, name)
        except (OSError, RuntimeError) as error:
            cause = str(error).replace("\n", " ")
            raise DataError(
                f"cannot fetch MNIST into {folder}: {cause}; another place: --data-root or GMBENCH_DATA"
            ) from error
        for name in MD5:
            self._read(root, name)
        return folder

    def _read(self, root: Path, name: str) -> NDArray[np.uint8]:
        """Read the bytes of one verified file: those that were hashed are those that are used."""
        path = root / "MNIST" / "raw" / name
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise DataError(
                f"MNIST not found under {root}: no {name}; fetch it with: gmbench data mnist"
            ) from error
        except OSError as error:
            raise DataError(
                f"cannot read {path}: {error.strerror}; fetch it with: gmbench data mnist"
            ) from error
        if (md5 := _md5(content)) != MD5[name]:
            raise DataError(
                f"expected {path} to have md5 {MD5[name]}, got {md5}; fetch it again with: gmbench data mnist"
            )
        return np.frombuffer(content, np.uint8)


def _select(
    name: str, split: str, x: NDArray[np.uint8], y: NDArray[np.generic], rows: NDArray[np.int64]
) -> ImageSet:
    """Take rows of a source of ten classes; their indices are the ids."""
    return ImageSet.of(
        name,
        split,
        torch.from_numpy(x[rows]),
        torch.from_numpy(y[rows].astype(np.int64)),
        torch.from_numpy(rows),
        10,
    )


def _download(folder: Path, name: str) -> None:
    """Download and unpack one file of MNIST from the first of torchvision's mirrors that has it."""
    # Imported late: this takes a second, which only who downloads should wait.
    from torchvision.datasets import MNIST
    from torchvision.datasets.utils import download_and_extract_archive

    archive = f"{name}.gz"
    failures = []
    for mirror in MNIST.mirrors:
        try:
            download_and_extract_archive(
                f"{mirror}{archive}", str(folder), md5=dict(MNIST.resources)[archive], remove_finished=True
            )
            return
        except (OSError, RuntimeError) as error:
            failures.append(f"{mirror}: {error}")
    raise RuntimeError("; ".join(failures))


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
