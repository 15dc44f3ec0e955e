"""Names of data sets, where they lie, and what one split gives."""

import hashlib
from functools import partial

import pytest
import torch

from gmbench.benchmark.data.datasets import DATASETS, ImageSet, load_data
from gmbench.models.registry import UnknownName


def test_names() -> None:
    assert set(DATASETS) == {"digits", "mnist", "cifar10-jpeg"}


@pytest.mark.parametrize(
    ("name", "split", "error", "message"),
    [
        ("mnits", "test", UnknownName, "no data set named 'mnits'; did you mean 'mnist'?"),
        ("mnist", "tset", ValueError, "no split named 'tset'; did you mean 'test'?"),
        ("foldr:here", "test", ValueError, "no kind of data set named 'foldr'; did you mean 'folder'?"),
        ("folder:", "test", ValueError, "expected 'folder:' to be followed by a path, got 'folder:'"),
    ],
)
def test_wrong_name(name: str, split: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        load_data(name, split)
    assert str(caught.value) == message


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
