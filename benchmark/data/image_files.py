"""The files of a user's images, class by class, and what else lies beside them."""

import hashlib
import os
from collections import Counter
from pathlib import Path

from .error import DataError
from .split_names import is_hidden

__all__ = ["image_files", "path_id"]

# those of torchvision's ImageFolder, and a few names more of the same formats
EXTENSIONS = (
    *(".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"),
    *(".gif", ".jfif", ".jpe", ".pbm"),
)

NOTES = (
    *("", ".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml"),
    *(".html", ".pdf", ".log", ".ini", ".db", ".py"),
)
"""Suffixes of what may lie beside images: it is counted. Any other may be an image, and is refused."""


def image_files(source: Path, classes: list[str]) -> tuple[dict[str, list[Path]], str]:
    """List the images of each class, however deep they lie, and say what else lies there.

    Args:
        source: The folder of the classes' folders.
        classes: Their names.

    Raises:
        DataError: A class has no image, an image lies in no class, or a file may be an image that cannot be
            read.
    """
    beside = [file for file in sorted(source.iterdir()) if file.is_file() and not is_hidden(file.name)]
    if loose := [file.name for file in beside if file.suffix.lower() in EXTENSIONS]:
        raise DataError(
            f"expected images to lie in the folders of their classes, got {len(loose)} in {source} itself, "
            f"the first {loose[0]}"
        )
    found: dict[str, list[Path]] = {}
    for label in classes:
        files = _visible_files(source / label)
        found[label] = [file for file in files if file.suffix.lower() in EXTENSIONS]
        beside += [file for file in files if file.suffix.lower() not in EXTENSIONS]
        if not found[label]:
            raise DataError(f"expected the class '{label}' to have images, got none in {source / label}")
    if unread := [file for file in beside if file.suffix.lower() not in NOTES]:
        raise DataError(
            f"expected images of {source} to be one of {', '.join(EXTENSIONS)}, got {len(unread)} others, "
            f"the first {unread[0].relative_to(source)}: convert them, move them or hide them"
        )
    return found, _note(beside)


def path_id(root: Path, file: Path) -> int:
    """Hash the path below the root to 63 bits, as many as an int64 has."""
    return int.from_bytes(hashlib.sha256(file.relative_to(root).as_posix().encode()).digest()[:8], "big") >> 1


def _visible_files(folder: Path) -> list[Path]:
    files = []
    for place, inner, names in os.walk(folder, followlinks=True):
        inner[:] = [name for name in inner if not is_hidden(name)]
        files += [Path(place, name) for name in names if not is_hidden(name)]
    return files


def _note(beside: list[Path]) -> str:
    """Count the files that are not read by their suffix."""
    if not beside:
        return ""
    counts = Counter(file.suffix.lower() or "without suffix" for file in beside)
    kinds = ", ".join(f"{times} {suffix}" for suffix, times in sorted(counts.items()))
    return f"not read, no images: {kinds}"
