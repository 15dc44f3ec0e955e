"""ImageNet (ILSVRC 2012): Russakovsky et al., arXiv 1409.0575; a folder in torchvision's layout.

Models that are fetched from elsewhere have seen all of train, so that a threshold set on it would be too
tight: the validation split is cut out of the official validation images, the others are test. Of train a few
images per class are read, which detectors are fitted on.
"""

from pathlib import Path

import torch

from ..decode import Decoding, stack_files
from ..error import DataError
from ..image_files import image_files, path_id
from ..image_set import ImageSet, shuffled_parts
from ..split_names import folders_of

__all__ = ["ImageNet"]

CLASSES = 1_000
VALIDATION_IMAGES = 50_000
HELD_OUT = 10_000  # of them, the validation split
PER_CLASS = 50  # images of train


class ImageNet:
    """ImageNet, placed by hand in ROOT/imagenet/{train,val}/WNID/*: 50 000 / 10 000 / 40 000.

    Images are resized and cropped as torchvision's evaluation does; classes are in the order of their WordNet
    ids, which is that of the usual models.

    Args:
        resize: Pixels of the shorter side.
        crop: Side of the square cut out of the middle.
    """

    def __init__(self, resize: int = 256, crop: int = 224) -> None:
        self.decoding = Decoding("RGB", resize, crop)

    def load(self, split: str, root: Path) -> ImageSet:
        folder = self.fetch(root)
        source = folder / ("train" if split == "train" else "val")
        classes = folders_of(source)
        found, note = image_files(source, classes)
        if split == "train":
            # by their ids: any few of a class are as good as any others, and the ids mix the classes
            listed = sorted(
                image
                for y, label in enumerate(classes)
                for image in sorted((path_id(folder, file), y, file) for file in found[label])[:PER_CLASS]
            )
        else:
            listed = _part(source, split, [(path_id(folder, file), y, file) for y, file in _flat(found)])
        x = stack_files([file for _, _, file in listed], self.decoding, folder.absolute(), split)
        ids = torch.tensor([number for number, _, _ in listed], dtype=torch.int64)
        y = torch.tensor([y for _, y, _ in listed], dtype=torch.int64)
        return ImageSet.of("imagenet", split, x, y, ids, len(classes), tuple(classes), note)

    def fetch(self, root: Path) -> Path:
        folder = root / "imagenet"
        for part in ("train", "val"):
            if (count := len(folders_of(folder / part))) != CLASSES:
                raise DataError(
                    f"expected {folder / part} to have {CLASSES} folders of images, one per WordNet id, got "
                    f"{count}; ImageNet cannot be downloaded: place it there in torchvision's layout, or set "
                    "--data-root or GMBENCH_DATA"
                )
        if folders_of(folder / "train") != folders_of(folder / "val"):
            raise DataError(f"expected {folder} to have the same WordNet ids in train and val")
        return folder


def _flat(found: dict[str, list[Path]]) -> list[tuple[int, Path]]:
    return [(y, file) for y, files in enumerate(found.values()) for file in sorted(files)]


def _part(source: Path, split: str, listed: list[tuple[int, int, Path]]) -> list[tuple[int, int, Path]]:
    """Cut validation or test out of all official validation images."""
    if len(listed) != VALIDATION_IMAGES:
        raise DataError(f"expected {source} to have {VALIDATION_IMAGES} images, got {len(listed)}")
    validation, test = shuffled_parts(len(listed), HELD_OUT)
    return [listed[row] for row in (validation if split == "validation" else test)]
