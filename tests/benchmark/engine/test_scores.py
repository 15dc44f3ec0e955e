"""The scores of a cell: what several runs made is one table, and damage loses the damaged columns alone."""

from pathlib import Path

import numpy as np
import pytest
import torch

from gmbench.benchmark.engine.entry import StoreError, is_of, key_of
from gmbench.benchmark.engine.scores import lacking, read_scores, score_checksums, scores_entry
from gmbench.benchmark.engine.store import Store

CELL = key_of({"cell": 1})
OTHER = key_of({"cell": 2})
DETECTORS = {name: {"detector": name, "configuration": {"width": 1.5}} for name in ("kde", "msp", "energy")}
IDS = torch.arange(4)


def write(store: Store, *names: str, cell: str = CELL) -> str:
    scores = {name: torch.full((4,), float(len(name))) for name in names}
    entry = scores_entry(cell, DETECTORS, IDS, scores)
    store.write(entry)
    return key_of(entry.description)


def test_entries_of_one_cell_are_united(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert read_scores(store, CELL, DETECTORS) == ({}, False)
    assert lacking(store, CELL, DETECTORS) == ("kde", "msp", "energy")
    write(store, "kde", "energy")
    write(store, "energy", cell=OTHER)
    assert lacking(store, CELL, DETECTORS) == ("msp",)
    write(store, "msp", "energy")
    assert lacking(store, CELL, DETECTORS) == ()
    found = read_scores(store, CELL, DETECTORS)
    assert not found.damaged
    assert {name: column.tolist() for name, column in found.columns.items()} == {
        "kde": [3.0] * 4,
        "msp": [3.0] * 4,
        "energy": [6.0] * 4,
    }
    assert all(column.dtype == np.float32 for column in found.columns.values())
    assert len(store.about(CELL)) == 2
    assert set(read_scores(store, OTHER, DETECTORS).columns) == {"energy"}


def test_scores_in_another_configuration_are_not_taken(tmp_path: Path) -> None:
    write(Store(tmp_path), "kde")
    other = {"kde": {**DETECTORS["kde"], "configuration": {"width": 2.5}}}
    assert lacking(Store(tmp_path), CELL, other) == ("kde",)
    assert read_scores(Store(tmp_path), CELL, other).columns == {}


def test_a_damaged_entry_lacks_its_columns_and_is_replaced(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write(store, "kde")
    path = store.path(write(store, "msp", "energy")) / "table.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    assert lacking(store, CELL, DETECTORS) == ("msp", "energy")
    assert read_scores(store, CELL, DETECTORS).damaged
    assert list(score_checksums(store, CELL, DETECTORS)) == ["kde"]
    write(store, "msp", "energy")
    assert lacking(store, CELL, DETECTORS) == ()
    assert not read_scores(store, CELL, DETECTORS).damaged


def test_checksums_are_of_the_scores_however_they_came_in(tmp_path: Path) -> None:
    """So that a report knows that nothing has changed."""
    one, two = Store(tmp_path / "one"), Store(tmp_path / "two")
    write(one, *DETECTORS)
    for name in DETECTORS:
        write(two, name)
    told = score_checksums(one, CELL, DETECTORS)
    assert told == score_checksums(two, CELL, DETECTORS)
    assert told["energy"] != told["kde"] == told["msp"]  # by their lengths, see `write`


def test_an_entry_is_found_from_the_one_it_is_about(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keys = {write(store, "kde"), write(store, "msp")}
    assert len(keys) == 2
    assert set(store.about(CELL)) == keys
    assert store.about(OTHER) == []
    assert all(is_of(key, CELL) and not is_of(key, OTHER) for key in keys)
    assert not is_of(CELL, CELL)
    assert not any(key.startswith(CELL[:12]) for key in keys)  # by its beginning, a cell is found alone


@pytest.mark.parametrize("of", ["", "../../escape", "F" * 64, "0" * 63, 7, None, ["0" * 64]])
def test_what_is_about_no_key_has_none(of: object, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected 'of' to be the key of an entry"):
        key_of({"of": of})
    assert not list(tmp_path.iterdir())


def test_rubbish_of_another_is_not_taken_for_scores(tmp_path: Path) -> None:
    store = Store(tmp_path)
    entry = scores_entry(CELL, DETECTORS, IDS, {"kde": torch.zeros(4)})
    for scores in (3, None, ["kde"], {"kde": None}):
        store.write(type(entry)({"of": CELL, "scores": scores}, entry.table))
    assert lacking(store, CELL, DETECTORS) == tuple(DETECTORS)
    with pytest.raises(StoreError):
        store.read_key(CELL)
