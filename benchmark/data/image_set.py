"""One split of one data set in memory, and what every source of such splits is.

Splits are by id and never move: detectors are fitted on train, thresholds are set on validation, results are
told on test.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...models.registry import Registry
from .error import DataError

__all__ = ["DATASETS", "SPLITS", "DataError", "ImageSet", "Source", "shuffled_parts"]

SPLITS = ("train", "validation", "test")
SPLIT_SEED = 0  # of every held-out split; another one would be another benchmark


@dataclass(frozen=True, eq=False)
class ImageSet:
    """One split of a data set; build it with `ImageSet.of`, which computes the checksum.

    Args:
        name: The data set, e.g. "mnist".
        split: "train", "validation" or "test".
        x: Images, (N, C, H, W) uint8, 0 to 255: a quarter of the memory of floats.
        y: Classes, (N,) int64.
        ids: Stable id of each image in its source, e.g. its index in the file, (N,) int64. Splits of one
            source share none.
        classes: K, the same in every split.
        checksum: sha256 over the bytes of x and y, hexadecimal.
        class_names: What the classes are called, K names or none; for people, no part of the checksum.
        note: What a user should know of how they were read, in a line, or nothing.
    """

    name: str
    split: str
    x: Tensor = field(repr=False)
    y: Tensor = field(repr=False)
    ids: Tensor = field(repr=False)
    classes: int
    checksum: str
    class_names: tuple[str, ...] = ()
    note: str = ""

    @classmethod
    def of(
        cls,
        name: str,
        split: str,
        x: Tensor,
        y: Tensor,
        ids: Tensor,
        classes: int,
        class_names: tuple[str, ...] = (),
        note: str = "",
    ) -> "ImageSet":
        """Build the split and its checksum.

        Raises:
            DataError: The split is empty.
        """
        if len(x) == 0:
            raise DataError(
                f"expected the {split} split of '{name}' to have images, got none; the data set is too small "
                "to be split"
            )
        return cls(name, split, x, y, ids, classes, _checksum(x, y), class_names, note)

    def images(self, rows: slice | Tensor = slice(None)) -> Tensor:
        """Give the images of these rows as float32 in [0, 1], -> (B, C, H, W)."""
        return self.x[rows].float().div_(255)

    def head(self, n: int) -> "ImageSet":
        """Give the first ``n`` samples, or all where there are fewer.

        The checksum becomes that of what is left.

        Raises:
            ValueError: n is below 1.
        """
        if n < 1:
            raise ValueError(f"expected the number of samples to be at least 1, got {n}")
        if n >= len(self):
            return self
        # Clones: a view would keep the whole split in memory.
        parts = (self.x[:n].clone(), self.y[:n].clone(), self.ids[:n].clone())
        return ImageSet.of(self.name, self.split, *parts, self.classes, self.class_names, self.note)

    def __len__(self) -> int:
        return len(self.x)


class Source(Protocol):
    """Where the splits of one data set come from."""

    def load(self, split: str, root: Path) -> ImageSet:
        """Load one split, reading no more files than it needs.

        Raises:
            DataError: The data are missing or damaged.
        """
        ...

    def fetch(self, root: Path) -> Path:
        """Bring the data under ``root`` where that is possible, verify them, and tell the folder they are in.

        Raises:
            DataError: They cannot be fetched; the message says how to place them by hand.
        """
        ...


DATASETS: Registry[Source] = Registry("data set", group="gmbench.data")
"""Every data set that has a name of its own; a factory takes nothing."""


def shuffled_parts(n: int, *sizes: int) -> list[NDArray[np.int64]]:
    """Cut one fixed permutation of n rows into parts of these sizes and the rest.

    Rows stay in the order of the permutation, so that the head of any part is itself a uniform sample of the
    source.
    """
    # RandomState and not default_rng: only the former's stream is frozen for all future releases of NumPy.
    order = np.random.RandomState(SPLIT_SEED).permutation(n).astype(np.int64)
    return np.split(order, np.cumsum(sizes))


def _checksum(x: Tensor, y: Tensor) -> str:
    digest = hashlib.sha256(x.contiguous().numpy().data)
    digest.update(y.numpy().astype("<i8").data)
    return digest.hexdigest()
