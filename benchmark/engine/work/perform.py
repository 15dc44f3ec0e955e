"""Performs a piece; knows no store, and is the same in this process and on a worker."""

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from torch import Tensor

from ....detectors.detector import OWN, Detector
from ...data.image_set import ImageSet
from ..cell import Cell, run_cell
from ..entrant import Entrant
from ..entry import Entry, StoreError, key_of, pack, unpack
from ..failure import say
from ..inspection.inspect import inspect
from ..plan import Plan
from ..scoring import Fitting, score_cells
from .latest import Latest
from .piece import Attack, Done, Fits, Inspection, Piece, Scores, Supply, work_of

__all__ = ["LateCell", "Member", "Place", "members_of", "perform"]

KEPT = 2
"""Entrants whose fitted detectors a process keeps: what they have learned may be as large as the data."""

Report = Callable[[float], None]


class LateCell(RuntimeError):
    """A cell took longer than it may."""


class Member(NamedTuple):
    """An entrant and the detectors that apply to it, not fitted."""

    entrant: Entrant
    detectors: Mapping[str, Detector]


def members_of(plan: Plan) -> dict[str, Member]:
    """Give all whom a plan's pieces ask, by fingerprint: its entrants, and the surrogate."""
    members = {job.entrant.fingerprint: Member(job.entrant, job.detectors) for job in plan.jobs}
    if plan.surrogate is not None:
        members.setdefault(plan.surrogate.fingerprint, Member(plan.surrogate, {}))
    return members


@dataclass(eq=False)
class Place:
    """Where pieces are performed: what they name, and what is worth keeping from one to the next.

    Args:
        device: Where to compute.
        splits: "train", "validation" and "test"; of the latter the images that are asked for.
        member: Gives an entrant on the device, by its fingerprint.
    """

    device: str
    splits: Mapping[str, ImageSet]
    member: Callable[[str], Member]
    _fittings: Latest[Fitting] = field(default_factory=lambda: Latest(KEPT))

    def fitting(self, fingerprint: str, report: Report) -> Fitting:
        """Give an entrant's detectors as fitted as they are by now."""
        fitting = self._fittings.get(fingerprint, lambda: self.unfitted(fingerprint))
        fitting.report = report
        return fitting

    def unfitted(self, fingerprint: str) -> Fitting:
        """Give an entrant's detectors as they were handed in, having answered nothing yet."""
        member = self.member(fingerprint)
        detectors = {name: copy.copy(one) for name, one in member.detectors.items()}
        own = detectors.get(OWN, member.entrant.detector)
        return Fitting(replace(member.entrant, detector=own), detectors, self.splits["train"], self.device)


@dataclass(frozen=True)
class _Asked:
    """What an inspection asks: see `inspect.Asked`."""

    entrant: Entrant
    detectors: Mapping[str, Detector]
    cells: Sequence[Cell]


def perform(piece: Piece, place: Place, supply: Supply, report: Report) -> Done:
    """Do a piece and tell what came of it; what a user's code raises is told, too.

    Args:
        piece: What to do.
        place: Where.
        supply: Gives the entries that the piece needs.
        report: Told how much of the work is done, in forward passes of one image.
    """
    start = time.monotonic()
    report = _at_most(piece.work, report)
    entries: list[Entry] = []
    broken: dict[str, str] = {}
    why = ""
    try:
        entries.extend(_made(piece, place, supply, report, broken))
    # Another's attack or model may raise anything; the other pieces go on
    except Exception as error:  # noqa: BLE001
        if entries:  # the cell is made, its scores are not
            broken[""] = say(error)
        else:
            why = say(error)
    packed = {key_of(entry.description): pack(entry) for entry in entries}
    return Done(packed, why, broken, round(time.monotonic() - start, 3))


def _at_most(most: float, report: Report) -> Report:
    """Report no more than this in all; what is fitted on the way is not part of a piece's work."""
    told = 0.0

    def tell(work: float) -> None:
        nonlocal told
        now = min(work, most - told)
        told += now
        report(now)

    return tell


def _made(
    piece: Piece, place: Place, supply: Supply, report: Report, broken: dict[str, str]
) -> Iterator[Entry]:
    """Make a piece's entries one after the other, and note the detectors that are broken."""
    fitting = place.fitting(piece.entrant, report)
    _restore(fitting, piece, supply)
    if isinstance(piece, Fits):
        fitting.fit(piece.names)
        yield from filter(None, map(fitting.fitted, piece.names))
    elif isinstance(piece, Inspection):
        # of detectors that have answered nothing yet: what counts its calls shows it
        asked = place.unfitted(piece.entrant)
        _restore(asked, piece, supply)
        yield inspect(_Asked(asked.entrant, asked.detectors, piece.cells), place.splits, asked)
    elif isinstance(piece, Attack):
        entry = _attack(piece, place, fitting, supply, report)
        yield entry
        if piece.scores:
            images = [_images(piece.cell, entry, place.splits)]
            yield from score_cells(fitting, [(piece.cell, piece.scores)], images, place.splits)
    elif isinstance(piece, Scores):
        images = [_images(cell, _given(cell, supply), place.splits) for cell, _ in piece.cells]
        yield from score_cells(fitting, piece.cells, images, place.splits)
    broken.update(fitting.failed)


def _restore(fitting: Fitting, piece: Piece, supply: Supply) -> None:
    """Give detectors what the piece says that they have learned; where that is damaged, they learn again."""
    for name in fitting.unfitted():
        key = key_of(fitting.description(name))
        if key in piece.needs:
            with suppress(StoreError, ValueError):
                fitting.restore(name, unpack(supply(key), key))


def _attack(piece: Attack, place: Place, fitting: Fitting, supply: Supply, report: Report) -> Entry:
    """Make a cell, or a part of it.

    Raises:
        LateCell: It takes longer than it may.
    """
    cell, threat, proposed = piece.cell, piece.cell.threat, None
    known, surrogate = None, None
    if piece.proposed is not None:
        proposed = unpack(supply(piece.proposed), piece.proposed)
    elif threat is not None and threat.knows_detector:
        known = fitting.known(threat.knows, place.splits["validation"])
    elif cell.surrogate is not None:
        surrogate = place.member(cell.surrogate).entrant
    each = work_of(cell) / cell.samples
    entry = run_cell(
        cell,
        fitting.entrant,
        surrogate,
        place.splits[cell.split],
        rows=piece.rows,
        known=known,
        proposed=proposed,
        device=place.device,
        report=lambda images: report(images * each),
        at_pass=_within(piece.limit),
        validation=place.splits["validation"],
    )
    return replace(entry, description=piece.description)


def _within(limit: float | None) -> Callable[[], None]:
    """Make what raises once a time is over."""
    end = math.inf if limit is None else time.monotonic() + limit

    def check() -> None:
        if time.monotonic() > end:
            raise LateCell(f"expected a cell to take at most {limit:g} s; give it longer: --cell-limit")

    return check


def _given(cell: Cell, supply: Supply) -> Entry | None:
    """Read what an attack proposed; clean images need no entry."""
    key = key_of(cell.description)
    return None if cell.threat is None else unpack(supply(key), key)


def _images(cell: Cell, entry: Entry | None, splits: Mapping[str, ImageSet]) -> Tensor:
    """Give a cell's images, attacked or clean."""
    if cell.threat is None:
        return splits[cell.split].images(slice(0, cell.samples))
    if entry is None or entry.images is None:
        raise ValueError(f"expected the cell {cell} to have images")
    return entry.images
