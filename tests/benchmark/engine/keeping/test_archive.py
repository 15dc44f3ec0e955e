"""Entries as one file: they come back as they were, and a damaged or hostile file stores nothing."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from gmbench.benchmark.engine.entry import Entry, StoreError, key_of
from gmbench.benchmark.engine.keeping.archive import ArchiveError, read_archive, write_archive
from gmbench.benchmark.engine.store import Store

Members = dict[str, bytes]


def entry(number: int) -> Entry:
    images = torch.rand(2, 1, 3, 3, generator=torch.Generator().manual_seed(number))
    return Entry({"work": number}, pd.DataFrame({"id": [1, 2], "score": [0.5, number]}), images)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    for number in range(3):
        store.write(entry(number))
    return store


@pytest.fixture
def file(tmp_path: Path, store: Store) -> Path:
    write_archive(tmp_path / "all.tar", store, store.keys())
    return tmp_path / "all.tar"


def contents(store: Store) -> dict[str, bytes]:
    files = sorted(store.root.glob("??/*/*"))
    return {str(path.relative_to(store.root)): path.read_bytes() for path in files}


def members(file: Path) -> Members:
    with tarfile.open(file) as archive:
        return {one.name: archive.extractfile(one).read() for one in archive}  # type: ignore[union-attr]


def rewritten(file: Path, changed: Members) -> Path:
    with tarfile.open(file, "w") as archive:
        for name, content in changed.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file


def test_entries_come_back_as_they_were_and_what_is_there_stays(
    tmp_path: Path, store: Store, file: Path
) -> None:
    other = Store(tmp_path / "other")
    other.write(Entry(entry(1).description, pd.DataFrame({"id": [7]})))
    assert read_archive(file, other) == (2, 1)
    assert read_archive(file, other) == (0, 3)
    theirs = other.read(entry(1).description)
    assert theirs is not None
    assert theirs.table["id"].tolist() == [7]
    other.remove(key_of(entry(1).description))
    assert read_archive(file, other) == (1, 2)
    assert contents(other) == contents(store)


def test_the_same_entries_give_the_same_file(tmp_path: Path, store: Store, file: Path) -> None:
    size = write_archive(tmp_path / "again.tar", store, list(reversed(store.keys())))
    assert (tmp_path / "again.tar").read_bytes() == file.read_bytes()
    assert size == file.stat().st_size


def test_a_damaged_entry_is_not_exported(tmp_path: Path, store: Store) -> None:
    path = store.path(key_of(entry(1).description)) / "table.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    (tmp_path / "all.tar").write_text("what was there")
    with pytest.raises(StoreError, match="is damaged"):
        write_archive(tmp_path / "all.tar", store, store.keys())
    assert (tmp_path / "all.tar").read_text() == "what was there"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.tar", "store"]


def foreign(name: str) -> Callable[[Members], Members]:
    return lambda files: {**files, name: b"x"}


def swapped(files: Members) -> Members:
    """Give each entry the next one's files: sound, and under another key."""
    keys = sorted({name.split("/")[0] for name in files if "/" in name})
    following = dict(zip(keys, keys[1:] + keys[:1], strict=True))
    index = {"store.json": files["store.json"]}
    moved = {
        "/".join((following[name.split("/")[0]], name.split("/")[1])): content
        for name, content in files.items()
        if "/" in name
    }
    return index | dict(sorted(moved.items()))


KEY = key_of(entry(0).description)


@pytest.mark.parametrize(
    "change",
    [
        foreign("../escape"),
        foreign("/tmp/escape"),
        foreign(f"{KEY}/../../escape"),
        foreign(f"{KEY}/code.py"),
        foreign(f"{'/' * 64}/entry.json"),
        foreign("x.pkl"),
        swapped,
        lambda files: {name: files[name] for name in files if name != "store.json"},
        lambda files: {name: files[name] for name in list(files)[:-3]},
        lambda files: {**files, "store.json": b"[]"},
        lambda files: {**files, "store.json": b'{"format": "gmbench store 1", "entries": []}'},
        lambda files: {**files, "store.json": b'{"format": "gmbench store 2", "entries": []}'},
        lambda files: {**files, f"{KEY}/entry.json": b"{}"},
        lambda files: {**files, f"{KEY}/table.parquet": b"PAR1"},
        lambda _: {},
    ],
    ids=range(15),
)
def test_another_file_stores_nothing_and_escapes_nowhere(
    tmp_path: Path, file: Path, change: Callable[[Members], Members]
) -> None:
    rewritten(file, change(members(file)))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ArchiveError) as caught:
        read_archive(file, Store(tmp_path / "other"))
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before
    assert not Path("/tmp/escape").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
def test_a_member_that_is_no_plain_file_is_refused(tmp_path: Path, file: Path, kind: bytes) -> None:
    with tarfile.open(file, "a") as archive:
        member = tarfile.TarInfo(f"{KEY}/table.parquet")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(ArchiveError, match="nothing else"):
        read_archive(file, Store(tmp_path / "other"))
    assert not (tmp_path / "other").exists()


def test_a_member_larger_than_the_file_is_refused(tmp_path: Path, file: Path) -> None:
    """Before so much memory is asked for."""
    with tarfile.open(file, "w") as archive:
        member = tarfile.TarInfo("store.json")
        member.size = 2**40
        archive.addfile(member)
    with pytest.raises(ArchiveError, match="nothing else"):
        read_archive(file, Store(tmp_path / "other"))


def test_whatever_byte_is_wrong_nothing_else_is_stored(tmp_path: Path, store: Store, file: Path) -> None:
    sound, expected = file.read_bytes(), contents(store)
    draw = torch.Generator().manual_seed(0)
    for trial, place in enumerate(torch.randint(len(sound), (60,), generator=draw).tolist()):
        content = bytearray(sound)
        if trial % 3:
            content[place] ^= 1 << trial % 8
        else:
            del content[place:]
        file.write_bytes(content)
        other = Store(tmp_path / f"other{trial}")
        try:
            read_archive(file, other)
        except ArchiveError:
            assert not other.root.exists()
        else:  # a byte of the padding, or a date
            assert contents(other) == expected


@pytest.mark.parametrize("content", [b"", b"no archive", b"\0" * 10240, json.dumps({}).encode()])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ArchiveError, match="expected"):
        read_archive(tmp_path / "file", Store(tmp_path / "other"))
