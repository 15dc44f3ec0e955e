"""A user's own images: one folder per class."""

import hashlib
from pathlib import Path

import torch

from .decode import stack_images
from .image_set import SPLITS, DataError, ImageSet

__all__ = ["FolderImages"]

# those of torchvision's ImageFolder
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")

TEST_SHARE, VALIDATION_SHARE = 0.2, 0.1  # where the folders do not say what is what
LAYOUTS = "expected PATH/train/CLASS/* and PATH/test/CLASS/*, or PATH/CLASS/*"


class FolderImages:
    """``PATH/{train,test}/CLASS/*``, perhaps ``PATH/validation/CLASS/*``, or ``PATH/CLASS/*``.

    Classes in the order of their names.

    An id is a hash of the file's path below PATH. Where the folders do not tell validation from train, or
    test from both, the id alone
    does, so a new image moves no other one: a tenth is validation, and a fifth test. Images are in the order
    of their ids, which mixes the classes.

    Args:
        name: The data set's name.
        path: PATH.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path

    def load(self, split: str, root: Path) -> ImageSet:
        self.fetch(root)
        present = self._present()
        held_out = split not in present or (split == "train" and "validation" not in present)
        source = self.path / (split if split in present else "train" if present else "")
        classes = _folders(self.path / "train" if present else self.path)
        if len(classes) < 2:
            raise DataError(f"expected {self.path} to have at least 2 classes, got {len(classes)}; {LAYOUTS}")
        if unknown := sorted(set(_folders(source)) - set(classes)):
            raise DataError(f"expected {source} to have the classes of train, got also '{unknown[0]}'")
        found = [
            (_id(self.path, file), y, file)
            for y, label in enumerate(classes)
            for file in _images(source / label)
        ]
        if held_out:
            found = [image for image in found if _split_of(image[0], with_test=not present) == split]
        found.sort()
        x = stack_images(((row, str(file), file) for row, (_, _, file) in enumerate(found)), len(found))
        ids = torch.tensor([image[0] for image in found], dtype=torch.int64)
        y = torch.tensor([image[1] for image in found], dtype=torch.int64)
        return ImageSet.of(self.name, split, x, y, ids, len(classes))

    def fetch(self, root: Path) -> Path:
        if not self.path.is_dir():
            raise DataError(f"no folder {self.path}; {LAYOUTS}")
        return self.path

    def _present(self) -> list[str]:
        """List the splits that have a folder.

        A folder of images without one of classes is a class that happens to be called so.
        """
        present = [split for split in SPLITS if _folders(self.path / split)]
        if present and not {"train", "test"} <= set(present):
            raise DataError(
                f"expected {self.path} to have both train and test, got only {' and '.join(present)}; "
                f"{LAYOUTS}"
            )
        return present


def _folders(path: Path) -> list[str]:
    if not path.is_dir():
        return []
    return sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _images(path: Path) -> list[Path]:
    return [
        file
        for file in path.rglob("*")
        if file.suffix.lower() in EXTENSIONS and not file.name.startswith(".")
    ]


def _id(root: Path, file: Path) -> int:
    """Hash the path below the root to 63 bits, as many as an int64 has."""
    return int.from_bytes(hashlib.sha256(file.relative_to(root).as_posix().encode()).digest()[:8], "big") >> 1


def _split_of(image_id: int, with_test: bool) -> str:
    """Tell the split of an image from its id, a uniform number."""
    share = image_id / 2**63
    if share < VALIDATION_SHARE:
        return "validation"
    return "test" if with_test and share < VALIDATION_SHARE + TEST_SHARE else "train"
