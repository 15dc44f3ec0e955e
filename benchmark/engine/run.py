"""Runs a suite: entrants, cells, scores. What is finished stays finished, whatever happens next."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import torch

from ...attacks import ATTACKS
from ...detectors import Detector
from ..data.datasets import load_data
from ..data.image_set import SPLITS, ImageSet
from .cell import Cell, run_cell
from .defense import Entrant, check_classifier, check_names, entrant_by_name, entrant_of_suite
from .scoring import detectors_for, score_cells, score_description
from .store import Entry, Store
from .suite import Suite, plan_cells

__all__ = [
    "Failure",
    "Listener",
    "Plan",
    "Silent",
    "Summary",
    "estimate_seconds",
    "make_plan",
    "pick_device",
    "run_plan",
]

# cost of a backward pass in forward passes, where weights are frozen; for progress and estimates only
BACKWARD = 1


class Listener(Protocol):
    """Who is told how a run goes."""

    def begin(self, work: float) -> None:
        """Hear how much work there is, in forward passes of one image."""

    def doing(self, what: str) -> None:
        """Hear what is done now."""

    def advance(self, work: float) -> None:
        """Hear that so much of the work is done."""


class Silent:
    """Tells nobody."""

    def begin(self, work: float) -> None: ...

    def doing(self, what: str) -> None: ...

    def advance(self, work: float) -> None: ...


@dataclass(frozen=True)
class Plan:
    """A suite with everything it names loaded and checked.

    Args:
        suite: What to run.
        device: Where.
        entrants: On whom; the suite's models, then the user's defenses.
        surrogate: Of the transfer attacks, or None.
        data: The splits by name.
        cells: Of each entrant, by its name.
        detectors: That apply to each entrant, by its name and theirs.
    """

    suite: Suite
    device: str
    entrants: Sequence[Entrant]
    surrogate: Entrant | None
    data: Mapping[str, ImageSet]
    cells: Mapping[str, Sequence[Cell]]
    detectors: Mapping[str, Mapping[str, Detector]]


@dataclass(frozen=True)
class Failure:
    """A cell or detector that failed, and why."""

    what: str
    why: str


@dataclass(frozen=True)
class Summary:
    """What a run did: cells computed, cells found in the store, and failures."""

    made: int
    found: int
    failures: tuple[Failure, ...] = field(default=())


def pick_device(name: str) -> str:
    """Resolve "auto" to a GPU where there is one.

    Raises:
        ValueError: No such device here.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.split(":", maxsplit=1)[0] not in ("cpu", "cuda"):
        raise ValueError(f"expected --device to be auto, cpu or cuda, got '{name}'")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(
            "expected --device cuda to have a GPU that torch can use, got none; use --device cpu"
        )
    return name


def make_plan(
    suite: Suite, *, defenses: Sequence[str | Path] = (), root: Path | None = None, device: str = "cpu"
) -> Plan:
    """Load data and models, check them, and list the cells; computes no attack.

    Args:
        suite: What to run.
        defenses: The user's own, see `entrant_by_name`.
        root: Where the data are.
        device: Where to compute.

    Raises:
        CheckpointError: A model is missing or damaged.
        DataError: The data are missing or damaged.
        DefenseError: A user's defense cannot be judged, the suite names code, or unlike models would be
            pooled as seeds of one loss.
        ForeignError: Another's model cannot be had, read or used.
    """
    data = {split: load_data(suite.data, split, root) for split in SPLITS}
    channels, height, width = data["test"].x.shape[1:]
    shape = (channels, height, width)
    entrants = [entrant_of_suite(name, shape) for name in suite.models]
    entrants += [entrant_by_name(str(name), shape) for name in defenses]
    check_names(entrants)
    surrogate = entrant_of_suite(suite.surrogate, shape) if suite.surrogate else None
    few = data["test"].images(slice(0, 4)).to(device)
    for entrant in [*entrants, surrogate] if surrogate else entrants:
        entrant.classifier.to(device)
        check_classifier(entrant.name, entrant.classifier, few, data["test"].classes)
    return Plan(
        suite,
        device,
        entrants,
        surrogate,
        MappingProxyType(data),
        {
            entrant.name: plan_cells(suite, entrant, surrogate, data["test"], data["validation"], device)
            for entrant in entrants
        },
        {entrant.name: detectors_for(suite.detectors, entrant, data["test"], device) for entrant in entrants},
    )


def run_plan(plan: Plan, store: Store, listener: Listener | None = None) -> Summary:
    """Compute what the store lacks, cell by cell, each stored as soon as it is done.

    A failed cell stops no other.

    Raises:
        StoreError: The store cannot be written to.
    """
    listener = listener or Silent()
    missing = [cell for cells in plan.cells.values() for cell in cells if not store.sound(cell.description)]
    unscored = {entrant.name for entrant in plan.entrants if _lacks_scores(plan, entrant, store)}
    listener.begin(sum(map(work_of, missing)) + sum(_scoring_work(plan, name) for name in unscored))
    failed_cells: list[Failure] = []
    failed_detectors: list[Failure] = []
    for entrant in plan.entrants:
        finished = []
        for cell in plan.cells[entrant.name]:
            if cell in missing and (failure := _make(plan, entrant, cell, store, listener)):
                failed_cells.append(failure)
            else:
                finished.append(cell)
        if entrant.name in unscored:
            listener.doing(f"{entrant.name} / detectors")
            broken = score_cells(
                entrant,
                finished,
                plan.detectors[entrant.name],
                store,
                plan.data["train"],
                plan.data,
                device=plan.device,
                report=listener.advance,
            )
            failed_detectors += [
                Failure(f"{entrant.name} / detector {name}", why) for name, why in broken.items()
            ]
    total = sum(map(len, plan.cells.values()))
    return Summary(len(missing) - len(failed_cells), total - len(missing), (*failed_cells, *failed_detectors))


def work_of(cell: Cell) -> float:
    """Estimate a cell's work in forward passes of one image; attacks that stop early need less."""
    if cell.attack is None:
        return cell.samples
    forwards, backwards = ATTACKS.build(cell.attack, **cell.options).passes()
    return cell.samples * (forwards + BACKWARD * backwards + 3)  # the judge takes three


def estimate_seconds(plan: Plan, store: Store) -> dict[str, float]:
    """Estimate what the missing cells and scores of each entrant will take.

    From the measured speed of one batch.
    """
    return {
        entrant.name: _seconds_per_forward(plan, entrant)
        * (
            sum(work_of(cell) for cell in plan.cells[entrant.name] if not store.has(cell.description))
            + (_scoring_work(plan, entrant.name) if _lacks_scores(plan, entrant, store) else 0)
        )
        for entrant in plan.entrants
    }


def _make(plan: Plan, entrant: Entrant, cell: Cell, store: Store, listener: Listener) -> Failure | None:
    listener.doing(str(cell))
    share = work_of(cell) / cell.samples
    try:
        entry = run_cell(
            cell,
            entrant,
            plan.surrogate,
            plan.data[cell.split],
            proposed=_proposed(plan, cell, store),
            device=plan.device,
            report=_differences(lambda images: listener.advance(images * share)),
        )
    # Another's attack or model may raise anything; the other cells go on
    except Exception as error:  # noqa: BLE001
        return Failure(str(cell), f"{type(error).__name__}: {error}")
    store.write(entry)
    return None


def _proposed(plan: Plan, cell: Cell, store: Store) -> Entry | None:
    """Find what a transfer attack proposed against another model.

    The surrogate decides that, whoever is to be fooled.
    """
    if cell.surrogate is None:
        return None
    twins = (replace(cell, fingerprint=other.fingerprint) for other in plan.entrants)
    return next((entry for twin in twins if (entry := store.read(twin.description))), None)


def _lacks_scores(plan: Plan, entrant: Entrant, store: Store) -> bool:
    return any(
        not store.sound(score_description(cell, name, detector, plan.data["train"]))
        for cell in plan.cells[entrant.name]
        for name, detector in plan.detectors[entrant.name].items()
    )


def _scoring_work(plan: Plan, name: str) -> float:
    return len(plan.data["train"]) + sum(cell.samples for cell in plan.cells[name])


def _seconds_per_forward(plan: Plan, entrant: Entrant) -> float:
    x = plan.data["test"].images(slice(0, min(plan.suite.batch, plan.suite.samples))).to(plan.device)
    with torch.no_grad():
        entrant.classifier(x)  # the first pass pays for set-up
        start = time.perf_counter()
        entrant.classifier(x).sum().item()
    return (time.perf_counter() - start) / len(x)


def _differences(tell: Callable[[int], None]) -> Callable[[int], None]:
    """Turn "so many by now" into "so many more"."""
    before = 0

    def report(now: int) -> None:
        nonlocal before
        tell(now - before)
        before = now

    return report
