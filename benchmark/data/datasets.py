"""Data sets by name: ``load_data("mnist", "test")``, ``load_data("folder:my/images", "train")``.

The named ones are in `DATASETS`; ``folder:PATH`` and ``parquet:PATH`` are a user's own. Every split is fixed,
see `image_set`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from ...models.files import data_root
from ...models.registry import check_known
from .folder import FolderImages
from .image_set import DATASETS, SPLITS, DataError, ImageSet, Source
from .parquet import ParquetImages
from .standard import Digits, Mnist

__all__ = [
    "DATASETS",
    "PATH_KINDS",
    "SPLITS",
    "DataError",
    "ImageSet",
    "beside",
    "fetch_data",
    "load_data",
]

PATH_KINDS: Mapping[str, Callable[[str, Path], Source]] = {"folder": FolderImages, "parquet": ParquetImages}
"""What a name of the form ``KIND:PATH`` can be."""


DATASETS.register("digits")(Digits)


DATASETS.register("mnist")(Mnist)


@DATASETS.register("cifar10-jpeg")
def cifar10_jpeg() -> Source:
    """CIFAR-10 as JPEG images in Parquet files; not CIFAR-10 bit for bit, hence the name."""
    return ParquetImages("cifar10-jpeg")


def load_data(name: str, split: str, root: Path | None = None) -> ImageSet:
    """Load one split of a data set; reads files, downloads nothing.

    Args:
        name: One of `DATASETS`, or ``folder:PATH`` or ``parquet:PATH``.
        split: "train", "validation" or "test".
        root: See `gmbench.models.files.data_root`.

    Raises:
        UnknownName: No such data set.
        ValueError: No such split.
        DataError: The data are missing or damaged; the message has the command that fetches them.
    """
    check_known("split", split, SPLITS)
    return _source(name).load(split, data_root(root))


def beside(name: str, folder: Path) -> str:
    """Give the name of a data set that a file in ``folder`` names: its relative paths begin there."""
    kind, colon, path = name.partition(":")
    return f"{kind}:{folder / Path(path).expanduser()}" if colon and path else name


def fetch_data(name: str, root: Path | None = None) -> Path:
    """Download a data set where it is missing or damaged, verify it, and tell the folder it is in.

    torchvision draws a progress bar while it downloads.

    Raises:
        UnknownName: No such data set.
        DataError: It cannot be fetched; the message says how to place it by hand.
    """
    return _source(name).fetch(data_root(root))


def _source(name: str) -> Source:
    kind, colon, path = name.partition(":")
    if not colon:
        return DATASETS.build(name)
    check_known("kind of data set", kind, PATH_KINDS)
    if not path:
        raise ValueError(f"expected '{kind}:' to be followed by a path, got '{name}'")
    return PATH_KINDS[kind](name, Path(path).expanduser())
