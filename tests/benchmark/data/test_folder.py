"""Folders of images: splits by folder or drawn, ids that are those of no place.

And one clear line for what is wrong.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image

from gmbench.benchmark.data.datasets import SPLITS, DataError, fetch_data, load_data, with_options

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


# Names of splits


def write_split(folder: Path, value: int, classes: tuple[str, ...] = ("cat", "dog")) -> None:
    for label in classes:
        for i in range(2):
            write_image(folder / label / f"{i}.png", value)


SPLIT_NAMES = [
    ("train", "val", "test"),
    ("train", "valid", "test"),
    ("train", "dev", "test"),
    ("Train", "Validation", "Test"),
    ("training", "VAL", "testing"),
    ("seg_train", "seg_val", "seg_test"),
    ("training_set", "validation_set", "test_set"),
    ("train2017", "val2017", "test2017"),
]


@pytest.mark.parametrize("names", SPLIT_NAMES, ids="-".join)
def test_splits_are_called_so(names: tuple[str, str, str], tmp_path: Path) -> None:
    for value, name in zip((10, 20, 30), names, strict=True):
        write_split(tmp_path / name, value)
    for value, part in zip((10, 20, 30), splits(f"folder:{tmp_path}").values(), strict=True):
        assert part.x.unique().tolist() == [value]
        assert part.classes == 2
    write_split(tmp_path / "other", 40)
    with pytest.raises(
        DataError, match=r"with a folder per class, got also 'other': rename it, move it or hide"
    ):
        load_data(f"folder:{tmp_path}", "test")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("train", "val", "valid", "test"), "one folder of validation images, got 'val' and 'valid'"),
        (("Train", "train", "test"), "one folder of train images, got 'Train' and 'train'"),
        (("train", "test", "train_small"), "got also 'train_small'"),
        (("train", "val"), "to have both train and test, got only train and val"),
        (("TrainSet", "TestSet"), r"got 'TestSet' and 'TrainSet' with the same folders 'cat', 'dog'"),
        (("fold1", "fold2", "fold3"), r"to be splits .* or classes, got 'fold1' and 'fold2'"),
    ],
)
def test_splits_that_are_not_understood_are_refused(
    names: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    for name in names:
        write_split(tmp_path / name, 0)
    for split in SPLITS:
        with pytest.raises(DataError, match=message):
            load_data(f"folder:{tmp_path}", split)


def test_splits_without_folders_of_classes_are_no_classes(tmp_path: Path) -> None:
    for name in ("Train", "Test"):
        write_image(tmp_path / name / "0.png", 0)
    with pytest.raises(DataError, match="Test to have a folder per class, got images alone"):
        load_data(f"folder:{tmp_path}", "train")
    for name in ("car", "train"):
        for i in range(40):
            write_image(tmp_path / "vehicles" / name / f"{i}.png", 0)
    assert load_data(f"folder:{tmp_path / 'vehicles'}", "train").class_names == ("car", "train")


# What is no class and no image


def test_hidden_folders_are_ignored_at_any_depth(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_split(tmp_path / split, 10)
        for hidden in ("__MACOSX", "__pycache__", ".ipynb_checkpoints", "cat/__MACOSX", "cat/.thumbs/deep"):
            write_image(tmp_path / split / hidden / "no.png", 99)
        write_image(tmp_path / split / "cat" / "._0.png", 99)
        write_image(tmp_path / split / "._0.png", 99)
    write_split(tmp_path / "__MACOSX" / "train", 99)
    write_split(tmp_path / ".cache", 99)
    for split in ("train", "test"):
        part = load_data(f"folder:{tmp_path}", split)
        assert part.class_names == ("cat", "dog")
        assert part.x.unique().tolist() == [10]


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_empty_class_is_refused_by_name(split: str, tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_split(tmp_path / part, 0, ("cat", "cow", "dog"))
    for file in (tmp_path / split / "cow").iterdir():
        file.unlink()
    with pytest.raises(DataError, match=rf"the class 'cow' to have images, got none in .*{split}/cow"):
        load_data(f"folder:{tmp_path}", split)


def test_a_class_of_one_image_is_refused(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_split(tmp_path / part, 0, ("cat", "dog"))
    for file in list((tmp_path / "train" / "dog").iterdir())[1:]:
        file.unlink()
    with pytest.raises(DataError, match=r"train split of .* to have at least 2 images, got 1 of class 'dog'"):
        load_data(f"folder:{tmp_path}", "train")


def test_files_beside_images_are_counted_and_others_refused(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_split(tmp_path / part, 0)
    for name in ("a.txt", "b.TXT", "Thumbs.db", "LICENSE"):
        (tmp_path / "test" / "cat" / name).write_text("")
    assert load_data(f"folder:{tmp_path}", "test").note == (
        "not read, no images: 1 .db, 2 .txt, 1 without suffix"
    )
    assert load_data(f"folder:{tmp_path}", "train").note == ""
    for name in ("a.heic", "b.mp4"):
        (tmp_path / "test" / "cat" / name).write_text("")
    with pytest.raises(
        DataError, match=r"got 2 others, the first cat/a.heic: convert them, move them or hide"
    ):
        load_data(f"folder:{tmp_path}", "test")


def test_images_beside_the_classes_are_refused(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_split(tmp_path / part, 0)
    write_image(tmp_path / "test" / "stray.png", 0)
    with pytest.raises(
        DataError, match=r"in the folders of their classes, got 1 in .*test itself, the first stray"
    ):
        load_data(f"folder:{tmp_path}", "test")


def test_gifs_are_read_and_moving_ones_refused(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for label, value in (("cat", 10), ("dog", 20)):
            for i in range(2):
                Image.new("RGB", (4, 4), (value, 0, 0)).save(folder_of(tmp_path / part / label) / f"{i}.gif")
    part = load_data(f"folder:{tmp_path}", "test")
    assert part.x[:, 0, 0, 0].tolist() == [(10, 20)[y] for y in part.y]
    frames = [Image.new("L", (4, 4), value) for value in (0, 200)]
    frames[0].save(tmp_path / "test" / "cat" / "0.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(
        DataError, match=r"expected an image, got one of several frames or pages: .*cat/0.gif"
    ):
        load_data(f"folder:{tmp_path}", "test")


def folder_of(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


# The order of classes


def test_numbers_are_in_the_order_of_their_values(tmp_path: Path) -> None:
    names = tuple(str(number) for number in range(5, 15))
    for part in ("train", "test"):
        for name in names:
            write_split(tmp_path / part, int(name), (name,))
    part = load_data(f"folder:{tmp_path}", "test")
    assert part.class_names == names
    assert (part.y + 5).tolist() == part.x[:, 0, 0, 0].tolist()


def test_the_order_can_be_given(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_split(tmp_path / part, 0, ("a,b", "cat & dog", "10", "9"))
    order = ("cat & dog", "9", "a,b", "10")
    part = load_data(f"folder:{tmp_path}", "test", classes=list(order))
    usual = load_data(f"folder:{tmp_path}", "test")
    assert part.class_names == order
    assert usual.class_names == ("10", "9", "a,b", "cat & dog")
    assert [part.class_names[y] for y in part.y] == [usual.class_names[y] for y in usual.y]
    assert torch.equal(part.ids, usual.ids)
    assert load_data(with_options(f"folder:{tmp_path}", classes=order), "test").checksum == part.checksum
    for wrong, message in [
        (order[1:], "an order that lacks 'cat & dog'"),
        ((*order, "cow"), "an order that has the unknown 'cow'"),
        ((*order, "9"), "an order that repeats '9'"),
    ]:
        with pytest.raises(DataError, match=message):
            load_data(f"folder:{tmp_path}", "test", classes=wrong)
