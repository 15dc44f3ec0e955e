"""What a plan lacks: for each inspection and cell a script of how it is made."""

from collections import defaultdict
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..cell import Cell
from ..entry import StoreError, key_of
from ..failure import Failure
from ..guest.client import GuestClassifier
from ..inspection.cost import inspection_cost
from ..inspection.inspect import SPLITS, count_seen, inspection_description, middle_threats
from ..plan import Job, Plan
from ..progress import Listener
from ..scoring import Wanted, fit_description, groups_of, lacking_scores
from ..store import Store
from .agenda import Agenda, Script, Task
from .piece import (
    BACKWARD,
    Attack,
    Done,
    Fits,
    Inspection,
    Piece,
    Scores,
    joined,
    part_description,
    parts_of,
    work_of,
)

__all__ = ["Lacking"]

SCORES = "detectors"
"""What is done to cells that are made, for people."""

FITS = "fits"
"""What detectors learn of a model, likewise."""


class Lacking:
    """What is to be done for a plan, as an agenda.

    Args:
        plan: What to run.
        store: Of what is done.
        listener: Told what is finished, and what failed.
        limit: Seconds that a cell may take; None for as long as it needs.

    Attributes:
        agenda: Of it all.
        work: How much that is, in forward passes of one image.
        things: How many cells, inspections and the like that are.
        found: Cells that were there already.
        made: Cells that were made since.
    """

    def __init__(self, plan: Plan, store: Store, listener: Listener, limit: float | None = None) -> None:
        self.agenda = Agenda()
        self.work, self.things, self.found, self.made = 0.0, 0, 0, 0
        self._plan, self._store, self._listener, self._limit = plan, store, listener, limit
        self._cells: dict[str, Task] = {}
        self._fits: dict[str, Task] = {}
        self._seconds: dict[str, float] = defaultdict(float)
        self._proposers: dict[str, str] = {}
        self._broken: dict[str, dict[str, str]] = defaultdict(dict)
        self._failures: list[Failure] = []
        for job in plan.jobs:
            self._add_job(job)

    @property
    def failures(self) -> list[Failure]:
        """What failed, in the plan's order, whatever came first."""
        titles = [(job.entrant.name, cell.title) for job in self._plan.jobs for cell in job.cells]
        models = {job.entrant.name: place for place, job in enumerate(self._plan.jobs)}
        cells = {title: place for place, title in enumerate(titles)}

        def place(failure: Failure) -> tuple[int, int, str]:
            after = -1 if failure.what == "inspection" else len(cells)
            return models[failure.model], cells.get((failure.model, failure.what), after), failure.what

        return sorted(self._failures, key=place)

    def _add_job(self, job: Job) -> None:
        name, guest = job.entrant.name, isinstance(job.entrant.classifier, GuestClassifier)
        description = inspection_description(job, self._plan.data)
        uninspected = description is not None and not self._store.sound(description)
        unscored = [(cell, self._unscored(job, cell)) for cell in job.cells]
        unmade = {key_of(cell.description) for cell in job.cells if not self._store.sound(cell.description)}
        if not guest:
            asked = {name for _, names in unscored for name in names}
            asked |= {_known(cell) for cell in job.cells if key_of(cell.description) in unmade}
            self._add_fits(job, [name for name in job.detectors if name in asked or uninspected])
        if description is not None and uninspected:
            self._add(f"{name} / inspection", self._inspected(job, description), self._inspecting(job))
        for cell, names in unscored:
            key = key_of(cell.description)
            missing, scored = key in unmade, bool(names) and not guest
            twice = key in self._cells
            self.found += twice or not missing
            if (missing or scored) and not twice:
                work = missing * work_of(cell) + scored * cell.samples
                self._cells[key] = self._add(str(cell), self._cell(job, cell, missing=missing), work)
        for group in groups_of(unscored) if guest else ():
            work = sum(cell.samples for cell, _ in group)
            self._add(f"{name} / {SCORES}", self._group(job, [cell for cell, _ in group]), work)

    def _add_fits(self, job: Job, names: Sequence[str]) -> None:
        """Have those of these detectors fitted that are not in the store, before whatever needs them."""
        lacking = tuple(name for name in names if not self._store.sound(self._fit(job, name)))
        if lacking:
            title, script = f"{job.entrant.name} / {FITS}", self._fitted(job, lacking)
            self._fits[job.entrant.fingerprint] = self._add(title, script, len(self._plan.data["train"]))

    def _add(self, title: str, script: Script, work: float) -> Task:
        self.work += work
        self.things += 1
        return self.agenda.add(self._told(title, script))

    def _told(self, title: str, script: Script) -> Script:
        """Tell when a script is over, and how long its pieces took."""
        made = yield from script
        if made:
            self._listener.finished(title, self._seconds[title])
        return made

    def _fit(self, job: Job, name: str) -> dict[str, Any]:
        train, device = self._plan.data["train"], self._plan.device
        return fit_description(job.entrant, name, job.detectors[name], train, device)

    def _fitted(self, job: Job, names: tuple[str, ...]) -> Script:
        """Fit detectors; those that fail, or learn more than tensors, are left to whoever needs them."""
        entrant, work = job.entrant, len(self._plan.data["train"])
        piece = Fits(entrant.name, entrant.fingerprint, FITS, work, names=names)
        [done] = yield [piece]
        if done.why:
            done = replace(done, why="", detectors={**done.detectors, "": done.why})
        return self._noted(job, piece, done)

    def _learned(self, job: Job, names: Iterable[str]) -> Generator[Task, Any, tuple[str, ...]]:
        """Give the keys of what these detectors have learned, once they have; none of a guest's are kept."""
        if isinstance(job.entrant.classifier, GuestClassifier) or not (wanted := set(names)):
            return ()
        if task := self._fits.get(job.entrant.fingerprint):
            yield task
        fits = [self._fit(job, name) for name in job.detectors if name in wanted]
        return tuple(key_of(one) for one in fits if self._store.has(one))

    def _inspected(self, job: Job, description: Mapping[str, Any]) -> Script:
        """Ask the model what its samples cannot tell."""
        needs = yield from self._learned(job, job.detectors)
        if self._store.sound(description):
            return True
        who = (job.entrant.name, job.entrant.fingerprint, "inspection")
        piece = Inspection(
            *who, self._inspecting(job), needs=needs, description=description, cells=tuple(job.cells)
        )
        [done] = yield [piece]
        return self._noted(job, piece, done)

    def _inspecting(self, job: Job) -> float:
        """Tell the work of an inspection, about, in forward passes of one image."""
        images = sum(count_seen(job, self._plan.data[split]) for split in SPLITS)
        cost = inspection_cost(middle_threats(job.cells), images)
        return cost.forwards + (1 + BACKWARD) * cost.gradients

    def _cell(self, job: Job, cell: Cell, *, missing: bool) -> Script:
        """Make a cell and its scores; a guest's are made by its group."""
        guest = isinstance(job.entrant.classifier, GuestClassifier)
        parts = [(0, cell.samples)] if guest else parts_of(cell)
        proposed: str | None = None
        if missing:
            proposed = yield from self._proposal(cell)
            scored = () if guest or len(parts) > 1 else self._unscored(job, cell)
            yield from self._learned(job, [*scored, _known(cell)])
        if self._store.sound(cell.description):
            self.found += missing  # another run made it meanwhile, perhaps while this waited
        elif (yield from self._made(job, cell, parts, proposed)):
            self.made += 1
        else:
            return False
        if not guest and (names := self._unscored(job, cell)):
            yield from self._scored(job, cell.title, [(cell, names)])
        return True

    def _made(self, job: Job, cell: Cell, parts: Sequence[tuple[int, int]], proposed: str | None) -> Script:
        """Make a cell from its parts; a single one is scored, too, if it is no guest's."""
        guest = isinstance(job.entrant.classifier, GuestClassifier)
        names = () if guest or len(parts) > 1 else self._unscored(job, cell)
        needs = yield from self._learned(job, [*names, _known(cell)])
        shared: dict[str, Any] = {"cell": cell, "proposed": proposed, "limit": self._limit}
        shared["needs"] = needs if proposed is None else (proposed, *needs)
        who = (cell.model, job.entrant.fingerprint, cell.title)
        if len(parts) == 1:
            piece = Attack(*who, work_of(cell) + bool(names) * cell.samples, scores=names, **shared)
            [done] = yield [piece]
            return self._noted(job, piece, done)
        each = work_of(cell) / cell.samples
        while not self._store.sound(cell.description):
            missing = [rows for rows in parts if not self._store.sound(part_description(cell, rows))]
            if not missing:
                self._join(cell, parts)
                continue
            pieces = [Attack(*who, each * (rows[1] - rows[0]), rows=rows, **shared) for rows in missing]
            dones = yield pieces
            for piece, done in zip(pieces, dones, strict=True):
                if not self._noted(job, piece, done):
                    return False
        for rows in parts:
            self._store.remove(key_of(part_description(cell, rows)))
        return True

    def _join(self, cell: Cell, parts: Sequence[tuple[int, int]]) -> None:
        """Write a cell from its parts, unless another run has just joined and removed them."""
        try:
            entries = [self._store.read_key(key_of(part_description(cell, rows))) for rows in parts]
        except StoreError:
            return
        self._store.write(joined(cell, entries))

    def _group(self, job: Job, cells: Sequence[Cell]) -> Script:
        """Score a guest's cells together, once all are made; those that failed are left out."""
        for cell in cells:
            if task := self._cells.get(key_of(cell.description)):
                yield task
        there = [cell for cell in cells if self._store.sound(cell.description)]
        wanted = [(cell, self._unscored(job, cell)) for cell in there]
        if any(names for _, names in wanted):
            return (yield from self._scored(job, SCORES, wanted))
        return True

    def _scored(self, job: Job, title: str, cells: Sequence[Wanted]) -> Script:
        """Score cells whose images are in the store."""
        images = tuple(key_of(cell.description) for cell, _ in cells if cell.threat is not None)
        needs = images + (yield from self._learned(job, {name for _, names in cells for name in names}))
        work, entrant = sum(cell.samples for cell, _ in cells), job.entrant
        piece = Scores(entrant.name, entrant.fingerprint, title, work, needs=needs, cells=tuple(cells))
        [done] = yield [piece]
        if done.why:
            done = replace(done, why="", detectors={**done.detectors, "": done.why})
        return self._noted(job, piece, done)

    def _proposal(self, cell: Cell) -> Generator[Task | Sequence[Piece], Any, str | None]:
        """Find what a transfer attack proposed against another model, or wait for it; None to propose.

        The surrogate decides that, whoever is to be fooled.
        """
        if cell.surrogate is None:
            return None
        twins = [replace(cell, fingerprint=job.entrant.fingerprint) for job in self._plan.jobs]
        family = key_of(twins[0].description)
        own = key_of(cell.description)
        while proposer := self._proposers.get(family):
            if proposer == own:
                return None
            if (yield self._cells[proposer]):
                return proposer
            if self._proposers.get(family) == proposer:
                del self._proposers[family]
        stored = next((twin.description for twin in twins if self._store.sound(twin.description)), None)
        if stored is not None:
            return key_of(stored)
        self._proposers[family] = own
        return None

    def _unscored(self, job: Job, cell: Cell) -> tuple[str, ...]:
        """Name the detectors whose scores of a cell are missing, without those that are broken."""
        broken = self._broken[job.entrant.fingerprint]
        names = lacking_scores(cell, job.detectors, self._plan.data["train"], self._store)
        return tuple(name for name in names if name not in broken)

    def _noted(self, job: Job, piece: Piece, done: Done) -> bool:
        """Note what failed, a detector once; tell whether the piece is done, and say so."""
        self._seconds[str(piece)] += done.seconds
        broken = self._broken[job.entrant.fingerprint]
        for name, why in done.detectors.items():
            if name not in broken:
                broken[name] = why
                self._fail(Failure(job.entrant.name, f"detector {name}".strip(), why))
        if done.why:
            self._fail(Failure(piece.model, piece.title, done.why))
            return False
        return True

    def _fail(self, failure: Failure) -> None:
        if failure not in self._failures:
            self._failures.append(failure)
            self._listener.failed(failure)


def _known(cell: Cell) -> str:
    """Name the detector that a cell's attack knows, "" for none."""
    return cell.threat.knows if cell.threat is not None else ""
