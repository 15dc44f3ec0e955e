"""The store: a folder of finished work, each piece under the hash of its description.

An entry is a folder ``KEY[:2]/KEY`` with ``entry.json`` (description, facts, checksums of the other files and
of itself), ``table.parquet`` and perhaps ``images.safetensors``. It is written under a temporary name, synced
to disk and renamed, so it is there whole or not at all; a damaged one is found by its checksum and made
again.
"""

import errno
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import safetensors.torch
from filelock import FileLock, Timeout
from torch import Tensor

from ...models.files import put_folder, write_file

__all__ = ["Entry", "Store", "StoreError", "key_of"]

SPARE_BYTES = 200 * 2**20  # a cell is written only while this much disk would stay free


class StoreError(Exception):
    """The store cannot be used; one line that says why and what to do."""


@dataclass(frozen=True)
class Entry:
    """One finished piece of work.

    Args:
        description: What was asked for; its hash is the key.
        table: One row per image.
        images: Adversarial images (N, *S), or None where the work makes none.
        facts: What is worth knowing but decides nothing: seconds, device, versions.
    """

    description: Mapping[str, Any]
    table: pd.DataFrame = field(repr=False)
    images: Tensor | None = field(default=None, repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict)


def key_of(description: Mapping[str, Any]) -> str:
    """Hash a description of plain values; the order of its keys does not matter."""
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=True)
    return hashlib.sha256(text.encode()).hexdigest()


class Store:
    """A folder of entries.

    Args:
        root: The folder; made when first written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, key: str) -> Path:
        """Tell an entry's folder."""
        return self.root / key[:2] / key

    def has(self, description: Mapping[str, Any]) -> bool:
        """Tell whether there is an entry; does not look whether it is sound."""
        return (self.path(key_of(description)) / "entry.json").exists()

    def read(self, description: Mapping[str, Any]) -> Entry | None:
        """Read an entry after its checksums were verified; None where there is none or it is damaged."""
        try:
            return self.read_key(key_of(description))
        except StoreError:
            return None

    def sound(self, description: Mapping[str, Any]) -> bool:
        """Tell whether there is an entry whose checksums are right."""
        try:
            self._verified(key_of(description))
        except StoreError:
            return False
        return True

    def head(self, description: Mapping[str, Any]) -> dict[str, Any]:
        """Read an entry's facts and its files' checksums, not the files.

        Nothing where there is none or it is damaged.
        """
        try:
            head: dict[str, Any] = json.loads((self.path(key_of(description)) / "entry.json").read_text())
            if _is_whole(head):
                return {"facts": head["facts"], "files": head["files"]}
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return {"facts": {}, "files": {}}

    def read_key(self, key: str) -> Entry:
        """Read an entry by its key.

        Raises:
            StoreError: There is none, or it is damaged.
        """
        head, files = self._verified(key)
        images = (
            safetensors.torch.load(files["images.safetensors"])["images"]
            if "images.safetensors" in files
            else None
        )
        return Entry(
            head["description"], pd.read_parquet(BytesIO(files["table.parquet"])), images, head["facts"]
        )

    def _verified(self, key: str) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Read an entry's files as they are, after their checksums and the key were verified."""
        folder = self.path(key)
        try:
            head = json.loads((folder / "entry.json").read_text())
            files = {name: (folder / name).read_bytes() for name in head["files"]}
            sound = (
                _is_whole(head)
                and key_of(head["description"]) == key
                and all(
                    hashlib.sha256(content).hexdigest() == head["files"][name]
                    for name, content in files.items()
                )
            )
        except FileNotFoundError as error:
            raise StoreError(f"no entry {key[:12]} in the store at {self.root}") from error
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise StoreError(
                f"the store's entry {key[:12]} is damaged ({type(error).__name__}); it will be made again"
            ) from error
        if not sound or "table.parquet" not in files:
            raise StoreError(f"the store's entry {key[:12]} is damaged (checksum); it will be made again")
        return head, files

    def write(self, entry: Entry) -> None:
        """Write an entry, whole or not at all; replaces a damaged one.

        Raises:
            StoreError: The disk is full or the folder cannot be written to.
        """
        key = key_of(entry.description)
        final = self.path(key)
        temporary = self.root / "tmp" / key
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._check_space(entry)
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            _write_files(temporary, entry)
            put_folder(temporary, final)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            if error.errno == errno.ENOSPC:
                raise StoreError(
                    f"no space left on the disk of the store at {self.root}; finished cells are kept: free "
                    "some and run again"
                ) from None
            raise StoreError(
                f"expected the store at {self.root} to be writable, got: {error.strerror}"
            ) from None

    def keys(self) -> list[str]:
        """List all entries."""
        return sorted(path.parent.name for path in self.root.glob("??/[!.]*/entry.json"))

    def find(self, prefix: str) -> Entry:
        """Read the entry whose key begins with ``prefix``.

        Raises:
            StoreError: There is none or more than one, or it is damaged.
        """
        matches = [key for key in self.keys() if key.startswith(prefix)]
        if len(matches) != 1:
            raise StoreError(
                f"expected '{prefix}' to begin exactly one key of the store at {self.root}, got "
                f"{len(matches)}; see: gmbench show"
            )
        return self.read_key(matches[0])

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the store for one run; the system lets go when the process ends, however it ends.

        Raises:
            StoreError: Another run holds it.
        """
        lock = FileLock(self.root / "lock")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock.acquire(blocking=False)
        except Timeout:
            raise StoreError(
                f"another run uses the store at {self.root}; wait for it, or give this one its own with "
                "--store"
            ) from None
        except OSError as error:
            raise StoreError(
                f"expected the store at {self.root} to be writable, got: {error.strerror}"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def _check_space(self, entry: Entry) -> None:
        need = 0 if entry.images is None else entry.images.numel() * entry.images.element_size()
        if shutil.disk_usage(self.root).free < need + SPARE_BYTES:
            raise OSError(errno.ENOSPC, "no space")


def _is_whole(head: Mapping[str, Any]) -> bool:
    """Tell whether an entry's head has its own checksum; one of an earlier version has none."""
    told = {name: value for name, value in head.items() if name != "sha256"}
    return set(told) == {"description", "facts", "files"} and head.get("sha256", key_of(told)) == key_of(told)


def _write_files(folder: Path, entry: Entry) -> None:
    files = {"table.parquet": entry.table.to_parquet(None, index=False)}
    if entry.images is not None:
        files["images.safetensors"] = safetensors.torch.save({"images": entry.images.cpu().contiguous()})
    head: dict[str, Any] = {
        "description": entry.description,
        "facts": entry.facts,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    head["sha256"] = key_of(head)
    files["entry.json"] = (json.dumps(head, indent=1, sort_keys=True) + "\n").encode()
    for name, content in files.items():
        write_file(folder / name, content)
