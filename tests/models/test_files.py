"""Files are there whole or not at all, in the place that the user chose, under names that can be files."""

import os
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest

from gmbench.benchmark.engine.suite import SuiteError, load_suite
from gmbench.models import load_recipe
from gmbench.models.files import (
    LONGEST_NAME,
    check_name,
    data_root,
    models_root,
    put_folder,
    store_root,
    write_file,
)
from gmbench.models.recipe import RECIPES

HOSTILE = (
    "",
    ".",
    "..",
    "../../x",
    "/abs/x",
    "my/net",
    "a\\b",
    "two\nlines",
    "ends with one\n",
    "a b",
    "=cmd|' /C calc'!A0",
    "@sum(1)",
    "+1",
    "-rf",
    ".hidden",
    "<b>",
    "a|b",
    "`x`",
    "nul\0",
    "x" * 300,
)


@pytest.mark.parametrize("name", ["mnist-lgm-s0", "a", "_a", "7", "my.net+2", "größer", "x" * LONGEST_NAME])
def test_names_that_are_fine(name: str) -> None:
    assert check_name("it", name) == name


@pytest.mark.parametrize("name", [*HOSTILE, None, 3])
def test_names_that_are_refused_in_one_short_line(name: object) -> None:
    with pytest.raises(KeyError) as caught:
        check_name("a defense's name", name, KeyError)
    (message,) = caught.value.args
    assert message.startswith("expected a defense's name to be a name of letters, digits and _ . + -, ")
    assert "\n" not in message
    assert len(message) < 250


@pytest.mark.parametrize("name", HOSTILE)
def test_a_suite_an_attack_and_a_recipe_have_names(tmp_path: Path, name: str) -> None:
    written = '"' + "".join(f"\\u{ord(character):04x}" for character in name) + '"'
    digits = (Path(__file__).parents[2] / "benchmark" / "suites" / "digits-v1.toml").read_text()
    path = tmp_path / "mine.toml"
    for old, new, what in (
        ('name = "digits-v1"', f"name = {written}", "'name'"),
        ('label = "fgsm"', f"label = {written}", "'label'"),
    ):
        assert old in digits
        path.write_text(digits.replace(old, new))
        with pytest.raises(SuiteError, match=rf"expected {what} to be a name of letters") as caught:
            load_suite(str(path))
        assert "\n" not in str(caught.value)
    recipe = (RECIPES / "digits-lgm.toml").read_text()
    path.write_text(recipe.replace('name = "digits-lgm"', f"name = {written}"))
    with pytest.raises(ValueError, match="expected 'name' to be a name of letters"):
        load_recipe(str(path))


@pytest.mark.parametrize(
    ("root", "kind"), [(store_root, "store"), (data_root, "data"), (models_root, "models")]
)
def test_the_places(
    root: Callable[..., Path], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(f"GMBENCH_{kind.upper()}", raising=False)
    assert root() == platformdirs.user_cache_path("gmbench") / kind
    monkeypatch.setenv(f"GMBENCH_{kind.upper()}", str(tmp_path / "environment"))
    assert root() == tmp_path / "environment"
    assert root(Path("~/option")) == Path.home() / "option"
    assert not (tmp_path / "environment").exists()


def test_a_file_is_replaced_or_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_file(path, b"first")
    write_file(path, b"second")
    assert path.read_bytes() == b"second"

    def full(_: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_file(path, b"third")
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def make(folder: Path, content: str) -> Path:
    folder.mkdir()
    (folder / "file").write_text(content)
    return folder


def test_a_folder_is_replaced_or_stays(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "folder"
    for content in ("first", "second"):
        put_folder(make(tmp_path / "built", content), folder)
        assert (folder / "file").read_text() == content
    with pytest.raises(OSError, match="nothing"):
        put_folder(tmp_path / "nothing", folder)
    assert (folder / "file").read_text() == "second"
    assert list(folder.parent.iterdir()) == [folder]
    assert list(tmp_path.iterdir()) == [folder.parent]


def test_what_a_kill_put_aside_is_not_lost(tmp_path: Path) -> None:
    make(tmp_path / ".folder.old", "first")
    with pytest.raises(OSError, match="nothing"):
        put_folder(tmp_path / "nothing", tmp_path / "folder")
    assert (tmp_path / "folder" / "file").read_text() == "first"
