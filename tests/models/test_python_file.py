"""A user's file runs with what lies beside it, as it is now, and its sources are all that it imports."""

from pathlib import Path

import pytest

from gmbench.models.python_file import running, sources


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / f"{name.replace('__in__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "main.py"


def read(path: Path) -> tuple[int, list[bytes]]:
    with running(path, ValueError) as module:
        return module.VALUE, sources(module)


MAIN = "import math\nimport numpy\nimport torch\nimport gmbench\nfrom near_one import VALUE\n"


@pytest.mark.parametrize(
    "edited", ["main", "near_one", "near_two", "near_package__in__inner", "near_package__in____init__"]
)
def test_an_edit_of_anything_imported_changes_the_sources(tmp_path: Path, edited: str) -> None:
    files = {
        "main": MAIN,
        "near_one": "import near_two\nfrom near_package import inner\nVALUE = near_two.VALUE + inner.VALUE\n",
        "near_two": "VALUE = 1\n",
        "near_package__in____init__": "",
        "near_package__in__inner": "from . import deeper\nVALUE = 1 + deeper.VALUE\n",
        "near_package__in__deeper": "VALUE = 1\n",
    }
    path = write(tmp_path, **files)
    value, before = read(path)
    assert value == 3
    assert read(path) == (value, before)
    write(tmp_path, **{edited: files[edited] + "# \n"})
    assert read(path)[1] != before


def test_an_edit_within_the_second_is_run(tmp_path: Path) -> None:
    """Python tells a compiled file from its source by the second and the size."""
    for value in range(5):
        path = write(tmp_path, main=MAIN, near_one=f"VALUE = {value}\n")
        assert read(path)[0] == value


def test_neither_python_nor_packages_nor_gmbench_nor_what_lies_beside_unused_is_a_source(
    tmp_path: Path,
) -> None:
    path = write(tmp_path, main=MAIN, near_one="VALUE = 1\n", near_unused="VALUE = 2\n")
    assert read(path)[1] == [MAIN.encode(), b"near_one", b"VALUE = 1\n"]


def test_where_the_files_lie_does_not_matter(tmp_path: Path) -> None:
    both = [read(write(tmp_path / name, main=MAIN, near_one="VALUE = 1\n")) for name in ("here", "there")]
    assert both[0] == both[1]


def test_two_files_have_each_its_own_helper_of_one_name(tmp_path: Path) -> None:
    for value in (1, 2):
        path = write(tmp_path / str(value), main=MAIN, near_one=f"VALUE = {value}\n")
        assert read(path)[0] == value


def test_what_is_imported_while_it_builds_is_a_source(tmp_path: Path) -> None:
    path = write(tmp_path, main="def build():\n    import near_late\n", near_late="VALUE = 1\n")
    with running(path, ValueError) as module:
        assert sources(module) == [path.read_bytes()]
        module.build()
        assert sources(module)[1:] == [b"near_late", b"VALUE = 1\n"]
