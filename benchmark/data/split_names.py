"""Which folders and files of a user are which split, and which are nothing at all."""

import re
from pathlib import Path

__all__ = ["folders_of", "is_hidden", "split_named"]

WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}

BESIDE = {"", "seg", "set", "data", "dataset", "image", "images", "img", "imgs", "split"}
"""Words that may stand beside: ``seg_train``, ``test_set``, ``val2017``."""

IGNORED = {"__MACOSX", "__pycache__", "@eaDir"}
"""What systems leave in folders; no one's data."""


def split_named(name: str) -> str | None:
    """Tell the split that a folder or file is called after, None for another name."""
    words = set(re.split(r"[^a-z]+", name.lower())) - BESIDE
    [split] = words if len(words) == 1 else [""]
    return WORDS.get(split)


def is_hidden(name: str) -> bool:
    """Tell whether a folder or file of this name is never looked at."""
    return name.startswith(".") or name in IGNORED


def folders_of(path: Path) -> list[str]:
    """Name the folders in a folder that are not hidden; none where there is no folder."""
    if not path.is_dir():
        return []
    return sorted(entry.name for entry in path.iterdir() if entry.is_dir() and not is_hidden(entry.name))
