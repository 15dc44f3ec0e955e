"""What is checked of what a user writes, and how it is said."""

from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field, ValidationError

from gmbench.models.validation import (
    Several,
    Written,
    check_once,
    explain,
    read_toml,
)


class Table(Written):
    name: str
    count: int = Field(1, gt=0)
    sizes: Several[float] = ()
    kind: Literal["a", "b"] = "a"


def complaint(**values: object) -> str:
    with pytest.raises(ValidationError) as caught:
        Table(**values)
    return explain(caught.value, Table)


def test_a_right_table_is_read() -> None:
    assert Table(name="x", sizes=[1, 0.5]).sizes == (1.0, 0.5)  # type: ignore[arg-type]  # as TOML has it


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "expected a key 'name'"),
        ({"nam": "x"}, "no key named 'nam'; did you mean 'name'?"),  # not that 'name' is missing
        ({"name": 3}, "expected 'name' to be a valid string, got 3"),
        ({"name": "x", "count": 0}, "expected 'count' to be greater than 0, got 0"),
        ({"name": "x", "count": True}, "expected 'count' to be a valid integer, got True"),
        ({"name": "x", "count": "1"}, "expected 'count' to be a valid integer, got '1'"),
        ({"name": "x", "sizes": 1.0}, "expected 'sizes' to be a list, got 1.0"),
        ({"name": "x", "sizes": [1, "2"]}, "expected 'sizes.1' to be a valid number, got '2'"),
        ({"name": "x", "kind": "c"}, "expected 'kind' to be 'a' or 'b', got 'c'"),
        ({"name": "x", "kind": 99 * "c"}, f"expected 'kind' to be 'a' or 'b', got '{56 * 'c'}..."),
    ],
)
def test_a_mistake_is_told_in_our_words(values: dict[str, object], message: str) -> None:
    assert complaint(**values) == message


def test_what_is_there_twice_is_named() -> None:
    check_once("detector", ["a", "b"])
    with pytest.raises(ValueError, match=r"^expected every detector once, got 'b' twice$"):
        check_once("detector", ["a", "b", "b", "a", "a"])


def test_files_that_are_no_toml(tmp_path: Path) -> None:
    (tmp_path / "good.toml").write_text("a = 1")
    (tmp_path / "bad.toml").write_text("a = = 1")
    assert read_toml(tmp_path / "good.toml", "suite") == {"a": 1}
    for path, message in (
        (tmp_path / "none.toml", "^no suite file at .*none.toml$"),
        (tmp_path, "cannot be read: Is a directory$"),
        (tmp_path / "bad.toml", r"^bad.toml is no valid TOML: "),
    ):
        with pytest.raises(ValueError, match=message):
            read_toml(path, "suite")
