"""Folders of images: splits by folder or drawn, ids that are those of no place.

And one clear line for what is wrong.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image

from gmbench.benchmark.data.datasets import SPLITS, DataError, fetch_data, load_data

from .made_data import random_images, splits


def write_image(file: Path, value: int, size: tuple[int, int] = (4, 4)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(file)


def test_folder_with_splits(tmp_path: Path) -> None:
    for split, value in zip(SPLITS, (10, 20, 30), strict=True):
        for i, label in enumerate(("cat", "dog")):
            write_image(tmp_path / split / label / "a.png", value + i)
            write_image(tmp_path / split / label / "deeper" / "b.PNG", value + i)
    (tmp_path / "train" / "cat" / "notes.txt").write_text("no image")
    for value, part in zip((10, 20, 30), splits(f"folder:{tmp_path}").values(), strict=True):
        assert part.x.shape == (4, 1, 4, 4)
        assert part.classes == 2
        assert sorted(part.y.tolist()) == [0, 0, 1, 1]
        assert part.x[:, 0, 0, 0].tolist() == (part.y + value).tolist()


@pytest.mark.parametrize("below", ["", "train/"])
def test_folder_without_validation_or_splits(tmp_path: Path, below: str) -> None:
    for i in range(200):
        write_image(tmp_path / f"{below}{'odd' if i % 2 else 'even'}" / f"{i}.png", i)
    if below:
        for label in ("even", "odd"):
            write_image(tmp_path / "test" / label / "0.png", 255)
    data = splits(f"folder:{tmp_path}")
    if below:
        assert len(data.pop("test")) == 2
    found = {split: set(part.x[:, 0, 0, 0].tolist()) for split, part in data.items()}
    assert sum(map(len, found.values())) == len(set().union(*found.values())) == 200
    assert 10 <= len(found["validation"]) <= 30
    assert below or 25 <= len(found["test"]) <= 55
    for part in data.values():
        assert part.y.tolist() == [value % 2 for value in part.x[:, 0, 0, 0].tolist()]
    ids = torch.cat([part.ids for part in data.values()])
    assert len(ids.unique()) == 200
    assert all(torch.equal(part.ids, part.ids.sort().values) for part in data.values())

    # A new image moves no other one.
    write_image(tmp_path / f"{below}even" / "000.png", 250)
    for split, part in data.items():
        after = load_data(f"folder:{tmp_path}", split)
        assert set(part.ids.tolist()) <= set(after.ids.tolist())


def test_folder_of_another_place_has_the_same_ids(tmp_path: Path) -> None:
    for place in ("one", "two"):
        for i in range(40):
            write_image(tmp_path / place / str(i % 2) / f"{i}.png", i)
    one, two = (load_data(f"folder:{tmp_path / place}", "train") for place in ("one", "two"))
    assert torch.equal(one.ids, two.ids)
    assert one.checksum == two.checksum


def odd_size(path: Path) -> None:
    write_image(path / "train" / "cat" / "odd.png", 0, size=(5, 3))


def damage(path: Path) -> None:
    (path / "train" / "cat" / "odd.png").write_bytes(b"no PNG")


def truncate(path: Path) -> None:
    file = path / "train" / "cat" / "odd.png"
    Image.fromarray(random_images(1, (64, 64))[0]).save(file)
    file.write_bytes(file.read_bytes()[:2_000])


def no_test(path: Path) -> None:
    (path / "test").rename(path / ".test")


def one_class(path: Path) -> None:
    for split in ("train", "test"):
        (path / split / "dog").rename(path / split / ".dog")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (odd_size, r"expected all images to be 1x(4x4|3x5) like .*, got 1x(4x4|3x5): .*"),
        (damage, r"cannot read the image .*odd.png"),
        (truncate, r"cannot read the image .*odd.png"),
        (no_test, "to have both train and test, got only train"),
        (one_class, "to have at least 2 classes, got 1; expected PATH/train/CLASS"),
    ],
)
def test_bad_folder(spoil: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    for split in ("train", "test"):
        for label in ("cat", "dog"):
            for i in range(20):
                write_image(tmp_path / split / label / f"{i}.png", 0)
    spoil(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        load_data(f"folder:{tmp_path}", "train")
    assert ("odd.png" in str(caught.value)) == (tmp_path / "train" / "cat" / "odd.png").exists()


def test_folder_with_a_class_that_train_lacks(tmp_path: Path) -> None:
    for path in ("train/cat", "train/dog", "test/cat", "test/cow"):
        write_image(tmp_path / path / "0.png", 0)
    with pytest.raises(DataError, match="to have the classes of train, got also 'cow'"):
        load_data(f"folder:{tmp_path}", "test")


def test_folder_that_is_too_small_or_missing(tmp_path: Path) -> None:
    write_image(tmp_path / "cat" / "0.png", 0)
    write_image(tmp_path / "dog" / "0.png", 0)
    with pytest.raises(DataError, match=r"expected the validation split of .* to have images, got none"):
        load_data(f"folder:{tmp_path}", "validation")
    for ask in (partial(load_data, split="test"), fetch_data):
        with pytest.raises(DataError, match=r"no folder .*nowhere; expected PATH/train/CLASS"):
            ask(f"folder:{tmp_path / 'nowhere'}")
