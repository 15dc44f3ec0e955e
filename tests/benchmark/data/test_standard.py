"""Digits and MNIST: fixed splits that share no image, exact pixels.

And one clear line for what is missing or damaged.
"""

import gzip
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torchvision.datasets
from sklearn.datasets import load_digits

from gmbench.benchmark.data import standard as data_standard
from gmbench.benchmark.data.datasets import DataError, fetch_data, load_data

from .made_data import served, splits

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


# digits


def test_digits_split_every_image_once() -> None:
    data = splits("digits")
    assert {split: len(part) for split, part in data.items()} == {
        "train": 1047,
        "validation": 250,
        "test": 500,
    }
    assert sorted(torch.cat([part.ids for part in data.values()]).tolist()) == list(range(1797))


def test_digits_pixels_and_labels_are_those_of_scikit_learn() -> None:
    source = load_digits()
    for part in splits("digits").values():
        expected = [[round(value * 255 / 16) for value in source.data[i]] for i in part.ids.tolist()]
        assert part.x.shape == (len(part), 1, 8, 8)
        assert part.x.flatten(1).tolist() == expected
        assert part.y.tolist() == source.target[part.ids.numpy()].tolist()


def test_digits_never_change() -> None:
    """The splits are part of every published number: a checksum that moves here is a changed benchmark."""
    assert {split: part.checksum[:16] for split, part in splits("digits").items()} == {
        "train": "8967a25d03b86223",
        "validation": "d95e157b2e634d6f",
        "test": "57668abe24e0a6b8",
    }


def test_digits_need_no_folder(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    fetch_data("digits", missing)
    assert len(load_data("digits", "test", missing)) == 500
    assert not missing.exists()


# MNIST


def test_mnist_splits_match_torchvision(mnist_root: Path) -> None:
    data = splits("mnist", mnist_root)
    assert {split: len(part) for split, part in data.items()} == {
        "train": 55_000,
        "validation": 5_000,
        "test": 10_000,
    }
    assert torch.equal(
        torch.cat([data["train"].ids, data["validation"].ids]).sort().values, torch.arange(60_000)
    )
    assert torch.equal(data["test"].ids, torch.arange(10_000))
    for split, part in data.items():
        source = torchvision.datasets.MNIST(mnist_root, train=split != "test")
        assert torch.equal(part.x, source.data[part.ids].unsqueeze(1))
        assert torch.equal(part.y, source.targets[part.ids])


def test_mnist_validation_never_changes(mnist_root: Path) -> None:
    data = load_data("mnist", "validation", mnist_root)
    assert data.checksum.startswith("c5b229c6d204c975")
    assert fetch_data("mnist", mnist_root) == mnist_root / "MNIST" / "raw"


def test_missing_mnist_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_data("mnist", "train", tmp_path / "nowhere")
    assert str(caught.value) == (
        f"MNIST not found under {tmp_path / 'nowhere'}: no MNIST/raw/train-images-idx3-ubyte; fetch it "
        "with: gmbench data mnist"
    )
    assert not (tmp_path / "nowhere").exists()


def test_damaged_mnist_names_the_file_and_the_command(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "t10k-images-idx3-ubyte").write_bytes(b"\0" * 7_840_016)
    with pytest.raises(
        DataError,
        match=r"t10k-images-idx3-ubyte to have md5 2646ac\w+, got \w{32}; "
        r"fetch it again with: gmbench data mnist",
    ):
        load_data("mnist", "test", tmp_path)


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """A mirror of small stand-ins for MNIST's files on this machine, with their hashes.

    Yields the files it expects to be unpacked.
    """
    place = tmp_path / "served"
    place.mkdir()
    files = {name: name.encode() * 10 for name in IDX_FILES}
    resources = []
    for name, content in files.items():
        archive = gzip.compress(content)
        (place / f"{name}.gz").write_bytes(archive)
        resources.append((f"{name}.gz", hashlib.md5(archive).hexdigest()))
        monkeypatch.setitem(data_standard.MD5, name, hashlib.md5(content).hexdigest())

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with served(place) as here:
        monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [f"{here}gone/", here])
        monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)
        yield files


def test_fetch_downloads_what_is_missing_and_replaces_what_is_damaged(
    mirror: dict[str, bytes], tmp_path: Path
) -> None:
    raw = tmp_path / "root" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    damaged, whole = IDX_FILES[0], IDX_FILES[1]
    (raw / damaged).write_bytes(b"half a file")
    (raw / whole).write_bytes(mirror[whole])
    before = (raw / whole).stat().st_mtime_ns
    assert fetch_data("mnist", tmp_path / "root") == raw
    assert {file.name: file.read_bytes() for file in raw.iterdir()} == mirror
    assert (raw / whole).stat().st_mtime_ns == before


@pytest.mark.usefixtures("mirror")
def test_fetch_says_why_it_failed_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", torchvision.datasets.MNIST.mirrors[:1])
    with pytest.raises(DataError, match=r"^cannot fetch MNIST into .*404.*--data-root or GMBENCH_DATA$"):
        fetch_data("mnist", tmp_path / "root")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"^cannot fetch MNIST into .*--data-root or GMBENCH_DATA$"):
        fetch_data("mnist", tmp_path / "file")
