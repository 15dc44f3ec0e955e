"""Image sets in Parquet files, in the layouts of the Hugging Face hub."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.compute
import pyarrow.parquet
import torch
from numpy.typing import NDArray

from .classes import check_train, in_order
from .decode import Decoding, stack_images
from .error import DataError
from .image_set import ImageSet, shuffled_parts
from .kept import Kept
from .split_names import is_hidden, split_named

__all__ = ["ParquetImages"]

VALIDATION_MOST, VALIDATION_SHARE = 5_000, 0.1  # held out of train where there is no validation split
BATCH = 1_024  # encoded images in memory at once

IMAGES = ("img", "image", "images", "picture")
LABELS = ("label", "labels", "fine_label", "target")


class ParquetImages:
    """``{train,test}-*.parquet``, perhaps ``validation-*.parquet``, or ``{train,test}/*.parquet``.

    They lie in the folder itself or in one below it, as the hub's ``data``, ``plain_text`` and ``default``;
    splits go by their usual names (``val``). Images are {bytes, path} or bytes, labels integers from 0 on, or
    texts, whose classes are in the order of their names.

    An id is the number of the row in the files it comes from, in the order of their names. Without validation
    files, 5 000 images of train or a tenth of it, whichever is less, are held out by a fixed permutation.

    Args:
        name: The data set's name.
        path: The folder; by default ``ROOT/NAME``.
        image: The column of the images; by default the first of `IMAGES` that is there, else the only one
            that can be it.
        label: The column of the labels; by default the first of `LABELS` that is there.
        mode: See `Decoding`.
        classes: The names of the classes in another order; names are those in the files, else the labels.
        resize: See `Decoding`.
        crop: See `Decoding`.
    """

    def __init__(
        self,
        name: str,
        path: Path | None = None,
        image: str = "",
        label: str = "",
        mode: str | None = None,
        classes: tuple[str, ...] = (),
        resize: int | None = None,
        crop: int | None = None,
    ) -> None:
        self.name = name
        self.path = path
        self.image = image
        self.label = label
        self.classes = classes
        self.decoding = Decoding(mode, resize, crop)

    def load(self, split: str, root: Path) -> ImageSet:
        folder = self.fetch(root)
        files = _files(folder)
        column = self.label or _label_column(files["train"][0])
        values = {part: _read_labels(shards, column) for part, shards in files.items()}
        classes, labels = self._numbered(folder, values, _names(files["train"][0], column))
        source, rows = split, np.arange(len(labels.get(split, ())))
        if split != "test" and "validation" not in files:
            n = len(labels["train"])
            validation, train = shuffled_parts(n, min(VALIDATION_MOST, int(n * VALIDATION_SHARE)))
            source, rows = "train", train if split == "train" else validation
        y = labels[source][rows]
        if split == "train":
            check_train(f"'{self.name}'", y.tolist(), classes)
        kept = Kept(files[source], folder.absolute(), split, self.image, self.decoding)
        x = stack_images(_encoded(files[source], self.image, rows), len(rows), self.decoding, kept)
        return ImageSet.of(
            self.name,
            split,
            x,
            torch.from_numpy(y),
            torch.from_numpy(rows),
            len(classes),
            tuple(classes),
        )

    def fetch(self, root: Path) -> Path:
        folder = self.path or root / self.name
        elsewhere = "" if self.path else ", or set --data-root or GMBENCH_DATA"
        files = _files(folder)
        for part in ("train", "test"):
            if part not in files:
                raise DataError(
                    f"{self.name} not found: no {part}-*.parquet in {folder}; it cannot be downloaded: "
                    f"place its Parquet files there (columns img {{bytes, path}} and label){elsewhere}"
                )
        return folder

    def _numbered(
        self, folder: Path, values: dict[str, NDArray[np.generic]], names: Sequence[str]
    ) -> tuple[list[str], dict[str, NDArray[np.int64]]]:
        """Name the classes in order, and number the labels by it."""
        # Over all splits: a class that one of them lacks still counts.
        every = np.unique(np.concatenate(list(values.values()))).tolist()
        if every and isinstance(every[0], str):
            found = in_order(str(folder), every)
            numbers = {name: number for number, name in enumerate(found)}
            labels = {
                part: np.array([numbers[name] for name in texts.tolist()], np.int64)
                for part, texts in values.items()
            }
        else:
            highest = max(every, default=-1)
            found = list(names) if len(names) > highest else [str(number) for number in range(highest + 1)]
            labels = {part: numbers.astype(np.int64) for part, numbers in values.items()}
        classes = in_order(str(folder), found, self.classes) if self.classes else found
        places = np.array([classes.index(name) for name in found], np.int64)
        return classes, {part: places[numbers] for part, numbers in labels.items()}


def _files(folder: Path) -> dict[str, list[Path]]:
    """Find the files of each split in order.

    A file of no split is an error, and so is one that the others' own numbering says is missing: neither is a
    smaller data set.
    """
    splits: dict[str, list[Path]] = {}
    called: dict[str, set[tuple[Path, str]]] = {}
    for file in sorted(folder.rglob("*.parquet")):
        place = file.relative_to(folder)
        if any(map(is_hidden, place.parts)):
            continue
        base, word = file.parent, re.split(r"[-.]", file.name)[0]
        if split_named(word) is None and base != folder:
            base, word = base.parent, base.name
        split = split_named(word)
        if split is None:
            raise DataError(
                f"expected {folder} to hold files train-*, validation-* and test-*.parquet, got also "
                f"{place}: rename it, move it or hide it"
            )
        splits.setdefault(split, []).append(file)
        called.setdefault(split, set()).add((base, word))
    bases = sorted({base for places in called.values() for base, _ in places})
    if len(bases) > 1:
        raise DataError(
            f"expected {folder} to hold one data set, got one in {bases[0]} and one in {bases[1]}: name the "
            "folder of one"
        )
    for split, files in splits.items():
        words = sorted(word for _, word in called[split])
        if len(words) > 1:
            raise DataError(f"expected {folder} to have one set of {split} files, got {' and '.join(words)}")
        _check_complete(folder, words[0], files)
    return splits


def _check_complete(folder: Path, word: str, files: Sequence[Path]) -> None:
    """See that as many files are there as their names say: ``-of-00002``, or 0000, 0001."""
    totals = {int(found[1]) for file in files if (found := re.search(r"-of-(\d+)\b", file.name))}
    totals |= {int(file.stem) + 1 for file in files if file.stem.isdecimal()}
    if totals and max(totals) != len(files):
        raise DataError(
            f"expected {folder} to have {max(totals)} files {word}-*.parquet as their names say, got "
            f"{len(files)}"
        )


def _label_column(file: Path) -> str:
    names = _schema(file).names
    for name in LABELS:
        if name in names:
            return name
    raise DataError(
        f"expected {file} to have a column of labels, one of {', '.join(LABELS)}, got columns "
        f"{', '.join(names)}; name it: label=COLUMN"
    )


def _read_labels(files: Sequence[Path], column: str) -> NDArray[np.generic]:
    """Read the labels of all rows, -> (N,) of integers or of texts."""
    parts = []
    for file in files:
        for _, batch in _batches(file, [column]):
            labels = batch.column(column)
            if pyarrow.types.is_dictionary(labels.type):
                labels = labels.dictionary_decode()
            texts = pyarrow.types.is_string(labels.type) or pyarrow.types.is_large_string(labels.type)
            numbers = pyarrow.types.is_integer(labels.type)
            if (
                not (texts or numbers)
                or labels.null_count
                or (numbers and min(labels.to_pylist(), default=0) < 0)
            ):
                raise DataError(
                    f"expected the column '{column}' of {file} to hold integers from 0 on, or texts, "
                    "got others"
                )
            parts.append(np.array(labels.to_pylist(), np.int64 if numbers else np.str_))
    if len({part.dtype.kind for part in parts}) > 1:
        raise DataError(
            f"expected the column '{column}' to hold integers or texts, got both in {files[0].parent}"
        )
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _names(file: Path, column: str) -> list[str]:
    """Read the names of the classes that the hub writes into its files; none where it has not."""
    try:
        told = json.loads((_schema(file).metadata or {})[b"huggingface"])
        names = told["info"]["features"][column]["names"]
    except (KeyError, TypeError, ValueError):
        return []
    return [str(name) for name in names] if isinstance(names, list) and len(set(names)) == len(names) else []


def _encoded(files: Sequence[Path], named: str, rows: NDArray[np.int64]) -> Iterator[tuple[int, str, bytes]]:
    """Give the wanted rows' images in the order of the files, each with its place among ``rows``.

    The others are not decoded.
    """
    places = {int(row): place for place, row in enumerate(rows)}
    first = 0
    for file in files:
        column = named or _image_column(file)
        for start, batch in _batches(file, [column]):
            cells = batch.column(column)
            images = cells.field("bytes") if pyarrow.types.is_struct(cells.type) else cells
            for row, content in enumerate(images, start):
                if (place := places.get(first + row)) is None:
                    continue
                if not content.is_valid or not isinstance(content.as_py(), bytes):
                    raise DataError(
                        f"expected the column '{column}' of {file} to hold the images' bytes, got none in "
                        f"row {row}"
                    )
                yield place, f"row {row} of {file}", content.as_py()
        first += pyarrow.parquet.read_metadata(file).num_rows


def _image_column(file: Path) -> str:
    schema = _schema(file)
    able = [name for name in schema.names if _holds_bytes(schema.field(name).type)]
    usual = [name for name in IMAGES if name in able]
    if usual or len(able) == 1:
        return (usual or able)[0]
    raise DataError(
        f"expected {file} to have a column img or image {{bytes, path}}, got columns "
        f"{', '.join(schema.names)}; name it: image=COLUMN"
    )


def _holds_bytes(kind: pyarrow.DataType) -> bool:
    if pyarrow.types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))


def _schema(file: Path) -> pyarrow.Schema:
    try:
        return pyarrow.parquet.read_schema(file)
    except (pyarrow.ArrowException, OSError) as error:
        raise _unreadable(file, error) from error


def _batches(file: Path, columns: list[str]) -> Iterator[tuple[int, pyarrow.RecordBatch]]:
    """Read columns of a file batch by batch, each with the number of its first row."""
    start = 0
    try:
        with pyarrow.parquet.ParquetFile(file) as parquet:
            for column in columns:
                if column not in parquet.schema_arrow.names:
                    raise DataError(
                        f"expected {file} to have a column '{column}', got columns "
                        f"{', '.join(parquet.schema_arrow.names)}"
                    )
            for batch in parquet.iter_batches(BATCH, columns=columns):
                yield start, batch
                start += len(batch)
    except (pyarrow.ArrowException, OSError) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> DataError:
    return DataError(f"cannot read {file}: {error}; place an undamaged copy there")
