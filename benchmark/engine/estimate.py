"""What a run would take: measured on one batch of each model, counted by what attacks really spend."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import pandas as pd

from ...attacks import ATTACKS
from .cell import Cell
from .inspection import strength
from .inspection.cost import InspectionCost, inspection_cost
from .inspection.inspect import count_seen, inspection_description, middle_threats
from .plan import Job, Plan
from .scoring import fit_description, lacking_scores
from .speed import PassSpeed, Speed
from .store import Store
from .work.piece import JUDGED

__all__ = [
    "FITTING",
    "INSPECTION",
    "SCORING",
    "Cost",
    "Passes",
    "estimate",
    "inspection_seconds",
    "published_passes",
]

FITTING, SCORING, INSPECTION = "fitting", "scoring", "inspection"

_COSTS = ["forwards", "backwards"]

DIGITS = 6
"""To which sizes of perturbations are told apart."""


@dataclass(frozen=True)
class Cost:
    """What one attack on one model, or what all its scores, fits or its inspection would take.

    Args:
        model: Which.
        what: The attack's label; `FITTING`, `SCORING` or `INSPECTION`.
        missing: Cells, or what else, that the store lacks.
        found: Those that it has.
        seconds: For what is missing, in one process.
    """

    model: str
    what: str
    missing: int
    found: int
    seconds: float


class Passes(NamedTuple):
    """Forward and backward passes that an image costs, on average and at most."""

    forwards: float
    backwards: float
    most_forwards: float
    most_backwards: float

    def seconds(self, speed: PassSpeed, images: int, batch: int) -> float:
        """Tell how long they take: a batch is passed as often as the image that takes longest wants."""
        batches = math.ceil(images / batch)
        queries, most = self.forwards - self.backwards, self.most_forwards - self.most_backwards
        alone = speed.query.of(batches * max(0.0, most), images * max(0.0, queries))
        return alone + speed.gradient.of(batches * self.most_backwards, images * self.backwards)


class Attacked(NamedTuple):
    """An attack of a suite under one threat model, on a model or, where that is "", on any."""

    model: str
    label: str
    norm: str
    eps: float
    access: str


Spent = Mapping[Attacked, Passes]


def estimate(plan: Plan, store: Store, published: Spent | None = None) -> Iterator[Cost]:
    """Estimate what is missing, by model and attack; keeps no proposal.

    A model is measured when it is its turn: who needs no more stops asking.

    An attack that stops early costs what it had cost this model where the suite is published, else what it
    has cost others, stored or published, on average, else as much as it can.

    Args:
        plan: What would be run.
        store: Of what is there.
        published: See `published_passes`.
    """
    estimator = _Estimator(plan, store, {**(published or {}), **stored_passes(plan, store)})
    return (cost for job in plan.jobs if job.cells for cost in estimator.costs(job))


def stored_passes(plan: Plan, store: Store) -> dict[Attacked, Passes]:
    """Tell what attacks have spent on the models whose cells the store has, on average."""
    frames = [
        entry.table[_COSTS].assign(**_attacked(cell)._asdict())
        for cell in plan.cells()
        if cell.threat
        and store.has(cell.description)
        and (entry := store.read(cell.description, with_images=False))
    ]
    return _means(pd.concat(frames)) if frames else {}


def published_passes(samples: pd.DataFrame) -> dict[Attacked, Passes]:
    """Tell what attacks have spent on the models of a published samples table, each and on average."""
    attacked = samples[samples["norm"] != ""]
    return _means(attacked.assign(eps=attacked["eps"].round(DIGITS)))


def _means(spent: pd.DataFrame) -> dict[Attacked, Passes]:
    rows = pd.concat([spent.astype({"model": str}), spent.assign(model="")])
    groups = rows.groupby(list(Attacked._fields), observed=True)[_COSTS]
    found = pd.concat([groups.mean(), groups.max()], axis=1)
    return {Attacked(*key): Passes(*row) for key, row in zip(found.index, found.to_numpy(), strict=True)}


class _Estimator:
    """Estimates job by job; what a transfer attack proposes is proposed once, for the first of them."""

    def __init__(self, plan: Plan, store: Store, spent: Spent) -> None:
        self._plan, self._store, self._spent = plan, store, spent
        self._proposed = {
            _attacked(cell)._replace(model="")
            for cell in plan.cells()
            if cell.surrogate and store.has(cell.description)
        }

    def costs(self, job: Job) -> Iterator[Cost]:
        """Estimate one job: its attacks, then what its detectors and its inspection take."""
        plan, name = self._plan, job.entrant.name
        speed = Speed(job.entrant.classifier, job.detectors, plan.data, plan.suite.batch, plan.device)
        missing = [cell for cell in job.cells if not self._store.has(cell.description)]
        for label, cells in _by_label(job.cells).items():
            lacking = _by_label(missing).get(label, [])
            seconds = sum(self._cell(cell, speed) for cell in lacking)
            yield Cost(name, label, len(lacking), len(cells) - len(lacking), seconds)
        train = plan.data["train"]
        lacked = [(cell, lacking_scores(cell, job.detectors, train, self._store)) for cell in job.cells]
        unscored = [(cell, names) for cell, names in lacked if names]
        uninspected = self._lacks_inspection(job)
        asked = set(job.detectors) if uninspected else {one for _, names in unscored for one in names}
        asked |= {cell.threat.knows for cell in missing if cell.threat and cell.threat.knows}
        kept = {name for name in job.detectors if self._is_fitted(job, name)}
        fits, forward = asked - kept, speed.forward
        learning = sum(map(speed.fitting, fits)) + bool(fits) * len(train) * forward
        yield Cost(name, FITTING, len(fits), len(kept), learning)
        scoring = sum(cell.samples * (forward + sum(map(speed.scoring, names))) for cell, names in unscored)
        yield Cost(name, SCORING, len(unscored), len(job.cells) - len(unscored), scoring)
        asking = self._inspection(job, speed) if uninspected else 0.0
        yield Cost(name, INSPECTION, int(uninspected), int(not uninspected), asking)

    def _is_fitted(self, job: Job, name: str) -> bool:
        train, device = self._plan.data["train"], self._plan.device
        return self._store.has(fit_description(job.entrant, name, job.detectors[name], train, device))

    def _lacks_inspection(self, job: Job) -> bool:
        description = inspection_description(job, self._plan.data)
        return description is not None and not self._store.has(description)

    def _cell(self, cell: Cell, speed: Speed) -> float:
        """Estimate a cell's seconds."""
        threat, forward = cell.threat, speed.forward
        if cell.attack is None or threat is None:
            return cell.samples * forward
        judged = cell.samples * JUDGED * forward
        attacked = _attacked(cell)
        anyone = attacked._replace(model="")
        if cell.surrogate is not None:
            if anyone in self._proposed:
                return judged
            self._proposed.add(anyone)
            speed = self._surrogate
        spent = self._spent.get(attacked) or self._spent.get(anyone) or _most(cell)
        return judged + spent.seconds(speed.passes(cell.precision, threat.knows), cell.samples, cell.batch)

    def _inspection(self, job: Job, speed: Speed) -> float:
        splits = (self._plan.data[split] for split in ("test", "validation"))
        images = sum(count_seen(job, split) for split in splits)
        cost = inspection_cost(middle_threats(job.cells), images)
        scores = cost.scores * sum(speed.forward + speed.scoring(name) for name in job.detectors)
        return inspection_seconds(cost, speed.forward, speed.passes()) + scores

    @cached_property
    def _surrogate(self) -> Speed:
        plan = self._plan
        if plan.surrogate is None:
            raise ValueError("expected a plan with transfer attacks to have a surrogate, got none")
        return Speed(plan.surrogate.classifier, {}, plan.data, plan.suite.batch, plan.device)


def inspection_seconds(cost: InspectionCost, forward: float, passes: PassSpeed) -> float:
    """Tell how long an inspection's passes take, without the scores of detectors.

    Args:
        cost: What it asks.
        forward: Seconds of a pass that attacks nothing, an image.
        passes: How fast an attack's are.
    """
    return cost.forwards * forward + passes.gradient.of(cost.gradients / strength.IMAGES, cost.gradients)


def _by_label(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        found.setdefault(cell.label, []).append(cell)
    return found


def _attacked(cell: Cell) -> Attacked:
    threat = cell.threat
    if threat is None:
        return Attacked(cell.model, cell.label, "", 0.0, "")
    return Attacked(cell.model, cell.label, threat.norm, round(threat.eps, DIGITS), threat.access)


def _most(cell: Cell) -> Passes:
    """Tell what an attack costs at most."""
    forwards, backwards = ATTACKS.build(cell.attack or "", **cell.options).passes()
    return Passes(*(cell.draws * count for count in (forwards, backwards) * 2))
