"""Images in Parquet files, as CIFAR-10 comes.

Splits, a place, and one clear line for each way in which a file can be wrong.
"""

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from gmbench.benchmark.data import parquet as data_parquet
from gmbench.benchmark.data.datasets import SPLITS, DataError, fetch_data, load_data

from .made_data import random_images, splits


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_parquet(file: Path, images: list[np.ndarray], labels: list[int], column: str = "img") -> None:
    cells = [{"bytes": png(image), "path": None} for image in images]
    table = pa.table(
        {
            column: pa.array(cells, pa.struct({"bytes": pa.binary(), "path": pa.string()})),
            "label": pa.array(labels, pa.int64()),
        }
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file, row_group_size=7)


def test_parquet_holds_validation_out_of_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_parquet, "BATCH", 8)  # several per file
    images = random_images(50)
    for shard, (start, stop) in enumerate([(0, 11), (11, 29), (29, 40)]):
        write_parquet(
            tmp_path / f"train-0000{shard}-of-00003.parquet",
            images[start:stop],
            [i % 3 for i in range(start, stop)],
        )
    write_parquet(tmp_path / "test-00000-of-00001.parquet", images[40:], [0] * 10)
    data = splits(f"parquet:{tmp_path}")
    assert {split: len(part) for split, part in data.items()} == {"train": 36, "validation": 4, "test": 10}
    assert sorted(torch.cat([data["train"].ids, data["validation"].ids]).tolist()) == list(range(40))
    assert data["test"].ids.tolist() == list(range(10))
    for split, part in data.items():
        source = images[40:] if split == "test" else images
        assert part.classes == 3
        assert all(
            np.array_equal(x.permute(1, 2, 0), source[i]) for x, i in zip(part.x, part.ids, strict=True)
        )
        assert split == "test" or part.y.tolist() == (part.ids % 3).tolist()
    again = splits(f"parquet:{tmp_path}")
    assert {split: part.checksum for split, part in again.items()} == {
        split: part.checksum for split, part in data.items()
    }


def test_parquet_uses_its_own_validation(tmp_path: Path) -> None:
    images = random_images(30, (4, 4))
    for start, split in zip((0, 10, 20), SPLITS, strict=True):
        write_parquet(
            tmp_path / f"{split}-00000-of-00001.parquet",
            images[start : start + 10],
            [0, 1] * 5,
            column="image",
        )
    for start, part in zip((0, 10, 20), splits(f"parquet:{tmp_path}").values(), strict=True):
        assert part.x.shape == (10, 1, 4, 4)
        assert np.array_equal(part.x.squeeze(1), np.stack(images[start : start + 10]))


def test_cifar10_jpeg_lies_in_its_folder_below_the_root(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_parquet(
            tmp_path / "cifar10-jpeg" / f"{split}-00000-of-00001.parquet",
            random_images(20),
            list(range(10)) * 2,
        )
    assert len(load_data("cifar10-jpeg", "train", tmp_path)) == 18
    assert load_data("cifar10-jpeg", "test", tmp_path).name == "cifar10-jpeg"
    assert fetch_data("cifar10-jpeg", tmp_path) == tmp_path / "cifar10-jpeg"


@pytest.mark.parametrize(
    "ask", [partial(load_data, "cifar10-jpeg", "test"), partial(fetch_data, "cifar10-jpeg")]
)
def test_missing_parquet_says_where_to_place_it(ask: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(
        DataError,
        match=r"^cifar10-jpeg not found: no train-\*.parquet in .*; .*place .* there .*GMBENCH_DATA$",
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
    cells = pa.array(
        [{"bytes": None, "path": "0.png"}] * 10, pa.struct({"bytes": pa.binary(), "path": pa.string()})
    )
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
        (
            spoil_size,
            (
                r"expected all images to be 3x6x5 like row 0 of .*, got 3x5x5: row 9 of "
                r".*train-00000-of-00001.parquet"
            ),
        ),
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
