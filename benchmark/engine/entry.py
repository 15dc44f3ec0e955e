"""An entry: one finished piece of work, and its files, which travel and are stored as they are.

Its files are ``entry.json`` (description, facts, checksums of the other files and of itself),
``table.parquet``, and where there are any, images and other tensors. Whoever gets them verifies them first.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import pandas as pd
import pyarrow
import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from .image_file import read_images, write_images

__all__ = [
    "HEAD",
    "NAMES",
    "Entry",
    "Packed",
    "StoreError",
    "head_of",
    "is_of",
    "key_of",
    "pack",
    "unpack",
    "verify",
]

HEAD = "entry.json"
TABLE = "table.parquet"
IMAGES = "images.parquet"
OLD_IMAGES = "images.safetensors"  # of entries that earlier versions wrote
TENSORS = "tensors.safetensors"

NAMES = (HEAD, TABLE, IMAGES, OLD_IMAGES, TENSORS)
"""Of all files that an entry may have."""

_KEY = re.compile("[0-9a-f]{64}")
_FIRST, _LAST = 2, 32  # between these digits a key is its own


class StoreError(Exception):
    """The store or an entry cannot be used; one line that says why and what to do."""


@dataclass(frozen=True)
class Entry:
    """One finished piece of work.

    Args:
        description: What was asked for; its hash is the key.
        table: One row per image.
        images: Adversarial images (N, *S), or None where the work makes none.
        tensors: By name, of what is no row per image.
        facts: What is worth knowing but decides nothing: seconds, device, versions.
    """

    description: Mapping[str, Any]
    table: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)
    images: Tensor | None = field(default=None, repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Packed:
    """An entry's files.

    Args:
        files: Contents by name, see `NAMES`.
    """

    files: Mapping[str, bytes] = field(repr=False)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(map(len, self.files.values()))


def key_of(description: Mapping[str, Any]) -> str:
    """Hash a description of plain values; the order of its keys does not matter.

    One that says whose it is (``of``, another's key) shares that key's ends, so that it is found from there;
    see `is_of`.

    Raises:
        ValueError: What it says to be another's key is none.
    """
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=True)
    own = hashlib.sha256(text.encode()).hexdigest()
    if "of" not in description:
        return own
    of = description["of"]
    if not (isinstance(of, str) and _KEY.fullmatch(of)):
        raise ValueError(f"expected 'of' to be the key of an entry, got {of!r}")
    return of[:_FIRST] + own[_FIRST:_LAST] + of[_LAST:]


def is_of(key: str, other: str) -> bool:
    """Tell whether a key is that of an entry about another one."""
    return key != other and key[:_FIRST] == other[:_FIRST] and key[_LAST:] == other[_LAST:]


def pack(entry: Entry) -> Packed:
    """Make an entry's files; of the same work, the same bytes."""
    files = {TABLE: entry.table.to_parquet(None, index=False)}
    if entry.images is not None:
        files[IMAGES] = write_images(entry.images)
    if entry.tensors:
        files[TENSORS] = safetensors.torch.save(dict(entry.tensors))
    head: dict[str, Any] = {
        "description": entry.description,
        "facts": entry.facts,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    head["sha256"] = key_of(head)
    return Packed({**files, HEAD: (json.dumps(head, indent=1, sort_keys=True) + "\n").encode()})


def unpack(packed: Packed, key: str, *, with_images: bool = True) -> Entry:
    """Read an entry from its files, after they were verified.

    Args:
        packed: The files, from wherever.
        key: Of what was asked for.
        with_images: False leaves the images undecoded, and the entry without them.

    Raises:
        StoreError: It is damaged, or another's.
    """
    head = verify(packed, key)
    try:
        table = pd.read_parquet(BytesIO(packed.files[TABLE]))
        images = _images(packed) if with_images else None
        tensors = safetensors.torch.load(packed.files[TENSORS]) if TENSORS in packed.files else {}
    except (ValueError, KeyError, OSError, pyarrow.ArrowException, SafetensorError) as error:
        raise _damaged(key, type(error).__name__) from error
    return Entry(head["description"], table, images, head["facts"], tensors)


def verify(packed: Packed, key: str) -> dict[str, Any]:
    """Give an entry's head, after the key and every checksum were verified.

    Raises:
        StoreError: It is damaged, or another's.
    """
    head = head_of(packed.files.get(HEAD, b""), key)
    contents = {name: content for name, content in packed.files.items() if name != HEAD}
    if TABLE not in contents or not set(contents) == set(head["files"]) <= set(NAMES):
        raise _damaged(key, "other files than it names")
    for name, content in contents.items():
        if hashlib.sha256(content).hexdigest() != head["files"][name]:
            raise _damaged(key, f"checksum of {name}")
    return head


def head_of(content: bytes, key: str) -> dict[str, Any]:
    """Read ``entry.json``: description, facts and the checksums of the other files.

    Raises:
        StoreError: It is damaged, or another's.
    """
    try:
        head: dict[str, Any] = json.loads(content)
        told = {name: value for name, value in head.items() if name != "sha256"}
        sound = (
            set(told) == {"description", "facts", "files"}
            and head.get("sha256", key_of(told)) == key_of(told)  # one of an earlier version has none
            and key_of(head["description"]) == key
        )
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise _damaged(key, type(error).__name__) from error
    if not sound or not isinstance(head["files"], dict):
        raise _damaged(key, f"checksum of {HEAD}")
    return head


def _images(packed: Packed) -> Tensor | None:
    if OLD_IMAGES in packed.files:
        return safetensors.torch.load(packed.files[OLD_IMAGES])["images"]
    return read_images(packed.files[IMAGES]) if IMAGES in packed.files else None


def _damaged(key: str, why: str) -> StoreError:
    return StoreError(f"the entry {key[:12]} is damaged ({why}); it will be made again")
