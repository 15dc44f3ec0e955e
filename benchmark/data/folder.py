"""A user's own images: one folder per class."""

from collections import Counter
from pathlib import Path

import torch

from .classes import check_train, in_order
from .decode import Decoding, stack_files
from .error import DataError
from .image_files import image_files, path_id
from .image_set import ImageSet
from .split_names import folders_of, split_named

__all__ = ["FolderImages"]

TEST_SHARE, VALIDATION_SHARE = 0.2, 0.1  # where the folders do not say what is what
LAYOUTS = "expected PATH/train/CLASS/* and PATH/test/CLASS/*, or PATH/CLASS/*"


class FolderImages:
    """``PATH/{train,test}/CLASS/*``, perhaps ``PATH/validation/CLASS/*``, or ``PATH/CLASS/*``.

    Splits go by their usual names (``Training``, ``val``, ``seg_test``); a folder of another name beside them
    is refused. Classes are in the order of their names, numbers in that of their values.

    An id is a hash of the file's path below PATH. Where the folders do not tell validation from train, or
    test from both, the id alone does, so a new image moves no other one: a tenth is validation, and a fifth
    test. Images are in the order of their ids, which mixes the classes.

    Args:
        name: The data set's name.
        path: PATH.
        mode: See `Decoding`.
        classes: The names of the classes in another order.
        resize: See `Decoding`.
        crop: See `Decoding`.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        mode: str | None = None,
        classes: tuple[str, ...] = (),
        resize: int | None = None,
        crop: int | None = None,
    ) -> None:
        self.name = name
        self.path = path
        self.classes = classes
        self.decoding = Decoding(mode, resize, crop)

    def load(self, split: str, root: Path) -> ImageSet:
        self.fetch(root)
        present = self._splits()
        held_out = split not in present or (split == "train" and "validation" not in present)
        train = present.get("train", self.path)
        source = present.get(split, train)
        classes = folders_of(train)
        if len(classes) < 2:
            raise DataError(f"expected {self.path} to have at least 2 classes, got {len(classes)}; {LAYOUTS}")
        if unknown := sorted(set(folders_of(source)) - set(classes)):
            raise DataError(f"expected {source} to have the classes of train, got also '{unknown[0]}'")
        classes = in_order(str(self.path), classes, self.classes)
        files, note = image_files(source, [name for name in classes if (source / name).is_dir()])
        found = [
            (path_id(self.path, file), classes.index(label), file)
            for label, images in files.items()
            for file in images
        ]
        if held_out:
            found = [image for image in found if _split_of(image[0], with_test=not present) == split]
        found.sort()
        if found and split == "train":
            check_train(f"'{self.name}'", [y for _, y, _ in found], classes)
        x = stack_files([file for _, _, file in found], self.decoding, self.path.absolute(), split)
        ids = torch.tensor([image[0] for image in found], dtype=torch.int64)
        y = torch.tensor([image[1] for image in found], dtype=torch.int64)
        return ImageSet.of(self.name, split, x, y, ids, len(classes), tuple(classes), note)

    def fetch(self, root: Path) -> Path:
        if not self.path.is_dir():
            raise DataError(f"no folder {self.path}; {LAYOUTS}")
        return self.path

    def _splits(self) -> dict[str, Path]:
        """Find the folders of splits; none where PATH's folders are classes.

        A folder of images without one of classes is a class that happens to be called so.
        """
        folders = folders_of(self.path)
        splits = {
            name: split for name in folders if (split := split_named(name)) and folders_of(self.path / name)
        }
        if not splits:
            self._check_classes(folders)
            return {}
        if others := [name for name in folders if name not in splits]:
            raise DataError(
                f"expected the folders of {self.path} to be splits (train, validation, test) with a folder "
                f"per class, got also '{others[0]}': rename it, move it or hide it (.{others[0]})"
            )
        if twice := [split for split, times in Counter(splits.values()).items() if times > 1]:
            names = " and ".join(f"'{name}'" for name in splits if splits[name] == twice[0])
            raise DataError(f"expected {self.path} to have one folder of {twice[0]} images, got {names}")
        if not {"train", "test"} <= set(splits.values()):
            raise DataError(
                f"expected {self.path} to have both train and test, got only {' and '.join(splits)}; "
                f"{LAYOUTS}"
            )
        return {split: self.path / name for name, split in splits.items()}

    def _check_classes(self, folders: list[str]) -> None:
        """See that folders which are taken for classes are not splits after all."""
        if folders and all(map(split_named, folders)):
            raise DataError(
                f"expected {self.path / folders[0]} to have a folder per class, got images alone; {LAYOUTS}"
            )
        seen: dict[tuple[str, ...], str] = {}
        for name in folders:
            inner = tuple(folders_of(self.path / name))
            if len(inner) > 1 and inner in seen:
                raise DataError(
                    f"expected the folders of {self.path} to be splits (train, validation, test) or classes, "
                    f"got '{seen[inner]}' and '{name}' with the same folders '{inner[0]}', '{inner[1]}'; "
                    f"{LAYOUTS}"
                )
            seen[inner] = name


def _split_of(image_id: int, with_test: bool) -> str:
    """Tell the split of an image from its id, a uniform number."""
    share = image_id / 2**63
    if share < VALIDATION_SHARE:
        return "validation"
    return "test" if with_test and share < VALIDATION_SHARE + TEST_SHARE else "train"
