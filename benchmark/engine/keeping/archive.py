"""Entries as one file: a cluster's results come home, a reviewer scores anew without attacking.

It is a plain tar: ``store.json``, which lists the keys, then each entry's files as ``KEY/NAME``. Nothing of
it is unpacked to a disk by name: every member is read, must be one that `write_archive` writes, and every
entry is verified before the first is stored.
"""

import io
import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from ..entry import NAMES, Packed, StoreError, unpack
from ..store import Store

__all__ = ["ArchiveError", "read_archive", "write_archive"]

INDEX = "store.json"
FORMAT = "gmbench store 1"


class ArchiveError(ValueError):
    """A file is not what `write_archive` wrote; one line that says why."""


def write_archive(path: Path, store: Store, keys: Sequence[str]) -> int:
    """Write entries to a file, whole or not at all; of the same entries, the same bytes.

    Returns:
        The file's bytes.

    Raises:
        StoreError: An entry is damaged or gone.
        OSError: The file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    index = {"format": FORMAT, "entries": sorted(keys)}
    try:
        with temporary.open("wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
                _add(archive, INDEX, json.dumps(index).encode())
                for key in sorted(keys):
                    packed = store.read_packed(key)
                    unpack(packed, key)
                    for name, content in sorted(packed.files.items()):
                        _add(archive, f"{key}/{name}", content)
            file.flush()
            os.fsync(file.fileno())
        size = temporary.stat().st_size
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return size


def read_archive(path: Path, store: Store) -> tuple[int, int]:
    """Store the entries of a file, after all of them were verified; what is there already stays.

    Returns:
        How many were new, and how many were there.

    Raises:
        ArchiveError: The file is damaged, or was made to do harm.
        OSError: It cannot be read.
        StoreError: The store cannot be written to.
    """
    for key, packed in _entries(path):
        try:
            unpack(packed, key)
        except StoreError as error:
            raise ArchiveError(f"expected {path} to hold sound entries, got: {error}") from None
    store.check_writable()
    new = there = 0
    for key, packed in _entries(path):
        if store.is_sound(key):
            there += 1
        else:
            store.write_packed(packed, key)
            new += 1
    return new, there


def _entries(path: Path) -> Iterator[tuple[str, Packed]]:
    """Give the entries of a file, whose index must name just these."""
    try:
        with tarfile.open(path, mode="r:") as archive:
            files = _files(archive, path)
            name, content = next(files, ("", b""))
            expected = _index(name, content, path)
            found = []
            for key, members in groupby(files, key=lambda member: member[0].split("/")[0]):
                found.append(key)
                yield key, Packed({name.split("/")[1]: content for name, content in members})
    except ArchiveError:
        raise
    except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:
        raise ArchiveError(f"expected {path} to be what gmbench store export wrote, got {error}") from None
    if found != expected:
        raise ArchiveError(
            f"expected {path} to hold {len(expected)} entries, got {len(found)}; is it cut off?"
        )


def _files(archive: tarfile.TarFile, path: Path) -> Iterator[tuple[str, bytes]]:
    whole = path.stat().st_size
    for member in archive:
        key, _, name = member.name.partition("/")
        known = member.name == INDEX or (len(key) == 64 and key.isalnum() and name in NAMES)
        if not known or not member.isreg() or member.issparse() or not 0 <= member.size <= whole:
            raise ArchiveError(
                f"expected {path} to hold entries of a store and nothing else, got {member.name[:100]!r}"
            )
        file = archive.extractfile(member)
        yield member.name, b"" if file is None else file.read()


def _index(name: str, content: bytes, path: Path) -> list[str]:
    try:
        told = json.loads(content) if name == INDEX else None
        if isinstance(told, dict) and told.get("format") == FORMAT and isinstance(told["entries"], list):
            return [str(key) for key in told["entries"]]
    except (ValueError, KeyError):
        pass
    raise ArchiveError(f"expected {path} to begin with the index of '{FORMAT}', got another file")


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
