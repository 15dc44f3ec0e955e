"""Image sets in Parquet files, in the layout of the Hugging Face hub."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import torch
from numpy.typing import NDArray

from .decode import stack_images
from .image_set import SPLITS, DataError, ImageSet, shuffled_parts

__all__ = ["ParquetImages"]

VALIDATION_MOST, VALIDATION_SHARE = 5_000, 0.1  # held out of train where there is no validation split
BATCH = 1_024  # encoded images in memory at once


class ParquetImages:
    """``{train,test}-*.parquet``, perhaps ``validation-*.parquet``.

    With columns ``img`` or ``image`` {bytes, path} and ``label``.

    An id is the number of the row in the files it comes from, in the order of their names. Without validation
    files, 5 000 images of train or a tenth of it, whichever is less, are held out by a fixed permutation.

    Args:
        name: The data set's name.
        path: The folder; by default ``ROOT/NAME``.
    """

    def __init__(self, name: str, path: Path | None = None) -> None:
        self.name = name
        self.path = path

    def load(self, split: str, root: Path) -> ImageSet:
        folder = self.fetch(root)
        labels = {part: _read_labels(_shards(folder, part)) for part in SPLITS}
        source, rows = split, np.arange(len(labels[split]))
        if split != "test" and len(labels["validation"]) == 0:
            n = len(labels["train"])
            validation, train = shuffled_parts(n, min(VALIDATION_MOST, int(n * VALIDATION_SHARE)))
            source, rows = "train", train if split == "train" else validation
        x = stack_images(_encoded(_shards(folder, source), rows), len(rows))
        # Over all splits: a class that this one lacks still counts.
        classes = int(np.concatenate(list(labels.values())).max(initial=-1)) + 1
        return ImageSet.of(
            self.name, split, x, torch.from_numpy(labels[source][rows]), torch.from_numpy(rows), classes
        )

    def fetch(self, root: Path) -> Path:
        folder = self.path or root / self.name
        elsewhere = "" if self.path else ", or set --data-root or GMBENCH_DATA"
        for part in ("train", "test"):
            if not _shards(folder, part):
                raise DataError(
                    f"{self.name} not found: no {part}-*.parquet in {folder}; it cannot be downloaded: "
                    f"place its Parquet files there (columns img {{bytes, path}} and label){elsewhere}"
                )
        return folder


def _shards(folder: Path, split: str) -> list[Path]:
    """List the files of a split in order.

    A file that their own numbering says is missing is an error, not a smaller data set.
    """
    files = sorted(folder.glob(f"{split}-*.parquet"))
    totals = {int(found[1]) for file in files if (found := re.search(r"-of-(\d+)\.parquet$", file.name))}
    if totals and totals != {len(files)}:
        raise DataError(
            f"expected {folder} to have {max(totals)} files {split}-*.parquet as their names say, got "
            f"{len(files)}"
        )
    return files


def _read_labels(files: Sequence[Path]) -> NDArray[np.int64]:
    """Read the labels of all rows, -> (N,)."""
    parts = [np.empty(0, np.int64)]
    for file in files:
        for _, batch in _batches(file, ["label"]):
            labels = batch.column("label")
            if (
                not pyarrow.types.is_integer(labels.type)
                or labels.null_count
                or min(labels.to_pylist(), default=0) < 0
            ):
                raise DataError(
                    f"expected the column 'label' of {file} to hold integers from 0 on, got others"
                )
            parts.append(labels.to_numpy().astype(np.int64))
    return np.concatenate(parts)


def _encoded(files: Sequence[Path], rows: NDArray[np.int64]) -> Iterator[tuple[int, str, bytes]]:
    """Give the wanted rows' images in the order of the files, each with its place among ``rows``.

    The others are not decoded.
    """
    places = {int(row): place for place, row in enumerate(rows)}
    first = 0
    for file in files:
        column = _image_column(file)
        for start, batch in _batches(file, [column]):
            for row, content in enumerate(batch.column(column).field("bytes"), start):
                if (place := places.get(first + row)) is None:
                    continue
                if not content.is_valid:
                    raise DataError(
                        f"expected the column '{column}' of {file} to hold the images' bytes, got none in "
                        f"row {row}"
                    )
                yield place, f"row {row} of {file}", content.as_py()
        first += pyarrow.parquet.read_metadata(file).num_rows


def _image_column(file: Path) -> str:
    schema = pyarrow.parquet.read_schema(file)
    for name in ("img", "image"):
        if name in schema.names and pyarrow.types.is_struct(schema.field(name).type):
            return name
    raise DataError(
        f"expected {file} to have a column img or image {{bytes, path}}, got columns "
        f"{', '.join(schema.names)}"
    )


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
        raise DataError(f"cannot read {file}: {error}; place an undamaged copy there") from error
