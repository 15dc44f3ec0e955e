"""Files whose md5 is known: what is hashed is what is read, and what is downloaded is hashed."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO

from ..error import DataError

__all__ = ["VerifiedFile", "download", "fetching"]


@dataclass(frozen=True)
class VerifiedFile:
    """One file of a data set.

    Args:
        title: The data set for people, "CIFAR-10".
        name: The data set by name, "cifar10".
        place: Of the file below the root of all data.
        md5: Of its content, hexadecimal.
    """

    title: str
    name: str
    place: str
    md5: str

    def open(self, root: Path) -> BinaryIO:
        """Open the file if it is what it should be; whoever reads it closes it.

        Raises:
            DataError: It is missing, unreadable or another; the message has the command that fetches it.
        """
        with self._telling(root):
            file = (root / self.place).open("rb")
            try:
                self._check(root, hashlib.file_digest(file, _md5).hexdigest())
                file.seek(0)
            except BaseException:
                file.close()
                raise
            return file

    def read(self, root: Path) -> bytes:
        """Read the file if it is what it should be; those bytes that were hashed are given.

        Raises:
            DataError: As `open`.
        """
        with self._telling(root):
            content = (root / self.place).read_bytes()
        self._check(root, _md5(content).hexdigest())
        return content

    @contextmanager
    def _telling(self, root: Path) -> Iterator[None]:
        """Say of a file that cannot be read how to fetch it."""
        command = f"gmbench data {self.name}"
        try:
            yield
        except FileNotFoundError as error:
            raise DataError(
                f"{self.title} not found under {root}: no {self.place}; fetch it with: {command}"
            ) from error
        except OSError as error:
            raise DataError(
                f"cannot read {root / self.place}: {error.strerror}; fetch it with: {command}"
            ) from error

    def _check(self, root: Path, found: str) -> None:
        if found != self.md5:
            raise DataError(
                f"expected {root / self.place} to have md5 {self.md5}, got {found}; "
                f"fetch it again with: gmbench data {self.name}"
            )

    def is_sound(self, root: Path) -> bool:
        """Tell whether it is there and what it should be."""
        try:
            self.open(root).close()
        except DataError:
            return False
        return True

    def fetch(self, root: Path, urls: Callable[[], Sequence[str]]) -> None:
        """Download it unless it is there and sound.

        Args:
            root: Of all data.
            urls: Gives the places that have it, asked for only if need be.

        Raises:
            DataError: No place gives it; the message says how to place it by hand.
        """
        if not self.is_sound(root):
            path = root / self.place
            fetching(self.title, path.parent, lambda: download(urls(), path, self.md5), path.name)


def fetching(title: str, folder: Path, fetch: Callable[[], None], file: str = "") -> None:
    """Run ``fetch``, and say in one line why it failed and what else can be done.

    Raises:
        DataError: It failed.
    """
    try:
        fetch()
    except (OSError, RuntimeError, HTTPException) as error:
        cause = str(error).replace("\n", " ")
        by_hand = f"; by hand: place {file} there" if file else ""
        raise DataError(
            f"cannot fetch {title} into {folder}: {cause}{by_hand}; another place: --data-root or "
            "GMBENCH_DATA"
        ) from error


def download(urls: Sequence[str], path: Path, md5: str) -> None:
    """Download from the first place that gives the right file, under torchvision's progress bar.

    Raises:
        RuntimeError: None does.
    """
    # Imported late: this takes a second, which only who downloads should wait.
    from torchvision.datasets.utils import download_url

    failures = []
    for url in urls:
        try:
            download_url(url, str(path.parent), path.name, md5)
            return
        except (OSError, RuntimeError, HTTPException) as error:
            failures.append(f"{url}: {error}")
    raise RuntimeError("; ".join(failures))


def _md5(content: bytes = b"") -> "hashlib._Hash":
    return hashlib.md5(content, usedforsecurity=False)
