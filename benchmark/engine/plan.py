"""Plans a suite: everything that it names loaded and checked, and its jobs listed; computes no attack."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import pandas as pd
import torch

from ...detectors import Detector
from ...models import Classifier
from ..data.datasets import load_data
from ..data.image_set import SPLITS, ImageSet
from .cell import Cell
from .defense import (
    DefenseError,
    Entrant,
    check_classifier,
    check_names,
    entrant_by_name,
    entrant_of_suite,
    together,
)
from .entry import Entry
from .failure import Failure, say
from .guest.process import LIMIT
from .probe import Probed, probe
from .scoring import detector_description, detectors_for
from .store import Store
from .suite import DEFAULT, Suite, SuiteError, check_sizes, load_suite, narrow, plan_cells

__all__ = ["Job", "Plan", "PublishedRows", "make_plan", "pick_device", "plan_suite"]


LONGEST_FOLDER = 200
"""Bytes; file systems take 255, and more is put before and behind it."""


@dataclass(frozen=True, eq=False)
class Job:
    """What there is to do for one entrant: the unit that is planned, computed, resumed and reported.

    Args:
        entrant: On whom.
        cells: Its clean validation and test images, then every attack at every size.
        detectors: Those that apply to it, by name.
    """

    entrant: Entrant
    cells: Sequence[Cell]
    detectors: Mapping[str, Detector]


@dataclass(frozen=True, eq=False)
class PublishedRows:
    """Rows of the samples table that were computed before, elsewhere perhaps.

    Args:
        frame: The rows.
        told: Whose they are and where they come from, for the page.
        checksum: Of the files that they were in.
        inspections: What those models were asked, see `inspections_frame`.
    """

    frame: pd.DataFrame = field(repr=False)
    told: str
    checksum: str
    inspections: pd.DataFrame = field(repr=False)


@dataclass(frozen=True)
class Plan:
    """A suite with everything it names loaded and checked.

    Args:
        suite: What to run.
        device: Where.
        surrogate: Of the transfer attacks, or None.
        data: The splits by name.
        jobs: Of the suite's models, then of the user's defenses.
        failures: Defenses that cannot be judged.
        probes: Outputs that the store has not yet, see `probe`.
        changed: Entrants whose files are the same and whose outputs are not.
        published: Rows of models whose jobs have no cells therefore.
    """

    suite: Suite
    device: str
    surrogate: Entrant | None
    data: Mapping[str, ImageSet]
    jobs: tuple[Job, ...]
    failures: tuple[Failure, ...] = ()
    probes: tuple[Entry, ...] = ()
    changed: tuple[str, ...] = ()
    published: PublishedRows | None = None

    def cells(self) -> Iterator[Cell]:
        """Give the cells of all jobs."""
        return (cell for job in self.jobs for cell in job.cells)


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
    suite: Suite,
    *,
    defenses: Sequence[str | Path | Entrant] = (),
    guest_limit: float = LIMIT,
    root: Path | None = None,
    device: str = "cpu",
    store: Store | None = None,
) -> Plan:
    """Load data and models, check them, and list the jobs; computes no attack.

    Args:
        suite: What to run.
        defenses: The user's own, loaded or by name, see `entrant_by_name`. One that cannot be judged stops no
            other: it is among the plan's failures.
        guest_limit: Seconds that a FILE.py among them may take over one answer.
        root: Where the data are.
        device: Where to compute.
        store: Of cells; outputs are compared with those that it keeps, see `probe`. None compares nothing.

    Raises:
        CheckpointError: A model is missing or damaged.
        DataError: The data are missing or damaged.
        DefenseError: The suite names code, unlike models would be pooled as seeds of one loss, or no defense
            at all can be judged.
        ForeignError: Another's model cannot be had, read or used.
        SuiteError: There is no model, or an eps is larger than any difference of two images.
    """
    if not suite.models and not defenses:
        raise SuiteError(f"expected {suite.name} to name a model, or --defense to bring one, got none")
    data = {split: load_data(suite.images, split, root) for split in SPLITS}
    test = data["test"]
    channels, height, width = test.x.shape[1:]
    shape = (channels, height, width)
    check_sizes(suite, shape)
    models = [entrant_of_suite(name, shape) for name in suite.models]
    own, failures = _loaded(defenses, guest_limit, shape, test, device)
    check_names([*models, *own])
    surrogate = together([entrant_of_suite(name, shape) for name in suite.surrogate])
    for entrant in [*models, surrogate] if surrogate else models:
        _check(entrant, test, device)
    probed = [_probed(entrant, test, store, device) for entrant in [*models, *own]]
    of_surrogate = _probed(surrogate, test, store, device) if surrogate else None
    surrogate = of_surrogate.entrant if of_surrogate else None
    jobs = tuple(_job(suite, one.entrant, surrogate, data, device) for one in probed)
    everybody = [*probed, of_surrogate] if of_surrogate else probed
    return Plan(
        suite,
        device,
        surrogate,
        MappingProxyType(data),
        jobs,
        failures,
        tuple(one.outputs for one in everybody if one.outputs is not None),
        tuple(one.entrant.name for one in everybody if one.changed),
    )


def _job(
    suite: Suite, entrant: Entrant, surrogate: Entrant | None, data: Mapping[str, ImageSet], device: str
) -> Job:
    test, validation = data["test"], data["validation"]
    detectors = detectors_for(suite.detectors, entrant, test, device)
    known = {
        name: {**detector_description(name, detector, data["train"]), "validation": validation.checksum}
        for name, detector in detectors.items()
    }
    return Job(entrant, plan_cells(suite, entrant, surrogate, test, validation, device, known), detectors)


def _loaded(
    defenses: Sequence[str | Path | Entrant],
    guest_limit: float,
    shape: tuple[int, int, int],
    test: ImageSet,
    device: str,
) -> tuple[list[Entrant], tuple[Failure, ...]]:
    """Load and check the user's defenses, each by itself.

    Raises:
        Exception: Of the first, where none of them can be judged.
    """
    entrants: list[Entrant] = []
    failures: list[Failure] = []
    errors: list[Exception] = []
    for one in defenses:
        try:
            entrant = one if isinstance(one, Entrant) else entrant_by_name(str(one), shape, guest_limit)
            _check(entrant, test, device)
            detectors_for((), entrant, test, device)
        except Exception as error:  # noqa: BLE001 - a user's defense may raise anything; the others go on
            told = one.name if isinstance(one, Entrant) else Path(one).name
            ours = isinstance(error, ValueError | ImportError)  # which say all
            failures.append(Failure(told, "", str(error) if ours else say(error)))
            errors.append(error if ours else DefenseError(str(failures[-1])))
        else:
            entrants.append(entrant)
    if defenses and not entrants:
        raise errors[0]
    return entrants, tuple(failures)


def _check(entrant: Entrant, test: ImageSet, device: str) -> None:
    if isinstance(entrant.classifier, Classifier):
        entrant.classifier.to(device)
    check_classifier(entrant.name, entrant.classifier, test.images(slice(0, 4)).to(device), test.classes)


def _probed(entrant: Entrant, test: ImageSet, store: Store | None, device: str) -> Probed:
    return Probed(entrant, None, changed=False) if store is None else probe(entrant, test, store, device)


def plan_suite(
    suite: str,
    *,
    models: Sequence[str] = (),
    attacks: Sequence[str] = (),
    detectors: Sequence[str] = (),
    samples: int | None = None,
    defenses: Sequence[str | Entrant] = (),
    guest_limit: float = LIMIT,
    device: str = "auto",
    root: Path | None = None,
    store: Store | None = None,
) -> tuple[Plan, str]:
    """Plan a suite, perhaps narrowed (see `narrow`), with defenses beside its models (see `make_plan`).

    Returns:
        The plan, and the name of its results folder.
    """
    whole = load_suite(suite)
    if whole.outdated:
        raise SuiteError(
            f"expected a suite of today's rules, got '{whole.name}': {whole.note} Run {DEFAULT}, or look at "
            f"what is published: results/{whole.name}"
        )
    chosen = narrow(whole, models, attacks, detectors, samples)
    # the suite's own checkpoints, which alone have a recipe, are there already
    beside = [
        one for one in defenses if not (isinstance(one, Entrant) and one.recipe and one.name in chosen.models)
    ]
    plan = make_plan(
        chosen, defenses=beside, guest_limit=guest_limit, root=root, device=pick_device(device), store=store
    )
    narrowed = narrow(whole, samples=whole.samples) != narrow(chosen, samples=chosen.samples)
    own = "".join(f"+{job.entrant.name}" for job in plan.jobs[len(chosen.models) :])
    folder = f"{whole.name}{own}{'-narrowed' if narrowed else ''}"
    if (size := len(folder.encode())) > LONGEST_FOLDER:
        raise ValueError(
            f"expected the results' folder to have at most {LONGEST_FOLDER} bytes, got {size}: "
            f"{folder[:40]}...; run fewer defenses at once"
        )
    return plan, folder
