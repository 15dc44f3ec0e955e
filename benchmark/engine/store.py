"""The store: a folder of finished work, each piece under the hash of its description.

An entry is a folder ``KEY[:2]/KEY`` of its files. Runs share a store without a lock. Each writes under a name
of its own, has the disk know it, and renames the whole folder: an entry is there whole or not at all, and the
first sound one stays. A damaged one is found by its checksums and replaced.
"""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from ...models.files import sync
from .entry import HEAD, NAMES, Entry, Packed, StoreError, head_of, is_of, key_of, pack, unpack, verify

__all__ = ["Store"]

SPARE_BYTES = 200 * 2**20  # an entry is written only while this much disk would stay free

ABANDONED = 24 * 3600
"""Seconds after which what lies under a temporary name is a dead run's; a write takes moments."""

ATTEMPTS = 20
"""To put an entry in the place of a damaged one, while others do the same."""


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

    def read(self, description: Mapping[str, Any], *, with_images: bool = True) -> Entry | None:
        """Read an entry after its checksums were verified; None where there is none or it is damaged."""
        key = key_of(description)
        try:
            return unpack(self.read_packed(key), key, with_images=with_images)
        except StoreError:
            return None

    def sound(self, description: Mapping[str, Any]) -> bool:
        """Tell whether there is an entry whose checksums are right."""
        return self.is_sound(key_of(description))

    def is_sound(self, key: str) -> bool:
        """Tell whether there is an entry under a key whose checksums are right."""
        try:
            verify(self.read_packed(key), key)
        except StoreError:
            return False
        return True

    def head(self, description: Mapping[str, Any]) -> dict[str, Any]:
        """Read an entry's facts and its files' checksums, not the files.

        Nothing where there is none or it is damaged.
        """
        try:
            head = self.read_head(key_of(description))
        except StoreError:
            return {"facts": {}, "files": {}}
        return {"facts": head["facts"], "files": head["files"]}

    def read_head(self, key: str) -> dict[str, Any]:
        """Read an entry's description, facts and its files' checksums, not the files.

        Raises:
            StoreError: There is none, or its head is damaged.
        """
        try:
            return head_of((self.path(key) / HEAD).read_bytes(), key)
        except OSError as error:
            raise StoreError(f"no entry {key[:12]} in the store at {self.root}: {error.strerror}") from error

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
        try:
            with _opened(self.path(key)) as folder:
                return _files(folder)
        except FileNotFoundError as error:
            raise StoreError(f"no entry {key[:12]} in the store at {self.root}") from error
        except OSError as error:
            raise StoreError(f"the entry {key[:12]} cannot be read: {error.strerror}") from error

    def write(self, entry: Entry) -> None:
        """Write an entry, whole or not at all, unless a sound one is there.

        Raises:
            StoreError: The disk is full or the folder cannot be written to.
        """
        self.write_packed(pack(entry), key_of(entry.description))

    def write_packed(self, packed: Packed, key: str) -> None:
        """Write an entry's files as they are, after they were verified; see `write`.

        Args:
            packed: The files, perhaps from another process.
            key: Of what was asked for.

        Raises:
            StoreError: They are damaged, the disk is full, or the folder cannot be written to.
        """
        verify(packed, key)
        with self._writing(key) as own:
            self._check_space(packed.size)
            for name, content in packed.files.items():
                _write(own / name, content)
            sync(own)
            self._put(own, key)

    def check_writable(self) -> None:
        """See to it, before anything is computed, that entries can be written; sweeps what dead runs left.

        Raises:
            StoreError: They cannot, or there is too little space.
        """
        with self._writing("check") as own:
            _write(own / HEAD, b"\n")
            self._check_space(0)
            now = own.stat().st_mtime  # by the clock of the disk, which may be another machine's
            for left in own.parent.iterdir():
                with suppress(FileNotFoundError):
                    if now - left.stat().st_mtime > ABANDONED:
                        shutil.rmtree(left, ignore_errors=True)

    def remove(self, key: str) -> None:
        """Remove an entry, if it is there; whoever reads it meanwhile finds all of it or none.

        Raises:
            StoreError: The folder cannot be written to.
        """
        with self._writing(key) as own, suppress(FileNotFoundError):
            self.path(key).rename(own)

    def keys(self) -> list[str]:
        """List all entries."""
        return sorted(path.parent.name for path in self.root.glob(f"??/[!.]*/{HEAD}"))

    def about(self, key: str) -> list[str]:
        """List the entries about another one, see `is_of`."""
        try:
            beside = [path for path in self.path(key).parent.iterdir() if is_of(path.name, key)]
            return sorted(path.name for path in beside if (path / HEAD).exists())
        except (FileNotFoundError, NotADirectoryError):
            return []

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
    def _writing(self, key: str) -> Iterator[Path]:
        """Give a folder that is this write's own, and tell in one line what keeps it from being written."""
        own = self.root / "tmp" / f"{key}.{os.getpid()}-{secrets.token_hex(6)}"
        try:
            own.mkdir(parents=True)
            yield own
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreError(
                    f"no space left on the disk of the store at {self.root}; finished cells are kept: free "
                    "some and run again"
                ) from None
            raise StoreError(
                f"expected the store at {self.root} to be writable, got: {error.strerror}"
            ) from None
        finally:
            shutil.rmtree(own, ignore_errors=True)

    def _put(self, own: Path, key: str) -> None:
        """Rename a whole entry into its place, unless a sound one is there.

        A damaged one is emptied through a descriptor of its folder, as the name may be another's entry by
        then; an empty folder gives way to a rename, and one that is not empty never does.
        """
        final = self.path(key)
        final.parent.mkdir(exist_ok=True)
        for _ in range(ATTEMPTS):
            try:
                own.rename(final)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
            else:
                sync(final.parent)
                return
            with suppress(FileNotFoundError), _opened(final) as folder:
                if _is_sound(folder, key):
                    return
                for name in os.listdir(folder):  # noqa: PTH208 - of a descriptor
                    with suppress(FileNotFoundError):
                        os.unlink(name, dir_fd=folder)
        raise StoreError(f"expected the damaged entry {final} to give way; remove it, and run again")

    def _check_space(self, need: int) -> None:
        if shutil.disk_usage(self.root).free < need + SPARE_BYTES:
            raise OSError(errno.ENOSPC, "no space")


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """Open a folder: what is read and removed through the descriptor is in it, whatever its name is now."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _files(folder: int) -> Packed:
    files = {}
    for name in sorted(set(os.listdir(folder)) & set(NAMES)):
        with open(name, "rb", opener=partial(os.open, dir_fd=folder)) as file:
            files[name] = file.read()
    if not files:
        raise FileNotFoundError(errno.ENOENT, "the entry is empty")
    return Packed(files)


def _is_sound(folder: int, key: str) -> bool:
    try:
        verify(_files(folder), key)
    except (StoreError, FileNotFoundError):  # any other error does not say that it is damaged
        return False
    return True


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
