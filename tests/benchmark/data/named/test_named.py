"""The named sets on small files in their true formats, beside torchvision's own loaders of the same files."""

import gzip
import hashlib
import io
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
import torchvision.datasets as tv
from PIL import Image
from torchvision import transforms

from gmbench.benchmark.data.datasets import DATASETS, DataError, ImageSet, fetch_data, load_data
from gmbench.benchmark.data.named import cifar, idx, imagenet, official, svhn

from ..made_data import random_images, served, splits

TRAIN, TEST, HELD_OUT = 40, 20, 8

Made = Callable[[Path], object]


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def labels_of(n: int, classes: int) -> np.ndarray:
    return np.random.default_rng(n).permutation(np.arange(n) % classes).astype(np.uint8)


def write(path: Path, content: bytes) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return content


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(official, "HELD_OUT", HELD_OUT)


def as_named(monkeypatch: pytest.MonkeyPatch, name: str, source: object) -> None:
    list(DATASETS)
    monkeypatch.setitem(DATASETS._factories, name, lambda: source)


def assert_is(data: dict[str, ImageSet], train: tuple, test: tuple, class_names: tuple[str, ...]) -> None:
    """See that the splits are all of another loader's images and classes, (N, C, H, W) and (N,)."""
    assert {split: len(part) for split, part in data.items()} == {
        "train": TRAIN - HELD_OUT,
        "validation": HELD_OUT,
        "test": TEST,
    }
    for split, part in data.items():
        x, y = test if split == "test" else train
        assert torch.equal(part.x, torch.as_tensor(x)[part.ids])
        assert part.y.tolist() == torch.as_tensor(y)[part.ids].tolist()
        assert part.class_names == class_names
        assert part.classes == len(class_names)
    ids = torch.cat([data["train"].ids, data["validation"].ids])
    assert ids.sort().values.tolist() == list(range(TRAIN))
    assert data["test"].ids.tolist() == list(range(TEST))


# What torchvision lists


def test_hashes_are_those_that_torchvision_lists() -> None:
    for source, theirs in ((idx.fashion_mnist(), tv.FashionMNIST), (idx.kmnist(), tv.KMNIST)):
        assert dict(theirs.resources) == source.md5
        assert source.class_names == tuple(theirs.classes)
        assert theirs.__name__ == source.folder
    assert tv.EMNIST.md5 == idx.EmnistLetters.ARCHIVE.md5
    for source, theirs in ((cifar.cifar10(), tv.CIFAR10), (cifar.cifar100(), tv.CIFAR100)):
        assert list(source.train.items()) == [tuple(file) for file in theirs.train_list]
        assert list(source.test.items()) == [tuple(file) for file in theirs.test_list]
        assert source.meta == {theirs.meta["filename"]: theirs.meta["md5"]}
        assert source.names == theirs.meta["key"]
        assert source.archive == (theirs.filename, theirs.tgz_md5)
        assert (theirs.__name__, theirs.base_folder) == (source.torchvision, source.folder)
    assert {part: listed[2] for part, listed in tv.SVHN.split_list.items() if part != "extra"} == svhn.MD5


# MNIST's kin


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def idx_files(prefixes: tuple[str, str], classes: int, first: int = 0) -> dict[str, bytes]:
    files = {}
    for prefix, n in zip(prefixes, (TRAIN, TEST), strict=True):
        files[f"{prefix}-images-idx3-ubyte"] = idx_bytes(np.stack(random_images(n, (28, 28), n)))
        files[f"{prefix}-labels-idx1-ubyte"] = idx_bytes(labels_of(n, classes) + np.uint8(first))
    return files


@pytest.mark.parametrize("name", ["fashion-mnist", "kmnist"])
def test_kin_of_mnist(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = DATASETS[name]()
    raw = tmp_path / "root" / source.folder / "raw"
    packed = {
        f"{file}.gz": gzip.compress(content) for file, content in idx_files(("train", "t10k"), 10).items()
    }
    for file, content in packed.items():
        write(tmp_path / "served" / file, content)
    as_named(monkeypatch, name, replace(source, md5={file: md5(content) for file, content in packed.items()}))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with served(tmp_path / "served") as here:
        monkeypatch.setattr(getattr(tv, source.folder), "mirrors", [f"{here}gone/", here])
        assert fetch_data(name, tmp_path / "root") == raw
    fetch_data(name, tmp_path / "root")  # nothing is asked for again: the server is gone
    for file, content in packed.items():
        write(raw / file.removesuffix(".gz"), gzip.decompress(content))
    train, test = (getattr(tv, source.folder)(tmp_path / "root", train=train) for train in (True, False))
    data = splits(name, tmp_path / "root")
    assert_is(data, *((part.data.unsqueeze(1), part.targets) for part in (train, test)), source.class_names)


def test_emnist_letters_are_upright(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = tmp_path / "EMNIST" / "raw"
    raw.mkdir(parents=True)
    with zipfile.ZipFile(raw / "gzip.zip", "w") as archive:
        for file, content in idx_files(("emnist-letters-train", "emnist-letters-test"), 26, first=1).items():
            archive.writestr(f"gzip/{file}.gz", gzip.compress(content))
            write(raw / file, content)
    sound = replace(idx.EmnistLetters.ARCHIVE, md5=md5((raw / "gzip.zip").read_bytes()))
    monkeypatch.setattr(idx.EmnistLetters, "ARCHIVE", sound)
    theirs = [tv.EMNIST(tmp_path, split="letters", train=train) for train in (True, False)]
    parts = ((part.data.transpose(1, 2).unsqueeze(1), part.targets - 1) for part in theirs)
    assert_is(splits("emnist-letters", tmp_path), *parts, tuple(theirs[0].classes[1:]))


# CIFAR


def cifar_files(source: cifar.Cifar, classes: int) -> dict[str, bytes]:
    """Make batches as the makers did, {file: content}."""
    files = {}
    for listed, n in ((source.train, TRAIN), (source.test, TEST)):
        x, y = np.stack(random_images(n, (3072,), n)), labels_of(n, classes).tolist()
        each = n // len(listed)
        for i, file in enumerate(listed):
            rows = slice(i * each, (i + 1) * each)
            batch = {"data": x[rows], source.labels: y[rows], "filenames": ["a.png"] * each}
            files[file] = pickle.dumps(batch, protocol=2)
    [meta] = source.meta
    files[meta] = pickle.dumps({source.names: [f"kind {i}" for i in range(classes)]}, protocol=2)
    return files


@pytest.mark.parametrize(("name", "classes"), [("cifar10", 10), ("cifar100", 20)])
def test_cifar(name: str, classes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = DATASETS[name]()
    files = cifar_files(source, classes)
    archive = tmp_path / "served" / source.archive[0]
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        for file, content in {**files, "../escaped": b"no"}.items():
            member = tarfile.TarInfo(f"{source.folder}/{file}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))

    def hashed(listed: dict[str, str]) -> dict[str, str]:
        return {file: md5(files[file]) for file in listed}

    train, test, meta = (hashed(listed) for listed in (source.train, source.test, source.meta))
    made = replace(
        source,
        archive=(source.archive[0], md5(archive.read_bytes())),
        train=train,
        test=test,
        meta=meta,
    )
    as_named(monkeypatch, name, made)
    theirs, root = getattr(tv, source.torchvision), tmp_path / "root"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with served(archive.parent) as here:
        monkeypatch.setattr(theirs, "url", f"{here}{archive.name}")
        assert fetch_data(name, root) == root / source.folder
    assert {file.name for file in (root / source.folder).iterdir()} == set(files)
    fetch_data(name, root)
    monkeypatch.setattr(theirs, "train_list", list(train.items()))
    monkeypatch.setattr(theirs, "test_list", list(test.items()))
    monkeypatch.setattr(theirs, "meta", {**theirs.meta, "md5": next(iter(meta.values()))})
    parts = [theirs(root, train=train) for train in (True, False)]
    pairs = ((part.data.transpose(0, 3, 1, 2), part.targets) for part in parts)
    assert_is(splits(name, root), *pairs, tuple(parts[0].classes))


def test_pickles_of_python_2_and_of_old_numpys_are_read() -> None:
    x = np.arange(6, dtype=np.uint8).reshape(2, 3)
    new = pickle.dumps({"data": x}, protocol=2)
    old = new.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    # Python 2 wrote the bytes themselves where Python 3 calls an encoder
    two = b"\x80\x02}U\x04dataU\x03\x00\xfe\x01s."
    assert np.array_equal(cifar.PlainUnpickler(new).load()["data"], x)
    assert np.array_equal(cifar.PlainUnpickler(old).load()["data"], x)
    assert cifar.PlainUnpickler(two).load() == {"data": "\x00\xfe\x01"}


class Harm:
    def __init__(self, call: Callable[..., object], *arguments: object) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[object, ...]:
        return self.call, self.arguments


@pytest.mark.parametrize(
    ("harm", "called"),
    [
        (Harm(os.system, "touch harmed"), "system"),
        (Harm(eval, "1 + 1"), "eval"),
        (Harm(getattr, np.ndarray, "tofile"), "getattr"),
        (Harm(np.load, "file"), "load"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_calls_anything_is_refused(harm: Harm, called: str, protocol: int) -> None:
    content = pickle.dumps({"data": harm}, protocol=protocol)
    with pytest.raises(DataError, match=r"of arrays and plain containers, got one that calls \w+\." + called):
        cifar.PlainUnpickler(content).load()


def test_nothing_is_unpickled_before_it_is_verified(tmp_path: Path) -> None:
    write(tmp_path / "cifar-10-batches-py" / "test_batch", pickle.dumps(Harm(os.system, "false")))
    with pytest.raises(
        DataError, match=r"test_batch to have md5 40351d\w+, got .*; fetch it again with: gmbench"
    ):
        load_data("cifar10", "test", tmp_path)


# SVHN


def test_svhn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = {}
    for part, n in (("train", TRAIN), ("test", TEST)):
        y = labels_of(n, 10)
        y[y == 0] = 10
        images = np.stack(random_images(n, (32, 32, 3), n), axis=-1)
        file = tmp_path / f"{part}_32x32.mat"
        scipy.io.savemat(file, {"X": images, "y": y[:, np.newaxis]}, do_compression=True)
        listed[part] = md5(file.read_bytes())
    monkeypatch.setattr(svhn, "MD5", listed)
    known = {part: [*tv.SVHN.split_list[part][:2], listed[part]] for part in listed}
    monkeypatch.setattr(tv.SVHN, "split_list", known)
    theirs = [tv.SVHN(tmp_path, split=part) for part in ("train", "test")]
    assert 0 in theirs[0].labels
    assert 10 not in theirs[0].labels
    pairs = ((part.data, part.labels) for part in theirs)
    assert_is(splits("svhn", tmp_path), *pairs, tuple("0123456789"))


# What cannot be had


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("fashion-mnist", "FashionMNIST/raw/train-images-idx3-ubyte.gz"),
        ("kmnist", "KMNIST/raw/train-images-idx3-ubyte.gz"),
        ("emnist-letters", "EMNIST/raw/gzip.zip"),
        ("cifar10", "cifar-10-batches-py/data_batch_1"),
        ("cifar100", "cifar-100-python/train"),
        ("svhn", "train_32x32.mat"),
    ],
)
def test_a_missing_set_names_its_command(name: str, file: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_data(name, "train", tmp_path)
    assert str(caught.value).endswith(
        f"not found under {tmp_path}: no {file}; fetch it with: gmbench data {name}"
    )


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """An address that has nothing, in the place of all of torchvision's."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with served(tmp_path) as here:
        for theirs in (tv.FashionMNIST, tv.KMNIST):
            monkeypatch.setattr(theirs, "mirrors", [here])
        for theirs in (tv.CIFAR10, tv.CIFAR100, tv.EMNIST):
            monkeypatch.setattr(theirs, "url", f"{here}gone")
        monkeypatch.setattr(
            tv.SVHN, "split_list", {part: [f"{here}gone", "", ""] for part in ("train", "test")}
        )
        yield here


@pytest.mark.parametrize("name", ["fashion-mnist", "kmnist", "emnist-letters", "cifar10", "cifar100", "svhn"])
def test_a_set_that_cannot_be_downloaded_is_one_line(name: str, nowhere: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        fetch_data(name, tmp_path / "root")
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith("cannot fetch ")
    assert nowhere in said
    assert "404" in said
    assert "; by hand: place " in said
    assert said.endswith("there; another place: --data-root or GMBENCH_DATA")


# ImageNet


@pytest.fixture
def few_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """ImageNet of three classes, with images of every size and a grey one."""
    for name, value in {"CLASSES": 3, "VALIDATION_IMAGES": 12, "HELD_OUT": 4, "PER_CLASS": 2}.items():
        monkeypatch.setattr(imagenet, name, value)
    for part, each in (("train", 5), ("val", 4)):
        for k, wnid in enumerate(("n03", "n01", "n02")):
            for i in range(each):
                file = tmp_path / "imagenet" / part / wnid / f"{wnid}_{i}.JPEG"
                file.parent.mkdir(parents=True, exist_ok=True)
                shape = (30 + 7 * i, 44 - 5 * i, 3) if i else (40, 41)
                Image.fromarray(random_images(1, shape, seed=10 * k + i)[0]).save(file, "JPEG")
    return tmp_path


def test_imagenet_is_cut_as_torchvision_does(few_classes: Path) -> None:
    as_usual = transforms.Compose(
        [transforms.Resize(26), transforms.CenterCrop(24), transforms.PILToTensor()]
    )
    data = splits("imagenet?resize=26&crop=24", few_classes)
    assert {split: len(part) for split, part in data.items()} == {"train": 6, "validation": 4, "test": 8}
    assert torch.cat([part.ids for part in data.values()]).unique().numel() == 18
    assert data["train"].y.sort().values.tolist() == [0, 0, 1, 1, 2, 2]
    for split, part in data.items():
        folder = few_classes / "imagenet" / ("train" if split == "train" else "val")
        theirs = tv.ImageFolder(folder, as_usual)
        assert part.class_names == tuple(theirs.classes) == ("n01", "n02", "n03")
        pairs = {x.numpy().tobytes(): y for x, y in theirs}
        assert [pairs[x.numpy().tobytes()] for x in part.x] == part.y.tolist()
    assert imagenet.ImageNet().decoding == imagenet.Decoding("RGB", 256, 224)


def test_imagenet_is_whole_or_refused(few_classes: Path, tmp_path: Path) -> None:
    folder = few_classes / "imagenet"
    with pytest.raises(
        DataError, match=r"to have 3 folders of images, one per WordNet id, got 0; ImageNet cannot"
    ):
        fetch_data("imagenet", tmp_path / "elsewhere")
    next((folder / "val" / "n01").iterdir()).unlink()
    with pytest.raises(DataError, match=r"val to have 12 images, got 11"):
        load_data("imagenet", "test", few_classes)
    (folder / "val" / "n01").rename(folder / "val" / "n04")
    with pytest.raises(DataError, match=r"to have the same WordNet ids in train and val"):
        load_data("imagenet", "test", few_classes)
    (folder / "val" / "n04").rename(folder / "n04")
    with pytest.raises(DataError, match=r"val to have 3 folders of images, one per WordNet id, got 2"):
        load_data("imagenet", "test", few_classes)
