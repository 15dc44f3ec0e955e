"""The store: whole or not at all, found damaged by its checksums, shared by whoever comes."""

import errno
import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pandas as pd
import pytest
import torch

from gmbench.benchmark.engine.entry import HEAD, Entry, Packed, StoreError, key_of, pack, verify
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
    without = store.read(entry().description, with_images=False)
    assert without is not None
    assert without.images is None
    pd.testing.assert_frame_equal(without.table, entry().table)
    assert store.has(entry().description)
    assert not store.has(entry(2).description)


def test_the_key_is_of_the_description_alone_in_any_order() -> None:
    assert key_of({"a": 1, "b": [2.5]}) == key_of({"b": [2.5], "a": 1})
    assert key_of({"a": 1}) != key_of({"a": 2})


@pytest.mark.parametrize("name", ["table.parquet", "images.parquet", "entry.json"])
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


@pytest.mark.parametrize("error", [errno.EROFS, errno.EACCES, errno.EIO])
def test_a_store_that_cannot_be_written_is_found_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    def refused(_: int) -> None:
        raise OSError(error, os.strerror(error))

    Store(tmp_path).check_writable()
    monkeypatch.setattr(os, "fsync", refused)
    with pytest.raises(StoreError, match=f"to be writable, got: {os.strerror(error)}"):
        Store(tmp_path).check_writable()
    for root in (tmp_path / "file", tmp_path / "file" / "store"):
        (tmp_path / "file").write_text("")
        with pytest.raises(StoreError, match="to be writable"):
            Store(root).check_writable()


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_store_is_found_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    def full(_: int) -> None:
        raise OSError(error, os.strerror(error))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="no space left"):
            Store(tmp_path).check_writable()
    little = shutil._ntuple_diskusage(2**30, 2**30, 2**20)  # type: ignore[attr-defined]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: little)
    with pytest.raises(StoreError, match="no space left"):
        Store(tmp_path).check_writable()
    assert not list((tmp_path / "tmp").iterdir())


def test_what_dead_runs_left_is_swept_and_what_others_write_is_not(tmp_path: Path) -> None:
    old, new = tmp_path / "tmp" / "old", tmp_path / "tmp" / "new"
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "table.parquet").write_text("half")
    yesterday = time.time() - 25 * 3600
    os.utime(old, (yesterday, yesterday))
    Store(tmp_path).check_writable()
    assert [path.name for path in (tmp_path / "tmp").iterdir()] == ["new"]


def test_the_first_sound_entry_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(entry())
    store.write(replace(entry(), facts={"seconds": 2.5}))
    assert store.head(entry().description)["facts"] == {"seconds": 1.5}
    assert not list((tmp_path / "tmp").iterdir())


def test_what_is_removed_is_gone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number in (1, 2):
        store.write(entry(number))
    store.remove(key_of(entry(1).description))
    store.remove(key_of(entry(1).description))
    assert store.keys() == [key_of(entry(2).description)]
    assert not list((tmp_path / "tmp").iterdir())


def test_what_is_damaged_is_not_written(tmp_path: Path) -> None:
    """It may come from another machine."""
    files = dict(pack(entry()).files)
    files["table.parquet"] += b"x"
    with pytest.raises(StoreError, match="is damaged"):
        Store(tmp_path).write_packed(Packed(files), key_of(entry().description))
    with pytest.raises(StoreError, match="is damaged"):
        Store(tmp_path).write_packed(pack(entry(2)), key_of(entry().description))
    assert Store(tmp_path).keys() == []


def test_a_damaged_entry_that_cannot_be_read_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the disk does not say that what is there is damaged."""
    store = Store(tmp_path)
    store.write(entry())

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", broken)
        with pytest.raises(StoreError, match="Input/output error"):
            store.write(entry())
    assert store.sound(entry().description)


ROUNDS, WRITERS = 15, 4


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("damaged", [False, True])
def test_many_processes_on_one_key(tmp_path: Path, damaged: bool) -> None:
    """All write it and read it at once: nobody sees it torn, and whoever saw it sees that very one again."""
    store = Store(tmp_path)
    if damaged:
        for number in range(ROUNDS):
            store.write(entry(number))
            path = store.path(key_of(entry(number).description)) / ["table.parquet", HEAD][number % 2]
            path.write_bytes(path.read_bytes()[:-9])
    # of each its own facts; packed here, as a forked process may not ask pyarrow
    packed = [
        [pack(replace(entry(number), facts={"writer": writer})) for number in range(ROUNDS)]
        for writer in range(WRITERS)
    ]
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(WRITERS)
    others = [context.Process(target=_hammer, args=(tmp_path, barrier, own)) for own in packed]
    for other in others:
        other.start()
    for other in others:
        other.join(60)
    assert [other.exitcode for other in others] == [0] * WRITERS
    assert all(store.sound(entry(number).description) for number in range(ROUNDS))
    assert not list((tmp_path / "tmp").iterdir())


def _hammer(root: Path, barrier: Barrier, packed: Sequence[Packed]) -> None:
    store, seen = Store(root), []
    for number, own in enumerate(packed):
        key = key_of(entry(number).description)
        barrier.wait(60)
        store.write_packed(own, key)
        for _ in range(5):
            found = store.read_packed(key)
            verify(found, key)
            seen.append(found.files[HEAD])
            assert seen[-1] == seen[number * 5], "another one came in its place"


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
