"""``gmbench data``: sizes, classes in order, what is not read, and a sheet."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def own(tmp_path: Path) -> Path:
    for split in ("train", "val", "test"):
        for name in ("9", "10", "[b]"):
            for i in range(3):
                file = tmp_path / "own" / split / name / f"{i}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (6, 4), (40 * i, 0, 0)).save(file)
    (tmp_path / "own" / "val" / "9" / "list.txt").write_text("")
    return tmp_path / "own"


def test_data_says_what_there_is(
    gmbench: Callable[..., int], own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"folder:{own}?classes=[b],9,10&mode=L"
    assert gmbench("data", name, "--sheet", tmp_path / "sheet.png") == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.rpartition(", sha256")[0] for line in told[0:5:2]] == [
        f"{name} train: 9 images (1, 4, 6), 3 classes",
        f"{name} validation: 9 images (1, 4, 6), 3 classes",
        f"{name} test: 9 images (1, 4, 6), 3 classes",
    ]
    assert told[1] == "classes in order: 0 [b], 1 9, 2 10"
    assert told[3] == "not read, no images: 1 .txt"
    assert told[-2:] == [f"in {own}", f"some images of each class: {tmp_path / 'sheet.png'}"]
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size[0] > 200


def test_the_sheet_is_in_the_cache_where_nothing_is_said(
    gmbench: Callable[..., int], own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GMBENCH_IMAGES", str(tmp_path / "cache"))
    assert gmbench("data", f"folder:{own}?resize=2") == 0
    [sheet] = (tmp_path / "cache" / "sheets").iterdir()
    assert sheet.name.endswith("own-resize-2.png")


@pytest.mark.parametrize(
    ("sheet", "message"),
    [
        ("sheet.svg", "expected --sheet to be a .png file, got "),
        ("file/sheet.png", "cannot write the sheet "),
    ],
)
def test_a_sheet_that_cannot_be_written_is_one_line(
    gmbench: Callable[..., int],
    own: Path,
    tmp_path: Path,
    sheet: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    assert gmbench("data", f"folder:{own}", "--sheet", tmp_path / sheet) in (1, 2)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {message}")
