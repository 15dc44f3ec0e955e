"""The scores of a cell in the store: a column for each detector.

An entry never changes. Detectors that score a cell together are columns of one entry; one that comes later
adds an entry with its column. Who reads unites them, so a run with fewer detectors finds what a full one
made, and of two runs at once none loses anything.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from .entry import Entry, StoreError, unpack, verify
from .store import Store

__all__ = ["Scores", "held", "lacking", "read_scores", "score_checksums", "scores_entry"]

Detectors = Mapping[str, Mapping[str, Any]]
"""Descriptions of fitted detectors by name."""


class Scores(NamedTuple):
    """What the store holds of a cell's scores.

    Args:
        columns: (N,) float32 by detector.
        damaged: Whether an entry of the cell's is, whose columns nobody knows.
    """

    columns: Mapping[str, NDArray[np.float32]]
    damaged: bool


def scores_entry(cell: str, detectors: Detectors, ids: Tensor, scores: Mapping[str, Tensor]) -> Entry:
    """Make an entry of the scores of a cell.

    Args:
        cell: Its key.
        detectors: Descriptions, of these and perhaps of others.
        ids: Of the images, (N,).
        scores: (N,) float32 by detector.
    """
    described = {name: dict(detectors[name]) for name in sorted(scores)}
    columns = {name: scores[name].numpy() for name in described}
    checksums = {name: hashlib.sha256(column.tobytes()).hexdigest() for name, column in columns.items()}
    table = pd.DataFrame({"id": ids.numpy(), **{_column(name): column for name, column in columns.items()}})
    return Entry({"of": cell, "scores": described}, table, facts={"checksums": checksums})


def read_scores(store: Store, cell: str, detectors: Detectors) -> Scores:
    """Read the scores that the store holds of a cell, of those detectors."""
    columns: dict[str, NDArray[np.float32]] = {}
    damaged = False
    for key in store.about(cell):
        try:
            entry = unpack(store.read_packed(key), key)
        except StoreError:
            damaged = True
            continue
        for name in held(entry.description, detectors):
            columns.setdefault(name, entry.table[_column(name)].to_numpy())
    return Scores(columns, damaged)


def score_checksums(store: Store, cell: str, detectors: Detectors) -> dict[str, str]:
    """Give the checksum of each detector's scores of a cell that the store holds sound."""
    checksums: dict[str, str] = {}
    for key in store.about(cell):
        try:
            head = verify(store.read_packed(key), key)
        except StoreError:
            continue
        for name in held(head["description"], detectors):
            checksums.setdefault(name, head["facts"]["checksums"][name])
    return dict(sorted(checksums.items()))


def lacking(store: Store, cell: str, detectors: Detectors) -> tuple[str, ...]:
    """Name the detectors whose scores of a cell the store lacks, or holds damaged."""
    held = score_checksums(store, cell, detectors)
    return tuple(name for name in detectors if name not in held)


def held(description: Mapping[str, Any], detectors: Detectors) -> Iterator[str]:
    """Name the columns of an entry that are of just these detectors, in the same configuration."""
    told = description.get("scores")
    for name in detectors:
        if isinstance(told, dict) and name in told and _text(detectors[name]) == _text(told[name]):
            yield name


def _text(told: Any) -> str:
    """Write plain values as the store has them, in which a tuple is a list."""
    return json.dumps(told, sort_keys=True)


def _column(name: str) -> str:
    return f"score_{name}"
