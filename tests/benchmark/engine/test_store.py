"""The store: whole or not at all, found damaged by its checksums, one run at a time."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from gmbench.benchmark.engine.entry import Entry, StoreError, key_of
from gmbench.benchmark.engine.store import Store


def entry(number: int = 1) -> Entry:
    table = pd.DataFrame({"id": [1, 2], "score": [0.5, float(number)]})
    return Entry(
        {"work": number, "eps": float("inf")},
        table,
        torch.rand(2, 1, 3, 3, generator=torch.Generator().manual_seed(number)),
        {"seconds": 1.5},
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    store = Store(tmp_path / "new" / "store")
    assert store.read(entry().description) is None
    store.write(entry())
    found = store.read(entry().description)
    assert found is not None
    assert found.images is not None
    assert torch.equal(found.images, entry().images)  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(found.table, entry().table)
    assert found.facts == {"seconds": 1.5}
    assert store.has(entry().description)
    assert not store.has(entry(2).description)


def test_the_key_is_of_the_description_alone_in_any_order() -> None:
    assert key_of({"a": 1, "b": [2.5]}) == key_of({"b": [2.5], "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})


@pytest.mark.parametrize("name", ["table.parquet", "images.safetensors", "entry.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_damage_is_found_and_mended(tmp_path: Path, name: str, damage: str) -> None:
    store = Store(tmp_path)
    store.write(entry())
    path = store.path(key_of(entry().description)) / name
    content = bytearray(path.read_bytes())
    if damage == "flip":
        place = content.index(b'"work"') + 8 if name == "entry.json" else len(content) // 2
        content[place] ^= 1
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "truncate" else content)
    assert store.read(entry().description) is None
    with pytest.raises(StoreError):
        store.read_key(key_of(entry().description))
    store.write(entry())
    assert store.read(entry().description) is not None


def test_the_same_work_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Store(tmp_path / name).write(entry())
    first, second = (Store(tmp_path / name).path(key_of(entry().description)) for name in ("a", "b"))
    assert all((first / file.name).read_bytes() == file.read_bytes() for file in second.iterdir())


def test_a_full_disk_is_one_line_and_keeps_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    store.write(entry())
    full = shutil._ntuple_diskusage(100, 100, 0)  # type: ignore[attr-defined]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    with pytest.raises(StoreError, match=r"no space left.*finished cells are kept"):
        store.write(entry(2))
    assert store.read(entry().description) is not None
    assert store.keys() == [key_of(entry().description)]


def test_a_disk_that_fills_while_writing_leaves_no_half_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="no space left"):
        Store(tmp_path).write(entry())
    assert Store(tmp_path).keys() == []


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="to be writable"):
        Store(tmp_path / "file").write(entry())


def test_two_runs_do_not_share_a_store(tmp_path: Path) -> None:
    with (
        Store(tmp_path).lock(),
        pytest.raises(StoreError, match="another run uses the store"),
        Store(tmp_path).lock(),
    ):
        pass
    with Store(tmp_path).lock():
        pass


HOLD = """
import sys
from pathlib import Path
from gmbench.benchmark.engine.store import Store

with Store(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_killed_run_leaves_the_lock_free(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match="another run uses the store"), Store(tmp_path).lock():
            pass
        other.kill()
    with Store(tmp_path).lock():
        pass


def test_a_store_that_cannot_be_locked_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file" / "store"):
        with pytest.raises(StoreError, match="to be writable"), Store(root).lock():
            pass


def test_a_key_is_found_by_its_beginning(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(entry())
    assert store.find(key_of(entry().description)[:8]).description["work"] == 1
    with pytest.raises(StoreError, match="got 0"):
        store.find("zzzz")


def test_any_edit_of_the_head_is_damage_but_an_earlier_versions_is_none(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(entry())
    path = store.path(key_of(entry().description)) / "entry.json"
    content = path.read_text()
    for old, new in (("1.5", "1.6"), ('"seconds"', '"secondz"'), ('"sha256"', '"sha257"')):
        path.write_text(content.replace(old, new))
        assert not store.sound(entry().description)
        assert store.head(entry().description) == {"facts": {}, "files": {}}
    head = json.loads(content)
    del head["sha256"]
    path.write_text(json.dumps(head))
    assert store.sound(entry().description)
    assert store.head(entry().description)["facts"] == {"seconds": 1.5}


def test_an_entry_under_another_key_is_damage(tmp_path: Path) -> None:
    """A description that does not hash to the key is no answer to the question."""
    store = Store(tmp_path)
    store.write(entry())
    head = store.path(key_of(entry().description)) / "entry.json"
    content = json.loads(head.read_text())
    content["description"]["work"] = 7
    head.write_text(json.dumps(content))
    assert store.read(entry().description) is None
