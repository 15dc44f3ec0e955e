"""Names of data sets, where they lie, and what one split gives."""

import hashlib
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image

from gmbench.benchmark.data.datasets import DATASETS, ImageSet, beside, load_data, with_options
from gmbench.models.registry import UnknownName


def test_names() -> None:
    assert set(DATASETS) == {
        *("digits", "mnist", "fashion-mnist", "kmnist", "emnist-letters"),
        *("cifar10", "cifar10-jpeg", "cifar100", "svhn", "imagenet"),
    }


@pytest.mark.parametrize(
    ("name", "split", "error", "message"),
    [
        ("mnits", "test", UnknownName, "no data set named 'mnits'; did you mean 'mnist'?"),
        ("mnist", "tset", ValueError, "no split named 'tset'; did you mean 'test'?"),
        ("foldr:here", "test", ValueError, "no kind of data set named 'foldr'; did you mean 'folder'?"),
        ("folder:", "test", ValueError, "expected 'folder:' to be followed by a path, got 'folder:'"),
        (
            "folder:here?mod=L",
            "test",
            ValueError,
            "no option of data set 'folder' named 'mod'; did you mean 'mode'?",
        ),
        ("folder:here?mode=l", "test", ValueError, "no mode named 'l'; did you mean 'L'?"),
        (
            "parquet:here?resize=small",
            "test",
            ValueError,
            "expected option 'resize' of data set 'parquet' to be int | None, got 'small'",
        ),
        ("digits?mode=L", "test", ValueError, "no option of data set 'digits' named 'mode'; known: none"),
    ],
)
def test_wrong_name(name: str, split: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        load_data(name, split)
    assert str(caught.value) == message


# Options in a name


def write_images(folder: Path) -> None:
    for split in ("train", "test"):
        for label in ("cat", "dog, big"):
            (folder / split / label).mkdir(parents=True)
            for i in range(2):
                Image.new("RGB", (4, 6), (i, 0, 0)).save(folder / split / label / f"{i}.png")


def test_options_stand_in_the_name_or_beside_it(tmp_path: Path) -> None:
    write_images(tmp_path)
    name, classes = f"folder:{tmp_path}", ["dog, big", "cat"]
    beside_it = load_data(name, "test", mode="L", classes=classes, resize=2, crop=None)
    assert beside_it.x.shape == (4, 1, 3, 2)
    assert beside_it.class_names == tuple(classes)
    written = with_options(name, mode="L", classes=classes, resize=2, crop=None)
    assert written == f"{name}?mode=L&classes=dog%2C%20big,cat&resize=2"
    assert load_data(written, "test").checksum == beside_it.checksum
    mixed = load_data(f"{name}?mode=L", "test", classes=classes, resize=2)
    assert mixed.checksum == beside_it.checksum


def test_a_path_may_have_question_marks(tmp_path: Path) -> None:
    for path in ("really?", "what?mode"):
        write_images(tmp_path / path)
        assert load_data(f"folder:{tmp_path / path}", "test").x.shape == (4, 3, 6, 4)
        assert load_data(f"folder:{tmp_path / path}?mode=L", "test").x.shape == (4, 1, 6, 4)


def test_a_relative_path_with_options_begins_at_a_folder() -> None:
    assert beside("folder:imgs?mode=L&classes=a,b", Path("/there")) == "folder:/there/imgs?mode=L&classes=a,b"


# One split


def test_checksum_is_of_the_pixels_and_labels() -> None:
    x = torch.arange(24, dtype=torch.uint8).view(2, 1, 3, 4)
    y, ids = torch.tensor([1, 0]), torch.tensor([7, 9])
    build = partial(ImageSet.of, "own", "test", ids=ids, classes=2)
    expected = hashlib.sha256(
        bytes(range(24)) + (1).to_bytes(8, "little") + (0).to_bytes(8, "little")
    ).hexdigest()
    assert build(x=x, y=y).checksum == expected
    assert build(x=x, y=torch.tensor([1, 1])).checksum != expected


def test_images_are_floats_in_the_unit_interval() -> None:
    x = torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1, 1)
    data = ImageSet.of("own", "test", x, torch.zeros(3, dtype=torch.int64), torch.arange(3), 1)
    assert data.images().dtype == torch.float32
    torch.testing.assert_close(data.images().flatten(), torch.tensor([0.0, 0.2, 1.0]), rtol=0, atol=0)
    assert data.images(torch.tensor([2, 0])).flatten().tolist() == [1.0, 0.0]
    assert data.images(slice(1, 2)).shape == (1, 1, 1, 1)
    assert data.x.flatten().tolist() == [0, 51, 255]


def test_head_takes_the_first_samples_and_their_checksum() -> None:
    data = load_data("digits", "test")
    head = data.head(10)
    assert len(head) == 10
    assert torch.equal(head.x, data.x[:10])
    assert torch.equal(head.ids, data.ids[:10])
    assert (
        head.checksum
        == hashlib.sha256(data.x[:10].numpy().tobytes() + data.y[:10].numpy().tobytes()).hexdigest()
        != data.checksum
    )
    assert data.head(10_000) is data
    with pytest.raises(ValueError, match="expected the number of samples to be at least 1, got 0"):
        data.head(0)
