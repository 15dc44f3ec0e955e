"""The two standard sets: scikit-learn's digits, which need no file, and MNIST as torchvision lays it out.

MNIST: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998. Files
and layout are torchvision's (``ROOT/MNIST/raw``), its loader is not used: it checks no hash and prefers
``MNIST/processed/*.pt`` of old releases, where they lie.
"""

import gzip
from pathlib import Path

import numpy as np
import torch

from ...models.files import write_file
from .image_set import ImageSet, shuffled_parts
from .named.idx_file import read_idx
from .named.official import official_split
from .named.verified import VerifiedFile, download, fetching

__all__ = ["Digits", "Mnist"]

MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}

DIGITS = tuple(map(str, range(10)))


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
        return ImageSet.of(
            "digits",
            split,
            torch.from_numpy(x[rows]),
            torch.from_numpy(y[rows]),
            torch.from_numpy(rows),
            10,
            DIGITS,
        )

    def fetch(self, root: Path) -> Path:
        return root


class Mnist:
    """MNIST: 55 000 train and 5 000 validation images out of the file of 60 000.

    And its 10 000 test images in their order.
    """

    def load(self, split: str, root: Path) -> ImageSet:
        source = "t10k" if split == "test" else "train"
        images, labels = (
            read_idx(_mnist_file(f"{source}-{kind}-ubyte").read(root))
            for kind in ("images-idx3", "labels-idx1")
        )
        return official_split("mnist", split, images[:, np.newaxis], labels, DIGITS)

    def fetch(self, root: Path) -> Path:
        folder = root / "MNIST" / "raw"
        for name in MD5:
            if not _mnist_file(name).is_sound(root):
                fetching("MNIST", folder, lambda name=name: _download(folder, name))  # type: ignore[misc]
            _mnist_file(name).open(root).close()
        return folder


def _mnist_file(name: str) -> VerifiedFile:
    return VerifiedFile("MNIST", "mnist", f"MNIST/raw/{name}", MD5[name])


def _download(folder: Path, name: str) -> None:
    """Download and unpack one file of MNIST from the first of torchvision's mirrors that has it."""
    # Imported late: this takes a second, which only who downloads should wait.
    from torchvision.datasets import MNIST

    archive = folder / f"{name}.gz"
    urls = [f"{mirror}{archive.name}" for mirror in MNIST.mirrors]
    download(urls, archive, dict(MNIST.resources)[archive.name])
    write_file(folder / name, gzip.decompress(archive.read_bytes()))
    archive.unlink()
