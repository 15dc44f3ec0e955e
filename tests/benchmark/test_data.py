"""Data sets: fixed splits that share no image, exact pixels, and one clear line for whatever is missing or damaged."""

import gzip
import hashlib
import io
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import platformdirs
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torchvision.datasets
from PIL import Image
from sklearn.datasets import load_digits

from gmbench.benchmark import data_parquet, data_standard
from gmbench.benchmark.data import DATASETS, SPLITS, DataError, ImageSet, data_root, fetch_data, load_data
from gmbench.models.registry import UnknownName

IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def splits(name: str, root: Path | None = None) -> dict[str, ImageSet]:
    return {split: load_data(name, split, root) for split in SPLITS}


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_parquet(file: Path, images: list[np.ndarray], labels: list[int], column: str = "img") -> None:
    cells = [{"bytes": png(image), "path": None} for image in images]
    table = pa.table(
        {column: pa.array(cells, pa.struct({"bytes": pa.binary(), "path": pa.string()})), "label": pa.array(labels, pa.int64())}
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file, row_group_size=7)


def random_images(n: int, shape: tuple[int, ...] = (6, 5, 3), seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8))


def write_image(file: Path, value: int, size: tuple[int, int] = (4, 4)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(file)


# Names and places


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


def test_data_root_prefers_option_then_environment_then_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GMBENCH_DATA", str(tmp_path / "environment"))
    assert data_root(tmp_path / "option") == tmp_path / "option"
    assert data_root() == tmp_path / "environment"
    monkeypatch.setenv("GMBENCH_DATA", "")
    assert data_root() == platformdirs.user_cache_path("gmbench") / "data"


# One split


def test_checksum_is_of_the_pixels_and_labels() -> None:
    x = torch.arange(24, dtype=torch.uint8).view(2, 1, 3, 4)
    y, ids = torch.tensor([1, 0]), torch.tensor([7, 9])
    build = partial(ImageSet.of, "own", "test", ids=ids, classes=2)
    expected = hashlib.sha256(bytes(range(24)) + (1).to_bytes(8, "little") + (0).to_bytes(8, "little")).hexdigest()
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
    assert head.checksum == hashlib.sha256(data.x[:10].numpy().tobytes() + data.y[:10].numpy().tobytes()).hexdigest() != data.checksum
    assert data.head(10_000) is data
    with pytest.raises(ValueError, match="expected the number of samples to be at least 1, got 0"):
        data.head(0)


# digits


def test_digits_split_every_image_once() -> None:
    data = splits("digits")
    assert {split: len(part) for split, part in data.items()} == {"train": 1047, "validation": 250, "test": 500}
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
    assert {split: len(part) for split, part in data.items()} == {"train": 55_000, "validation": 5_000, "test": 10_000}
    assert torch.equal(torch.cat([data["train"].ids, data["validation"].ids]).sort().values, torch.arange(60_000))
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
        f"MNIST not found under {tmp_path / 'nowhere'}: no train-images-idx3-ubyte; fetch it with: gmbench data mnist"
    )
    assert not (tmp_path / "nowhere").exists()


def test_damaged_mnist_names_the_file_and_the_command(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "t10k-images-idx3-ubyte").write_bytes(b"\0" * 7_840_016)
    with pytest.raises(
        DataError, match=r"t10k-images-idx3-ubyte to have md5 2646ac\w+, got \w{32}; fetch it again with: gmbench data mnist"
    ):
        load_data("mnist", "test", tmp_path)


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """A mirror of small stand-ins for MNIST's files on this machine, with their hashes; yields the files it expects to be unpacked."""
    served = tmp_path / "served"
    served.mkdir()
    files = {name: name.encode() * 10 for name in IDX_FILES}
    resources = []
    for name, content in files.items():
        archive = gzip.compress(content)
        (served / f"{name}.gz").write_bytes(archive)
        resources.append((f"{name}.gz", hashlib.md5(archive).hexdigest()))
        monkeypatch.setitem(data_standard.MD5, name, hashlib.md5(content).hexdigest())

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(served)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    here = f"http://127.0.0.1:{server.server_port}/"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [f"{here}gone/", here])
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)
    yield files
    server.shutdown()
    thread.join()
    server.server_close()


def test_fetch_downloads_what_is_missing_and_replaces_what_is_damaged(mirror: dict[str, bytes], tmp_path: Path) -> None:
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


# Parquet


def test_parquet_holds_validation_out_of_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_parquet, "BATCH", 8)  # several per file
    images = random_images(50)
    for shard, (start, stop) in enumerate([(0, 11), (11, 29), (29, 40)]):
        write_parquet(tmp_path / f"train-0000{shard}-of-00003.parquet", images[start:stop], [i % 3 for i in range(start, stop)])
    write_parquet(tmp_path / "test-00000-of-00001.parquet", images[40:], [0] * 10)
    data = splits(f"parquet:{tmp_path}")
    assert {split: len(part) for split, part in data.items()} == {"train": 36, "validation": 4, "test": 10}
    assert sorted(torch.cat([data["train"].ids, data["validation"].ids]).tolist()) == list(range(40))
    assert data["test"].ids.tolist() == list(range(10))
    for split, part in data.items():
        source = images[40:] if split == "test" else images
        assert part.classes == 3
        assert all(np.array_equal(x.permute(1, 2, 0), source[i]) for x, i in zip(part.x, part.ids, strict=True))
        assert split == "test" or part.y.tolist() == (part.ids % 3).tolist()
    again = splits(f"parquet:{tmp_path}")
    assert {split: part.checksum for split, part in again.items()} == {split: part.checksum for split, part in data.items()}


def test_parquet_uses_its_own_validation(tmp_path: Path) -> None:
    images = random_images(30, (4, 4))
    for start, split in zip((0, 10, 20), SPLITS, strict=True):
        write_parquet(tmp_path / f"{split}-00000-of-00001.parquet", images[start : start + 10], [0, 1] * 5, column="image")
    for start, part in zip((0, 10, 20), splits(f"parquet:{tmp_path}").values(), strict=True):
        assert part.x.shape == (10, 1, 4, 4)
        assert np.array_equal(part.x.squeeze(1), np.stack(images[start : start + 10]))


def test_cifar10_jpeg_lies_in_its_folder_below_the_root(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_parquet(tmp_path / "cifar10-jpeg" / f"{split}-00000-of-00001.parquet", random_images(20), list(range(10)) * 2)
    assert len(load_data("cifar10-jpeg", "train", tmp_path)) == 18
    assert load_data("cifar10-jpeg", "test", tmp_path).name == "cifar10-jpeg"
    assert fetch_data("cifar10-jpeg", tmp_path) == tmp_path / "cifar10-jpeg"


@pytest.mark.parametrize("ask", [partial(load_data, "cifar10-jpeg", "test"), partial(fetch_data, "cifar10-jpeg")])
def test_missing_parquet_says_where_to_place_it(ask: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"^cifar10-jpeg not found: no train-\*.parquet in .*cifar10-jpeg; .*place .* there .*GMBENCH_DATA$"
    ):
        ask(tmp_path)


def spoil_truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def spoil_shard(file: Path) -> None:
    file.rename(file.with_name("train-00000-of-00002.parquet"))


def spoil_column(file: Path) -> None:
    pq.write_table(pq.read_table(file).rename_columns(["picture", "label"]), file)


def spoil_no_label(file: Path) -> None:
    pq.write_table(pq.read_table(file).select(["img"]), file)


def spoil_label(file: Path) -> None:
    write_parquet(file, random_images(10), [-1] * 10)


def spoil_no_bytes(file: Path) -> None:
    cells = pa.array([{"bytes": None, "path": "0.png"}] * 10, pa.struct({"bytes": pa.binary(), "path": pa.string()}))
    pq.write_table(pa.table({"img": cells, "label": list(range(10))}), file)


def spoil_size(file: Path) -> None:
    write_parquet(file, [*random_images(9), *random_images(1, (5, 5, 3))], list(range(10)))


def spoil_depth(file: Path) -> None:
    write_parquet(file, [np.full((4, 4), 40_000, np.uint16)] * 10, list(range(10)))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_truncated, r"cannot read .*train-00000-of-00001.parquet: .*; place an undamaged copy there"),
        (spoil_shard, r"to have 2 files train-\*.parquet as their names say, got 1"),
        (spoil_column, r"to have a column img or image \{bytes, path\}, got columns picture, label"),
        (spoil_no_label, "to have a column 'label', got columns img"),
        (spoil_label, "the column 'label' of .* to hold integers from 0 on"),
        (spoil_no_bytes, "to hold the images' bytes, got none in row"),
        (spoil_size, r"expected all images to be 3x6x5 like row 0 of .*, got 3x5x5: row 9 of .*train-00000-of-00001.parquet"),
        (spoil_depth, "expected images to have 8 bits per channel, got mode 'I;16': row"),
    ],
)
def test_bad_parquet(spoil: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    write_parquet(tmp_path / "test-00000-of-00001.parquet", random_images(10), list(range(10)))
    write_parquet(tmp_path / "validation-00000-of-00001.parquet", random_images(10), list(range(10)))
    file = tmp_path / "train-00000-of-00001.parquet"
    write_parquet(file, random_images(10), list(range(10)))
    spoil(file)
    with pytest.raises(DataError, match=message):
        load_data(f"parquet:{tmp_path}", "train")


# Folders


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
