"""Files: where gmbench keeps what it keeps, how it writes, and what has files of its own may be called.

Whatever is written is there whole or not at all: under a temporary name first, synced to disk, renamed.
"""

import os
import re
import shutil
from pathlib import Path
from typing import Annotated, Any

import platformdirs
from pydantic import BeforeValidator, ValidationInfo

__all__ = [
    "RECIPES",
    "Name",
    "check_name",
    "data_root",
    "images_root",
    "is_name",
    "models_root",
    "put_folder",
    "store_root",
    "sync",
    "write_file",
]

RECIPES = Path(__file__).parent / "recipes"
"""Where the recipes of gmbench lie."""

LONGEST_NAME = 100

_NAME = re.compile(r"\w[\w.+-]*")


def store_root(option: Path | None = None) -> Path:
    """Tell where finished cells lie; creates nothing.

    Args:
        option: What the user says. Else the environment's GMBENCH_STORE, else the user's cache folder.
    """
    return _root("store", option)


def data_root(option: Path | None = None) -> Path:
    """Tell where data lie; creates nothing.

    Args:
        option: What the user says. Else the environment's GMBENCH_DATA, else the user's cache folder.
    """
    return _root("data", option)


def images_root(option: Path | None = None) -> Path:
    """Tell where large arrays of decoded images are kept; creates nothing.

    Args:
        option: What the user says. Else the environment's GMBENCH_IMAGES, else the user's cache folder.
    """
    return _root("images", option)


def models_root(option: Path | None = None) -> Path:
    """Tell where fetched models lie; creates nothing.

    Args:
        option: What the user says. Else the environment's GMBENCH_MODELS, else the user's cache folder.
    """
    return _root("models", option)


def check_name(what: str, name: object, error: type[Exception] = ValueError) -> str:
    """Give the name back if files, tables and pages can hold it.

    Args:
        what: Whose name it is, for the message.
        name: Letters, digits, ``_ . + -``, the first a letter, a digit or ``_``.
        error: What to raise.

    Raises:
        ValueError: Or ``error``: it is another, empty, or longer than `LONGEST_NAME`.
    """
    if not is_name(name):
        shown = repr(name)
        if len(shown) > LONGEST_NAME:
            shown = f"{shown[:40]}... ({len(str(name))} characters)"
        raise error(
            f"expected {what} to be a name of letters, digits and _ . + -, the first a letter or digit, "
            f"at most {LONGEST_NAME} long, got {shown}"
        )
    return str(name)


def is_name(name: object) -> bool:
    """Tell whether `check_name` lets it pass."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None and len(name) <= LONGEST_NAME


def _checked(value: Any, field: ValidationInfo) -> Any:
    return check_name(f"'{field.field_name}'", value) if isinstance(value, str) else value


Name = Annotated[str, BeforeValidator(_checked)]
"""A field that holds a name, see `check_name`."""


def write_file(path: Path, content: bytes) -> None:
    """Write a file in the place of the one that may be there; a kill leaves one of the two, whole.

    Raises:
        OSError: It cannot be written; what was there is there still.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def put_folder(built: Path, folder: Path) -> None:
    """Put a folder that was built beside it in the place of ``folder``, or leave that as it is.

    Args:
        built: On the same disk; gone afterwards.
        folder: New, or replaced as a whole.

    Raises:
        OSError: It cannot be put there.
    """
    old = folder.with_name(f".{folder.name}.old")
    folder.parent.mkdir(parents=True, exist_ok=True)
    if old.exists() and not folder.exists():  # a kill came between the two renames below
        old.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    try:
        built.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def sync(folder: Path) -> None:
    """Have the disk know a folder's names."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _root(kind: str, option: Path | None) -> Path:
    if option is not None:
        return option.expanduser()
    if from_environment := os.environ.get(f"GMBENCH_{kind.upper()}"):
        return Path(from_environment).expanduser()
    return platformdirs.user_cache_path("gmbench") / kind
