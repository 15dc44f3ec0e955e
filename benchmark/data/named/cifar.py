"""CIFAR-10 and CIFAR-100: Krizhevsky, "Learning multiple layers of features from tiny images", 2009.

Files and layout are torchvision's (``ROOT/cifar-10-batches-py``). They are pickles: read after their md5 is
verified, by an unpickler that knows arrays and plain containers and nothing else.
"""

import io
import pickle
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ....models.files import write_file
from ..error import DataError
from ..image_set import ImageSet, Source
from .official import official_split
from .verified import VerifiedFile, download, fetching

__all__ = ["PlainUnpickler", "cifar10", "cifar100"]

NUMPYS = (
    # what numpy itself names as the maker of an array; old and new files have it in other modules
    *(
        (f"numpy.{core}.multiarray", "_reconstruct", np.empty(0).__reduce__()[0])
        for core in ("core", "_core")
    ),
    ("numpy", "ndarray", np.ndarray),
    ("numpy", "dtype", np.dtype),
)
"""All that a pickle of arrays may name: module, name, and what it is."""


@dataclass(frozen=True)
class Cifar:
    """45 000 / 5 000 / 10 000 colour images, 32 x 32.

    Args:
        name: By which it is loaded.
        title: For people.
        torchvision: Its class there.
        folder: Of its files, in the archive and below the root.
        archive: Name and md5.
        train: {file: md5}.
        test: Likewise.
        meta: Likewise; the file of the classes' names.
        labels: What they are called in a file.
        names: What the classes' names are called in the meta file.
    """

    name: str
    title: str
    torchvision: str
    folder: str
    archive: tuple[str, str]
    train: Mapping[str, str]
    test: Mapping[str, str]
    meta: Mapping[str, str]
    labels: str
    names: str

    def load(self, split: str, root: Path) -> ImageSet:
        batches = self._read(root, self.test if split == "test" else self.train)
        [meta] = self._read(root, self.meta)
        x = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
        y = np.concatenate([np.array(batch[self.labels]) for batch in batches])
        return official_split(self.name, split, x, y, tuple(meta[self.names]))

    def fetch(self, root: Path) -> Path:
        if not all(file.is_sound(root) for file in self._files({**self.train, **self.test, **self.meta})):
            fetching(self.title, root, lambda: self._download(root), self.archive[0])
        return root / self.folder

    def _download(self, root: Path) -> None:
        """Download the archive if need be, and unpack the files that are listed, and no others."""
        from torchvision import datasets

        archive = VerifiedFile(self.title, self.name, *self.archive)
        if not archive.is_sound(root):
            download([getattr(datasets, self.torchvision).url], root / archive.place, archive.md5)
        (root / self.folder).mkdir(parents=True, exist_ok=True)
        with archive.open(root) as file, tarfile.open(fileobj=file) as tar:
            for listed in self._files({**self.train, **self.test, **self.meta}):
                member = tar.extractfile(listed.place)
                if member is None:
                    raise DataError(f"expected {root / archive.place} to have the file {listed.place}")
                write_file(root / listed.place, member.read())

    def _files(self, listed: Mapping[str, str]) -> list[VerifiedFile]:
        return [
            VerifiedFile(self.title, self.name, f"{self.folder}/{name}", md5) for name, md5 in listed.items()
        ]

    def _read(self, root: Path, listed: Mapping[str, str]) -> list[dict[str, Any]]:
        return [PlainUnpickler(file.read(root)).load() for file in self._files(listed)]


def cifar10() -> Source:
    """CIFAR-10: photographs of ten kinds of animals and vehicles, 32 x 32."""
    return Cifar(
        "cifar10",
        "CIFAR-10",
        "CIFAR10",
        "cifar-10-batches-py",
        ("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),
        train={
            "data_batch_1": "c99cafc152244af753f735de768cd75f",
            "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "data_batch_4": "634d18415352ddfa80567beed471001a",
            "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        },
        test={"test_batch": "40351d587109b95175f43aff81a1287e"},
        meta={"batches.meta": "5ff9c542aee3614f3951f8cda6e48888"},
        labels="labels",
        names="label_names",
    )


def cifar100() -> Source:
    """CIFAR-100: photographs of a hundred kinds of things, by their fine labels, 32 x 32."""
    return Cifar(
        "cifar100",
        "CIFAR-100",
        "CIFAR100",
        "cifar-100-python",
        ("cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85"),
        train={"train": "16019d7e3df5f24257cddd939b257f8d"},
        test={"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
        meta={"meta": "7973b15100ade9c7d40fb424638fde48"},
        labels="fine_labels",
        names="fine_label_names",
    )


class PlainUnpickler(pickle.Unpickler):
    """Reads containers, numbers, texts and numpy arrays; calls nothing else, whatever a file asks for.

    Args:
        content: A pickle, perhaps of Python 2.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")

    def find_class(self, module: str, name: str) -> Any:
        """Give one of the few things that arrays need.

        Raises:
            DataError: The file asks for another.
        """
        if (module, name) == ("_codecs", "encode"):
            return _encode
        for known_module, known_name, thing in NUMPYS:
            if (module, name) == (known_module, known_name):
                return thing
        raise DataError(
            f"expected a pickle of arrays and plain containers, got one that calls {module}.{name}"
        )


def _encode(text: str, encoding: str) -> bytes:
    """Make bytes of an array's text, which is how Python 3 writes them for Python 2."""
    if encoding != "latin1":
        raise DataError(f"expected bytes of a pickle to be written as latin1, got {encoding}")
    return text.encode("latin1")
