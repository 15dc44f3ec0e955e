"""Images as a Parquet file: every bit of every float, in less than half of its bytes.

Attacks leave few different values (a pixel moved by eps, or by so many steps) or long runs of what they never
touched. So the floats' bits are written as integers, once through a dictionary and once as they are, both
compressed with zstd; the smaller one is kept, and Parquet itself says which it is.
"""

import json
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

__all__ = ["read_images", "write_images"]

_BITS = {"float32": torch.int32, "float64": torch.int64}

_PAGE = 2**24  # bytes: what zstd sees at once
_LEVEL = 9


def write_images(images: Tensor) -> bytes:
    """Write images (N, *S) of float32 or float64; of the same images, the same bytes.

    Raises:
        TypeError: They are of another type.
    """
    dtype = str(images.dtype).removeprefix("torch.")
    if dtype not in _BITS:
        raise TypeError(f"expected images to be float32 or float64, got {dtype}")
    bits = images.detach().cpu().contiguous().view(_BITS[dtype]).flatten().numpy()
    told = {"shape": json.dumps(list(images.shape)), "dtype": dtype}
    table = pa.table({"bits": bits}).replace_schema_metadata(told)
    return min((_written(table, use_dictionary=use) for use in (True, False)), key=len)


def read_images(content: bytes) -> Tensor:
    """Read what `write_images` wrote.

    Raises:
        ValueError: It is something else.
        pyarrow.ArrowException: It is no Parquet file.
    """
    table: Any = pq.read_table(BytesIO(content), use_threads=False)
    told = {name.decode(): value.decode() for name, value in (table.schema.metadata or {}).items()}
    dtype = told.get("dtype", "")
    if table.column_names != ["bits"] or dtype not in _BITS or "shape" not in told:
        raise ValueError("expected a file of images, got another table")
    bits = torch.tensor(table["bits"].to_numpy())
    if bits.dtype != _BITS[dtype]:
        raise ValueError(f"expected bits of {dtype}, got {bits.dtype}")
    try:
        return bits.view(getattr(torch, dtype)).reshape(json.loads(told["shape"]))
    except (TypeError, RuntimeError) as error:
        raise ValueError(f"expected images of shape {told['shape']}, got {len(bits)} values") from error


def _written(table: Any, *, use_dictionary: bool) -> bytes:
    file = BytesIO()
    pq.write_table(
        table,
        file,
        row_group_size=max(1, len(table)),
        use_dictionary=use_dictionary,
        dictionary_pagesize_limit=_PAGE,
        data_page_size=_PAGE,
        write_statistics=False,
        compression="zstd",
        compression_level=_LEVEL,
    )
    return file.getvalue()
