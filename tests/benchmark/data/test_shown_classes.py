"""Numbers and names of classes, and some images of each."""

import torch

from gmbench.benchmark.data.image_set import ImageSet
from gmbench.benchmark.data.shown_classes import few_of_each, numbered


def made(names: tuple[str, ...] = ()) -> ImageSet:
    y = torch.tensor([1, 0, 1, 1, 3])
    x = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1)
    return ImageSet.of("made", "train", x, y, torch.arange(5), 4, names)


def test_classes_are_numbered() -> None:
    assert numbered(made()) == ["0", "1", "2", "3"]
    assert numbered(made(("0", "2", "cat", "3"))) == ["0", "1 2", "2 cat", "3"]


def test_the_first_images_of_each_class() -> None:
    taken = few_of_each(made(("a", "b", "c", "d")), count=2, most=4)
    assert [(name, images.ravel().tolist()) for name, images in taken] == [
        ("0 a", [1]),
        ("1 b", [0, 2]),
        ("2 c", []),
        ("3 d", [4]),
    ]
    assert len(few_of_each(made(), count=2, most=3)) == 3


def test_names_are_no_part_of_the_checksum() -> None:
    assert made().checksum == made(("a", "b", "c", "d")).checksum
    assert made(("a", "b", "c", "d")).head(2).class_names == ("a", "b", "c", "d")
