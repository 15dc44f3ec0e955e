"""A piece of work: what one worker does at once, told by plain data, and what comes back.

A piece names its entrant, its images and the entries that it needs; whoever performs it is given these
beside it. A cell is one piece, or several where it is long: cut between batches, which depend on nothing but
themselves, so that its parts joined are the whole, byte for byte.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch

from ....attacks.core.attack import ATTACKS
from ..cell import Cell
from ..entry import Entry, Packed, key_of

__all__ = [
    "BACKWARD",
    "JUDGED",
    "Attack",
    "Done",
    "Fits",
    "Inspection",
    "Piece",
    "Scores",
    "Supply",
    "joined",
    "part_description",
    "parts_of",
    "work_of",
]

BACKWARD = 1
"""Cost of a backward pass in forward passes, where weights are frozen; for progress and estimates only."""

JUDGED = 3
"""Forward passes that the judge takes of an attacked image; likewise."""

PART = 25_000
"""Passes of one image, from which on a cell is cut: some seconds of a small net on one thread, a minute of a
larger one. A part has at least one batch. Nothing that is measured decides it: a run that goes on must cut as
the one before it did."""

Supply = Callable[[str], Packed]
"""Gives an entry's files by its key."""


@dataclass(frozen=True, eq=False)
class Piece:
    """What every piece has.

    Args:
        model: Name of the entrant, for people.
        entrant: Its fingerprint.
        title: What is done, for people.
        work: How much that is, in forward passes of one image.
        needs: Keys of the entries that it is given.
    """

    model: str
    entrant: str
    title: str
    work: float
    needs: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def entrants(self) -> tuple[str, ...]:
        """Fingerprints of all whom it asks."""
        return (self.entrant,)

    def __str__(self) -> str:
        return f"{self.model} / {self.title}"


@dataclass(frozen=True, eq=False)
class Fits(Piece):
    """Fits detectors to the training split, once for all pieces that need them.

    Args:
        names: Of the detectors.
    """

    names: tuple[str, ...] = field(kw_only=True)


@dataclass(frozen=True, eq=False)
class Inspection(Piece):
    """Asks the model what its samples cannot tell.

    Args:
        description: Of what it finds, for the store.
        cells: Of its job.
    """

    description: Mapping[str, Any] = field(kw_only=True, repr=False)
    cells: tuple[Cell, ...] = field(kw_only=True, repr=False)


@dataclass(frozen=True, eq=False)
class Attack(Piece):
    """Makes a cell or a part of one, and scores a whole one while its images are there.

    Args:
        cell: Which.
        rows: First image of the part and the one behind its last; None for the whole cell.
        scores: Names of detectors.
        proposed: Key of the cell whose proposals are only judged; None where the attack is to be run.
        limit: Seconds that it may take; None for as long as it needs.
    """

    cell: Cell = field(kw_only=True)
    rows: tuple[int, int] | None = field(default=None, kw_only=True)
    scores: tuple[str, ...] = field(default=(), kw_only=True)
    proposed: str | None = field(default=None, kw_only=True)
    limit: float | None = field(default=None, kw_only=True)

    @property
    def entrants(self) -> tuple[str, ...]:
        asked = self.cell.surrogate if self.proposed is None else None
        return (self.entrant,) if asked is None else (self.entrant, asked)

    @property
    def description(self) -> dict[str, Any]:
        """Describe what it makes, for the store."""
        return self.cell.description if self.rows is None else part_description(self.cell, self.rows)


@dataclass(frozen=True, eq=False)
class Scores(Piece):
    """Scores cells that are there; several at once where a guest must not know which images are attacked.

    Args:
        cells: Each with the names of the detectors whose scores are wanted, perhaps none.
    """

    cells: tuple[tuple[Cell, tuple[str, ...]], ...] = field(kw_only=True)


@dataclass(frozen=True, eq=False)
class Done:
    """What a piece gave.

    Args:
        entries: The files of what was made, by key.
        why: Why there is nothing; "" where all went well but for these detectors.
        detectors: Those that could not be fitted or do not score, with the reason; "" for all of them.
        seconds: That it took.
    """

    entries: Mapping[str, Packed] = field(default_factory=dict, repr=False)
    why: str = ""
    detectors: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def work_of(cell: Cell) -> float:
    """Estimate a cell's work in forward passes of one image; attacks that stop early need less."""
    if cell.attack is None:
        return cell.samples
    forwards, backwards = ATTACKS.build(cell.attack, **cell.options).passes()
    return cell.samples * (cell.draws * (forwards + BACKWARD * backwards) + JUDGED)


def parts_of(cell: Cell) -> list[tuple[int, int]]:
    """Cut a cell between its batches, into parts of about `PART` passes; a short one is a single part."""
    batches = max(1, int(PART * cell.samples / (work_of(cell) * cell.batch)))
    step = batches * cell.batch
    return [(first, min(first + step, cell.samples)) for first in range(0, cell.samples, step)]


def part_description(cell: Cell, rows: tuple[int, int]) -> dict[str, Any]:
    """Describe a part of a cell, for the store."""
    return {"part": list(rows), "cell": key_of(cell.description)}


def joined(cell: Cell, entries: Sequence[Entry]) -> Entry:
    """Join the parts of a cell, which are in order and without gaps."""
    images = [entry.images for entry in entries if entry.images is not None]
    facts = dict(entries[0].facts)
    for name in ("seconds", "dropped"):
        facts[name] = round(sum(entry.facts.get(name, 0) for entry in entries), 3)
    table = pd.concat([entry.table for entry in entries], ignore_index=True)
    return Entry(cell.description, table, torch.cat(images) if images else None, facts)
