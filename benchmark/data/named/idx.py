"""MNIST's format and the sets that share it: Fashion-MNIST, Kuzushiji-MNIST, EMNIST's letters.

Fashion-MNIST: Xiao, Rasul, Vollgraf, arXiv 1708.07747. Kuzushiji-MNIST: Clanuwat et al., arXiv 1812.01718.
EMNIST: Cohen, Afshar, Tapson, van Schaik, arXiv 1702.05373. Files and layout are torchvision's
(``ROOT/FashionMNIST/raw``); its compressed files are read, as those are what it lists hashes of.
"""

import gzip
import string
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..image_set import ImageSet, Source
from .idx_file import read_idx
from .official import official_split
from .verified import VerifiedFile

__all__ = ["EmnistLetters", "fashion_mnist", "kmnist"]

PARTS = {"train": "train", "validation": "train", "test": "t10k"}


@dataclass(frozen=True)
class IdxImages:
    """A set of four compressed idx files, as MNIST: 55 000 / 5 000 / 10 000.

    Args:
        name: By which it is loaded.
        title: For people.
        folder: torchvision's, and the name of its class.
        md5: {file: md5}.
        class_names: In order.
    """

    name: str
    title: str
    folder: str
    md5: Mapping[str, str]
    class_names: tuple[str, ...]

    def load(self, split: str, root: Path) -> ImageSet:
        part = PARTS[split]
        x, y = (
            read_idx(gzip.decompress(self._file(f"{part}-{kind}-ubyte.gz").read(root)))
            for kind in ("images-idx3", "labels-idx1")
        )
        return official_split(self.name, split, x[:, np.newaxis], y, self.class_names)

    def fetch(self, root: Path) -> Path:
        for name in self.md5:
            self._file(name).fetch(root, lambda name=name: self._urls(name))  # type: ignore[misc]
        return root / self.folder / "raw"

    def _file(self, name: str) -> VerifiedFile:
        return VerifiedFile(self.title, self.name, f"{self.folder}/raw/{name}", self.md5[name])

    def _urls(self, name: str) -> list[str]:
        from torchvision import datasets

        return [f"{mirror}{name}" for mirror in getattr(datasets, self.folder).mirrors]


def fashion_mnist() -> Source:
    """Fashion-MNIST: grey pictures of ten kinds of clothes, 28 x 28."""
    return IdxImages(
        "fashion-mnist",
        "Fashion-MNIST",
        "FashionMNIST",
        {
            "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
        },
        (
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
    )


def kmnist() -> Source:
    """Kuzushiji-MNIST: ten handwritten hiragana, 28 x 28."""
    return IdxImages(
        "kmnist",
        "Kuzushiji-MNIST",
        "KMNIST",
        {
            "train-images-idx3-ubyte.gz": "bdb82020997e1d708af4cf47b453dcf7",
            "train-labels-idx1-ubyte.gz": "e144d726b3acfaa3e44228e80efcd344",
            "t10k-images-idx3-ubyte.gz": "5c965bf0a639b31b8f53240b1b52f4d7",
            "t10k-labels-idx1-ubyte.gz": "7320c461ea6c1c855c0b718fb2a4b134",
        },
        ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    )


class EmnistLetters:
    """EMNIST's 26 letters, upper and lower case alike, 28 x 28, upright.

    119 800 / 5 000 / 20 800. The file has them transposed, as torchvision gives them; its labels are 1 to 26.
    """

    ARCHIVE = VerifiedFile(
        "EMNIST", "emnist-letters", "EMNIST/raw/gzip.zip", "58c8d27c78d21e728a6bc7b3cc06412e"
    )

    def load(self, split: str, root: Path) -> ImageSet:
        part = "test" if split == "test" else "train"
        with self.ARCHIVE.open(root) as file, zipfile.ZipFile(file) as archive:
            x, y = (
                read_idx(gzip.decompress(archive.read(f"gzip/emnist-letters-{part}-{kind}-ubyte.gz")))
                for kind in ("images-idx3", "labels-idx1")
            )
        upright = x.transpose(0, 2, 1)[:, np.newaxis]
        return official_split("emnist-letters", split, upright, y - 1, tuple(string.ascii_lowercase))

    def fetch(self, root: Path) -> Path:
        self.ARCHIVE.fetch(root, self._urls)
        return root / "EMNIST" / "raw"

    @staticmethod
    def _urls() -> list[str]:
        from torchvision.datasets import EMNIST

        return [EMNIST.url]
