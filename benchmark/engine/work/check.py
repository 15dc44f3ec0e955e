"""Checks what came back before it is stored: is it whole, and is it what was asked for?"""

from collections.abc import Mapping
from typing import Any

from ..cell import Cell
from ..entry import Entry, StoreError, key_of, unpack
from ..plan import Job, Plan
from ..scoring import described, fit_description
from .piece import Attack, Done, Fits, Inspection, Piece, Scores

__all__ = ["damage"]


def damage(piece: Piece, done: Done, plan: Plan) -> str:
    """Tell what is wrong with the entries that a piece gave, in one line; "" where nothing is.

    Args:
        piece: What was asked for.
        done: What came back.
        plan: Whose piece it is.
    """
    main = key_of(piece.description) if isinstance(piece, Attack | Inspection) else None
    if main is not None and not done.why and main not in done.entries:
        return "what was asked for is not there"
    for key, packed in done.entries.items():
        try:
            entry = unpack(packed, key)
        except StoreError as error:
            return str(error)
        if isinstance(piece, Fits):
            asked_for = _is_fitted(key, piece, plan)
        else:
            asked_for = _is_made(entry, piece, plan) if key == main else _is_scored(entry, piece, plan)
        if not asked_for:
            return f"the entry {key[:12]} is not what was asked for"
    return ""


def _is_made(entry: Entry, piece: Piece, plan: Plan) -> bool:
    """Tell whether a cell or its part has all images; what an inspection finds has no set form."""
    if not isinstance(piece, Attack):
        return True
    cell = piece.cell
    rows = slice(*piece.rows) if piece.rows else slice(cell.samples)
    if cell.threat is None:
        return _is_of(entry, cell, rows, plan) and entry.images is None
    shape = (len(entry.table), *plan.data[cell.split].x.shape[1:])
    return _is_of(entry, cell, rows, plan) and entry.images is not None and entry.images.shape == shape


def _is_fitted(key: str, piece: Fits, plan: Plan) -> bool:
    """Tell whether it is what one of the piece's detectors has learned of its model."""
    job, train = _job(piece, plan), plan.data["train"]
    return any(
        key == key_of(fit_description(job.entrant, name, job.detectors[name], train, plan.device))
        for name in piece.names
    )


def _is_scored(entry: Entry, piece: Piece, plan: Plan) -> bool:
    """Tell whether scores are of one of the piece's cells, by detectors that it asked for."""
    expected = described(_job(piece, plan).detectors, plan.data["train"])
    told: Mapping[str, Any] = entry.description.get("scores", {})
    for cell, names in _wanted(piece):
        if key_of(cell.description) == entry.description.get("of"):
            return (
                set(told) <= set(names)
                and all(key_of(told[name]) == key_of(expected[name]) for name in told)
                and {f"score_{name}" for name in told} == set(entry.table.columns) - {"id"}
                and _is_of(entry, cell, slice(cell.samples), plan)
            )
    return False


def _job(piece: Piece, plan: Plan) -> Job:
    return next(one for one in plan.jobs if one.entrant.fingerprint == piece.entrant)


def _wanted(piece: Piece) -> tuple[tuple[Cell, tuple[str, ...]], ...]:
    """List the cells that a piece scores, with the names of detectors."""
    if isinstance(piece, Attack):
        return ((piece.cell, piece.scores),)
    return piece.cells if isinstance(piece, Scores) else ()


def _is_of(entry: Entry, cell: Cell, rows: slice, plan: Plan) -> bool:
    """Tell whether an entry has a row for each of a cell's images, in their order."""
    ids = plan.data[cell.split].ids[rows].numpy()
    return "id" in entry.table and len(entry.table) == len(ids) and bool((entry.table["id"] == ids).all())
