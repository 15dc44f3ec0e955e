"""The store: a folder of finished work, each piece under the hash of its description.

An entry is a folder ``KEY[:2]/KEY`` of its files. It is written under a temporary name, synced to disk and
renamed, so it is there whole or not at all; a damaged one is found by its checksum and made again.
"""

import errno
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ...models.files import put_folder, write_file
from .entry import HEAD, NAMES, Entry, Packed, StoreError, head_of, key_of, pack, unpack, verify

__all__ = ["Store"]

SPARE_BYTES = 200 * 2**20  # a cell is written only while this much disk would stay free


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
        return (self.path(key_of(description)) / HEAD).exists()

    def read(self, description: Mapping[str, Any]) -> Entry | None:
        """Read an entry after its checksums were verified; None where there is none or it is damaged."""
        try:
            return self.read_key(key_of(description))
        except StoreError:
            return None

    def sound(self, description: Mapping[str, Any]) -> bool:
        """Tell whether there is an entry whose checksums are right."""
        key = key_of(description)
        try:
            verify(self.read_packed(key), key)
        except StoreError:
            return False
        return True

    def head(self, description: Mapping[str, Any]) -> dict[str, Any]:
        """Read an entry's facts and its files' checksums, not the files.

        Nothing where there is none or it is damaged.
        """
        key = key_of(description)
        try:
            head = head_of((self.path(key) / HEAD).read_bytes(), key)
        except (OSError, StoreError):
            return {"facts": {}, "files": {}}
        return {"facts": head["facts"], "files": head["files"]}

    def read_key(self, key: str) -> Entry:
        """Read an entry by its key.

        Raises:
            StoreError: There is none, or it is damaged.
        """
        return unpack(self.read_packed(key), key)

    def read_packed(self, key: str) -> Packed:
        """Read an entry's files as they lie there, sound or not.

        Raises:
            StoreError: There is none, or they cannot be read.
        """
        folder = self.path(key)
        try:
            return Packed({path.name: path.read_bytes() for path in folder.iterdir() if path.name in NAMES})
        except FileNotFoundError as error:
            raise StoreError(f"no entry {key[:12]} in the store at {self.root}") from error
        except OSError as error:
            raise StoreError(f"the entry {key[:12]} cannot be read: {error.strerror}") from error

    def write(self, entry: Entry) -> None:
        """Write an entry, whole or not at all; replaces a damaged one.

        Raises:
            StoreError: The disk is full or the folder cannot be written to.
        """
        self.write_packed(pack(entry), key_of(entry.description))

    def write_packed(self, packed: Packed, key: str) -> None:
        """Write an entry's files as they are, after they were verified.

        Args:
            packed: The files, perhaps from another process.
            key: Of what was asked for.

        Raises:
            StoreError: They are damaged, the disk is full, or the folder cannot be written to.
        """
        verify(packed, key)
        temporary = self.root / "tmp" / key
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._check_space(packed.size)
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            for name, content in packed.files.items():
                write_file(temporary / name, content)
            put_folder(temporary, self.path(key))
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
        return sorted(path.parent.name for path in self.root.glob(f"??/[!.]*/{HEAD}"))

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

    def _check_space(self, need: int) -> None:
        if shutil.disk_usage(self.root).free < need + SPARE_BYTES:
            raise OSError(errno.ENOSPC, "no space")
