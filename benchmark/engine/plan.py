"""Plans a suite: everything that it names loaded and checked, and its jobs listed; computes no attack."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch

from ...detectors import Detector
from ..data.datasets import load_data
from ..data.image_set import SPLITS, ImageSet
from .cell import Cell
from .defense import Entrant, check_classifier, check_names, entrant_by_name, entrant_of_suite
from .scoring import detectors_for
from .suite import Suite, SuiteError, check_sizes, load_suite, narrow, plan_cells

__all__ = ["Job", "Plan", "make_plan", "pick_device", "plan_suite"]


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


@dataclass(frozen=True)
class Plan:
    """A suite with everything it names loaded and checked.

    Args:
        suite: What to run.
        device: Where.
        surrogate: Of the transfer attacks, or None.
        data: The splits by name.
        jobs: Of the suite's models, then of the user's defenses.
    """

    suite: Suite
    device: str
    surrogate: Entrant | None
    data: Mapping[str, ImageSet]
    jobs: tuple[Job, ...]

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
    root: Path | None = None,
    device: str = "cpu",
) -> Plan:
    """Load data and models, check them, and list the jobs; computes no attack.

    Args:
        suite: What to run.
        defenses: The user's own, loaded or by name, see `entrant_by_name`.
        root: Where the data are.
        device: Where to compute.

    Raises:
        CheckpointError: A model is missing or damaged.
        DataError: The data are missing or damaged.
        DefenseError: A user's defense cannot be judged, the suite names code, or unlike models would be
            pooled as seeds of one loss.
        ForeignError: Another's model cannot be had, read or used.
        SuiteError: There is no model, or an eps is larger than any difference of two images.
    """
    if not suite.models and not defenses:
        raise SuiteError(f"expected {suite.name} to name a model, or --defense to bring one, got none")
    data = {split: load_data(suite.images, split, root) for split in SPLITS}
    channels, height, width = data["test"].x.shape[1:]
    shape = (channels, height, width)
    check_sizes(suite, shape)
    entrants = [entrant_of_suite(name, shape) for name in suite.models]
    entrants += [one if isinstance(one, Entrant) else entrant_by_name(str(one), shape) for one in defenses]
    check_names(entrants)
    surrogate = entrant_of_suite(suite.surrogate, shape) if suite.surrogate else None
    few = data["test"].images(slice(0, 4)).to(device)
    for entrant in [*entrants, surrogate] if surrogate else entrants:
        entrant.classifier.to(device)
        check_classifier(entrant.name, entrant.classifier, few, data["test"].classes)
    jobs = tuple(
        Job(
            entrant,
            plan_cells(suite, entrant, surrogate, data["test"], data["validation"], device),
            detectors_for(suite.detectors, entrant, data["test"], device),
        )
        for entrant in entrants
    )
    return Plan(suite, device, surrogate, MappingProxyType(data), jobs)


def plan_suite(
    suite: str,
    *,
    models: Sequence[str] = (),
    attacks: Sequence[str] = (),
    detectors: Sequence[str] = (),
    samples: int | None = None,
    defenses: Sequence[str | Entrant] = (),
    device: str = "auto",
    root: Path | None = None,
) -> tuple[Plan, str]:
    """Plan a suite, perhaps narrowed (see `narrow`), with defenses beside its models (see `make_plan`).

    Returns:
        The plan, and the name of its results folder.
    """
    whole = load_suite(suite)
    chosen = narrow(whole, models, attacks, detectors, samples)
    # the suite's own checkpoints, which alone have a recipe, are there already
    beside = [
        one for one in defenses if not (isinstance(one, Entrant) and one.recipe and one.name in chosen.models)
    ]
    plan = make_plan(chosen, defenses=beside, root=root, device=pick_device(device))
    narrowed = narrow(whole, samples=whole.samples) != narrow(chosen, samples=chosen.samples)
    own = "".join(f"+{job.entrant.name}" for job in plan.jobs[len(chosen.models) :])
    return plan, f"{whole.name}{own}{'-narrowed' if narrowed else ''}"
