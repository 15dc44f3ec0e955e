"""Images in Parquet files, as CIFAR-10 comes.

Splits, a place, and one clear line for each way in which a file can be wrong.
"""

import io
import json
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
            random_images(60),
            list(range(10)) * 6,
        )
    assert len(load_data("cifar10-jpeg", "train", tmp_path)) == 54
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


LABELS = [0, 1, 2, 3, 4] * 2


def spoil_truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def spoil_shard(file: Path) -> None:
    file.rename(file.with_name("train-00000-of-00002.parquet"))


def spoil_column(file: Path) -> None:
    pq.write_table(pa.table({"picture": ["0.png"] * 10, "label": LABELS}), file)


def spoil_no_label(file: Path) -> None:
    pq.write_table(pq.read_table(file).select(["img"]), file)


def spoil_label(file: Path) -> None:
    write_parquet(file, random_images(10), [-1] * 10)


def spoil_no_bytes(file: Path) -> None:
    cells = pa.array(
        [{"bytes": None, "path": "0.png"}] * 10, pa.struct({"bytes": pa.binary(), "path": pa.string()})
    )
    pq.write_table(pa.table({"img": cells, "label": LABELS}), file)


def spoil_size(file: Path) -> None:
    write_parquet(file, [*random_images(9), *random_images(1, (5, 5, 3))], LABELS)


def spoil_depth(file: Path) -> None:
    write_parquet(file, [np.full((4, 4), 40_000, np.uint16)] * 10, LABELS)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_truncated, r"cannot read .*train-00000-of-00001.parquet: .*; place an undamaged copy there"),
        (spoil_shard, r"to have 2 files train-\*.parquet as their names say, got 1"),
        (spoil_column, r"to have a column img or image \{bytes, path\}, got columns picture, label"),
        (
            spoil_no_label,
            "to have a column of labels, one of label, .*, got columns img; name it: label=COLUMN",
        ),
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
    write_parquet(tmp_path / "test-00000-of-00001.parquet", random_images(10), LABELS)
    write_parquet(tmp_path / "validation-00000-of-00001.parquet", random_images(10), LABELS)
    file = tmp_path / "train-00000-of-00001.parquet"
    write_parquet(file, random_images(10), LABELS)
    spoil(file)
    with pytest.raises(DataError, match=message):
        load_data(f"parquet:{tmp_path}", "train")


# The hub's layouts

LAYOUTS = {
    "data": ("data/train-00000-of-00001.parquet", "data/val-00000-of-00001.parquet", "data/test.parquet"),
    "configuration": (
        "plain_text/train-00000-of-00001-9a3f.parquet",
        "plain_text/validation-00000-of-00001-77ab.parquet",
        "plain_text/test-00000-of-00001-0c1d.parquet",
    ),
    "converted": (
        "default/train/0000.parquet",
        "default/validation/0000.parquet",
        "default/test/0000.parquet",
    ),
    "valid": ("training-0.parquet", "valid-0.parquet", "Testing-0.parquet"),
}


@pytest.mark.parametrize("files", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts_of_the_hub_are_found(files: tuple[str, ...], tmp_path: Path) -> None:
    images = random_images(30)
    for start, file in zip((0, 10, 20), files, strict=True):
        write_parquet(tmp_path / file, images[start : start + 10], LABELS)
    write_parquet(tmp_path / ".cache" / "extra.parquet", images, [9] * 30)
    for start, part in zip((0, 10, 20), splits(f"parquet:{tmp_path}").values(), strict=True):
        assert np.array_equal(part.x.permute(0, 2, 3, 1), np.stack(images[start : start + 10]))
        assert part.classes == 5


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("extra-0.parquet", "got also extra-0.parquet: rename it, move it or hide it"),
        ("train_small.parquet", "got also train_small.parquet"),
        ("val-0.parquet", "to have one set of validation files, got val and validation"),
        ("other/train-0.parquet", r"to hold one data set, got one in .* and one in .*other: name the folder"),
        ("train-00002-of-00003.parquet", r"to have 3 files train-\*.parquet as their names say, got 2"),
    ],
)
def test_files_that_are_not_understood_are_refused(more: str, message: str, tmp_path: Path) -> None:
    for file in ("train-0.parquet", "validation-0.parquet", "test-0.parquet", more):
        write_parquet(tmp_path / file, random_images(10), LABELS)
    for ask in (partial(load_data, split="test"), fetch_data):
        with pytest.raises(DataError, match=message):
            ask(f"parquet:{tmp_path}")


def test_converted_files_are_counted_by_their_numbers(tmp_path: Path) -> None:
    for file in ("train/0000", "train/0002", "test/0000"):
        write_parquet(tmp_path / f"{file}.parquet", random_images(10), LABELS)
    with pytest.raises(DataError, match=r"to have 3 files train-\*.parquet as their names say, got 2"):
        fetch_data(f"parquet:{tmp_path}")


def write_columns(
    folder: Path, columns: dict[str, pa.Array], names: dict[str, list[str]] | None = None
) -> str:
    """Write the same table as train and test; ``names`` are the hub's of the classes of its columns."""
    table = pa.table(columns)
    if names:
        features = {column: {"names": told, "_type": "ClassLabel"} for column, told in names.items()}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    for split in ("train", "test"):
        pq.write_table(table, folder / f"{split}-00000-of-00001.parquet")
    return f"parquet:{folder}"


def bytes_column(n: int) -> pa.Array:
    return pa.array([png(image) for image in random_images(n)], pa.binary())


def test_columns_are_found_and_can_be_named(tmp_path: Path) -> None:
    fine, coarse = [0, 1, 2, 3] * 10, [0, 0, 1, 1] * 10
    columns = {"pixels": bytes_column(40), "fine_label": pa.array(fine), "coarse_label": pa.array(coarse)}
    names = {"fine_label": ["ant", "bee", "cod", "dab"], "coarse_label": ["insect", "fish"]}
    name = write_columns(tmp_path, columns, names)
    test = load_data(name, "test")
    assert test.y.tolist() == fine
    assert test.class_names == ("ant", "bee", "cod", "dab")
    assert np.array_equal(test.x.permute(0, 2, 3, 1), np.stack(random_images(40)))
    coarsely = load_data(f"{name}?label=coarse_label&image=pixels", "test")
    assert coarsely.y.tolist() == coarse
    assert coarsely.class_names == ("insect", "fish")
    for option, message in (("label", "to have a column 'nothing'"), ("image", "to have a column 'nothing'")):
        with pytest.raises(DataError, match=message):
            load_data(f"{name}?{option}=nothing", "test")


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_labels_are_texts(kind: pa.DataType, tmp_path: Path) -> None:
    texts = ["dog", "cat", "10", "9"] * 10
    name = write_columns(tmp_path, {"image": bytes_column(40), "labels": pa.array(texts).cast(kind)})
    test = load_data(name, "test")
    assert test.class_names == ("10", "9", "cat", "dog")
    assert [test.class_names[y] for y in test.y] == texts
    ordered = load_data(name, "test", classes=["dog", "cat", "9", "10"])
    assert [ordered.class_names[y] for y in ordered.y] == texts
    assert ordered.y[:4].tolist() == [0, 1, 3, 2]


def test_labels_that_are_numbers_in_text_are_in_the_order_of_their_values(tmp_path: Path) -> None:
    texts = [str(number) for number in range(5, 15)] * 4
    test = load_data(write_columns(tmp_path, {"image": bytes_column(40), "label": pa.array(texts)}), "test")
    assert test.y.tolist() == list(range(10)) * 4


def test_grey_and_coloured_rows_are_read_alike_by_mode(tmp_path: Path) -> None:
    cells = [png(image) for image in [*random_images(20), *random_images(20, (6, 5))]]
    name = write_columns(tmp_path, {"image": pa.array(cells, pa.binary()), "label": pa.array([0, 1] * 20)})
    with pytest.raises(DataError, match='mode = "RGB" or "L" reads all of them alike'):
        load_data(name, "test")
    assert load_data(name, "test", mode="RGB").x.shape == (40, 3, 6, 5)
    assert load_data(name, "test", mode="L").x.shape == (40, 1, 6, 5)


def test_a_class_of_one_image_is_refused(tmp_path: Path) -> None:
    for split in ("train", "validation", "test"):
        write_parquet(tmp_path / f"{split}-0.parquet", random_images(9), [0, 0, 0, 0, 2, 2, 2, 2, 1])
    with pytest.raises(DataError, match=r"train split of .* to have at least 2 images, got 1 of class '1'"):
        load_data(f"parquet:{tmp_path}", "train")
