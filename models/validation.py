"""Checks what a user writes in a file: suites, recipes, cards; the options in them are checked by `registry`.

pydantic compares values with types; this module says what it finds in our words, one line each:
``expected <what> to <be> <constraint>, got <value>``, with the nearest right name for a misspelt one.
"""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from .registry import check_known, shown

__all__ = ["Several", "Written", "check_once", "explain", "read_toml"]

MISSPELT = ("extra_forbidden", "unexpected_keyword_argument")
"""What pydantic calls a key that no field has."""

T = TypeVar("T")

Several = Annotated[
    tuple[T, ...], BeforeValidator(lambda value: tuple(value) if type(value) is list else value)
]
"""A list of a TOML file."""


class Written(BaseModel):
    """A table that a user writes: no unknown key, every value of its very type.

    An integer does for a float.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def read_toml(path: Path, kind: str) -> dict[str, Any]:
    """Read a file that is a ``kind`` ("suite").

    Raises:
        ValueError: There is none, or it is no TOML; one line.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"no {kind} file at {path}") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name} is no valid TOML: {error}") from None


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Put pydantic's first complaint on one line, with the nearest right key for a misspelt one.

    A misspelt key comes first, for it explains a missing one.
    """
    first = min(error.errors(), key=lambda complaint: complaint["type"] not in MISSPELT)
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] in MISSPELT:
        if len(first["loc"]) > 1:
            return f"no key named '{where}'"
        try:
            check_known("key", where, model.model_fields)
        except ValueError as hint:
            return str(hint)
    if first["type"] == "missing":
        return f"expected a key '{where}'"
    message = first["msg"].removeprefix("Value error, ")
    if message.startswith("expected "):  # one of ours, which says all
        return message
    if not where:  # the whole text is wrong, and too long to show
        return message[0].lower() + message[1:]
    return f"expected '{where}' {_constraint(message)}, got {shown(first.get('input'))}"


def check_once(what: str, values: Iterable[object]) -> None:
    """Raise unless every value is there once.

    Raises:
        ValueError: Names the first that is not.
    """
    seen: set[object] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"expected every {what} once, got {shown(value)} twice")
        seen.add(value)


def _constraint(message: str) -> str:
    """Turn pydantic's "Input should be greater than 0" into "to be greater than 0"."""
    if should := re.fullmatch(r"\w+ should (.+?)( after validation.*|, unable to.*)?", message):
        return f"to {should[1].replace('a valid tuple', 'a list')}"
    return f"to be valid: {message[0].lower()}{message[1:]}"
