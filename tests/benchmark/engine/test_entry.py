"""An entry's files: what is packed is unpacked, and nothing else is."""

import hashlib
import json
from collections.abc import Callable, Mapping

import pandas as pd
import pytest
import safetensors.torch
import torch

from gmbench.benchmark.engine.entry import HEAD, Entry, Packed, StoreError, key_of, pack, unpack


def entry(number: int = 1) -> Entry:
    return Entry(
        {"work": number, "eps": float("inf")},
        pd.DataFrame({"id": [1, 2], "score": [0.5, float(number)]}),
        torch.rand(2, 1, 3, 3, generator=torch.Generator().manual_seed(number)),
        {"seconds": 1.5},
        {"means_": torch.ones(2, 3, dtype=torch.float64)},
    )


KEY = key_of(entry().description)
NAMES = (HEAD, "table.parquet", "images.parquet", "tensors.safetensors")


def test_what_is_packed_is_unpacked() -> None:
    found = unpack(pack(entry()), KEY)
    assert dict(found.description) == dict(entry().description)
    pd.testing.assert_frame_equal(found.table, entry().table)
    assert torch.equal(found.images, entry().images)  # type: ignore[arg-type]
    assert found.facts == {"seconds": 1.5}
    assert found.tensors.keys() == {"means_"}
    assert torch.equal(found.tensors["means_"], entry().tensors["means_"])
    assert unpack(pack(Entry({"work": 1}, entry().table)), key_of({"work": 1})).images is None
    assert unpack(pack(Entry({"work": 1})), key_of({"work": 1})).table.empty


def test_the_same_work_gives_the_same_bytes() -> None:
    assert pack(entry()).files == pack(entry()).files
    assert set(pack(entry()).files) == set(NAMES)


def test_images_of_earlier_versions_are_read() -> None:
    files = dict(pack(entry()).files)
    del files["images.parquet"]
    files["images.safetensors"] = safetensors.torch.save({"images": entry().images})
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items() if name != HEAD}
    found = unpack(_renamed(files, lambda _: digests), KEY)
    assert torch.equal(found.images, entry().images)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "empty"])
def test_damage_is_refused(name: str, damage: str) -> None:
    files = dict(pack(entry()).files)
    content = bytearray(files.pop(name))
    content[content.index(b'"work"') + 8 if name == HEAD else len(content) // 2] ^= 1
    if damage != "remove":
        files[name] = {"flip": content, "truncate": content[: len(content) // 2], "empty": b""}[damage]
    with pytest.raises(StoreError, match=f"the entry {KEY[:12]} is damaged"):
        unpack(Packed(files), KEY)


def test_an_entry_that_answers_another_question_is_refused() -> None:
    with pytest.raises(StoreError, match="is damaged"):
        unpack(pack(entry(2)), KEY)


@pytest.mark.parametrize("name", ["../escape", "/tmp/escape", "code.py", ".."])
def test_no_other_file_passes(name: str) -> None:
    """Not even one that the head names, with its checksum."""
    files = {**pack(entry()).files, name: b"x"}
    with pytest.raises(StoreError, match="other files"):
        unpack(Packed(files), KEY)
    with pytest.raises(StoreError, match="other files"):
        unpack(_renamed(files, lambda told: {**told, name: hashlib.sha256(b"x").hexdigest()}), KEY)


@pytest.mark.parametrize("told", [[], "", None, 3])
def test_a_head_of_another_shape_is_refused(told: object) -> None:
    with pytest.raises(StoreError, match="is damaged"):
        unpack(_renamed(pack(entry()).files, lambda _: told), KEY)
    with pytest.raises(StoreError, match="is damaged"):
        unpack(Packed({**pack(entry()).files, HEAD: json.dumps(told).encode()}), KEY)


def test_sound_checksums_of_what_is_no_table_are_refused() -> None:
    """Whoever computes checksums may still hand over rubbish."""
    files = {**pack(entry()).files, "table.parquet": b"x"}
    digest = hashlib.sha256(b"x").hexdigest()
    with pytest.raises(StoreError, match="is damaged"):
        unpack(_renamed(files, lambda told: {**told, "table.parquet": digest}), KEY)


def _renamed(files: Mapping[str, bytes], change: Callable[[dict[str, str]], object]) -> Packed:
    """Change what the head says of the other files, and make its checksum right again."""
    head = json.loads(files[HEAD])
    del head["sha256"]
    head["files"] = change(head["files"])
    head["sha256"] = key_of(head)
    return Packed({**files, HEAD: json.dumps(head).encode()})
