"""Large arrays of decoded images, kept in a file and mapped into memory.

A file is numpy's, with two digests behind the array: of what it was made of (the files' paths, sizes and
times of change), and of the array. One that is stale or damaged is made again in its place.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray

from ...models.files import images_root

__all__ = ["Kept"]

LARGE = 2**30
"""Bytes, more than which an array is kept: below, decoding takes seconds."""

DIGEST = 32  # bytes of a sha256


class Kept:
    """The file of one array.

    Args:
        files: What the array is made of.
        what: All else that decides it, and whose it is; arrays of one ``what`` have one file.
    """

    def __init__(self, files: Iterable[Path], *what: object) -> None:
        self._files = list(files)
        self.path = images_root() / f"{hashlib.sha256(repr(what).encode()).hexdigest()[:32]}.npy"
        self._temporary = self.path.with_name(f".{self.path.stem}.{os.getpid()}.tmp")

    @cached_property
    def _key(self) -> bytes:
        digest = hashlib.sha256(PIL.__version__.encode())
        for file in self._files:
            state = file.stat()
            digest.update(f"{file}\0{state.st_size}\0{state.st_mtime_ns}\0".encode())
        return digest.digest()

    def is_large(self, shape: tuple[int, ...]) -> bool:
        """Tell whether an array of this shape is kept."""
        return int(np.prod(shape, dtype=np.int64)) > LARGE

    def find(self) -> NDArray[np.uint8] | None:
        """Map the array into memory if it is there, of these very files and undamaged."""
        if not self.path.exists():
            return None
        try:
            with self.path.open("rb") as file:
                file.seek(-2 * DIGEST, os.SEEK_END)
                key, content = file.read(DIGEST), file.read(DIGEST)
            # "c": written pages are this process's own
            x = np.lib.format.open_memmap(self.path, mode="c")
        except (OSError, ValueError):
            return None
        sound = x.dtype == np.uint8 and key == self._key and content == hashlib.sha256(x.data).digest()
        return x if sound else None

    def new(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Make an array to be filled and given to `finish`.

        Raises:
            OSError: The disk has no room for it, or it cannot be written; one line says what to do.
        """
        needed = int(np.prod(shape, dtype=np.int64))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # asked before: a full disk kills a process that writes to a mapped file
            free = shutil.disk_usage(self.path.parent).free
            if free >= needed * 1.05:
                return np.lib.format.open_memmap(self._temporary, mode="w+", dtype=np.uint8, shape=shape)
        except OSError as error:
            raise OSError(
                f"cannot keep decoded images in {self.path.parent}: {error.strerror}; another place: "
                "GMBENCH_IMAGES"
            ) from error
        raise OSError(
            f"expected {self.path.parent} to have {needed / 1e9:.1f} GB free for decoded images, got "
            f"{free / 1e9:.1f} GB; another place: GMBENCH_IMAGES"
        )

    def finish(self, x: np.memmap) -> NDArray[np.uint8]:
        """Put the array that `new` gave where it is found, and map it from there."""
        x.flush()
        with self._temporary.open("ab") as file:
            file.write(self._key + hashlib.sha256(x.data).digest())
            file.flush()
            os.fsync(file.fileno())
        self._temporary.replace(self.path)
        return np.lib.format.open_memmap(self.path, mode="c")

    def clean(self) -> None:
        """Remove what was begun and not finished."""
        with suppress(OSError):  # where nothing could be begun
            self._temporary.unlink()
