"""A suite: which models meet which attacks under which threat models, scored by which detectors.

One versioned TOML file.

``benchmark/suites/NAME.toml`` holds ours; a path to any other TOML file works as well. A suite's name carries
a version: when its numbers change, so does the name.
"""

import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from fractions import Fraction
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field, PrivateAttr, ValidationError

from ...attacks import ATTACKS, Attack, ThreatModel
from ...attacks.core.attack import check_climbable, check_served
from ...attacks.core.norms import NORMS
from ...detectors import DETECTORS
from ...detectors.detector import OWN
from ...detectors.verification import verification_detector
from ...models.files import Name, is_name
from ...models.losses import about_loss
from ...models.precision import PRECISIONS, computed_in
from ...models.registry import check_known
from ...models.validation import Several, Written, check_once, explain, read_toml
from ..data.datasets import beside, with_options
from ..data.image_set import ImageSet
from .cell import Cell
from .defense import Entrant

__all__ = [
    "DEFAULT",
    "SUITES",
    "AttackPlan",
    "Suite",
    "SuiteError",
    "check_sizes",
    "load_suite",
    "narrow",
    "plan_cells",
    "suites",
]

SUITES = Path(__file__).parents[1] / "suites"

DEFAULT = "digits-v2"
"""What is run where none is named: small, judged by today's rules."""


def _size(value: Any) -> Any:
    try:
        return float(Fraction(value)) if isinstance(value, str) else value
    except (ValueError, ZeroDivisionError):
        raise ValueError(
            f'expected eps to be a number or a fraction such as "8/255", got {value!r}'
        ) from None


Size = Annotated[float, BeforeValidator(_size)]

Names = Annotated[Several[str], BeforeValidator(lambda value: (value,) if type(value) is str else value)]
"""One name, or a list of them."""


class SuiteError(ValueError):
    """A suite that cannot be run as it is written; one line that says why."""


class AttackPlan(Written):
    """One attack of a suite, under one or several sizes of perturbation.

    Args:
        label: How tables call it; names of the registry need not be unique, labels must be.
        attack: Name in the registry.
        options: The attack's fields.
        norm: Of the perturbation.
        eps: Its sizes in input units, numbers or fractions such as "8/255"; [inf] where the attack is to find
            the smallest.
        access: What the attack may ask of the model.
        knows: The detector that it knows, by name, "own" for the one that each loss is verified with; "" for
            none. A model to which that detector does not apply is not attacked.
        seeds: The trainings of each of the suite's losses that it meets, by their seed; None for all. A
            user's defense meets every attack.
        samples: First so many images only; None for all of the suite's.
        precision: What gradients are computed in, "float32" or "bf16"; see `computed_in`. The judge's passes
            are float32's.
        draws: Passes that each answer of the model to the attack is the mean of; more than 1 for defenses
            that draw random numbers, see `Victim`.
    """

    label: Name
    attack: str
    options: dict[str, Any] = Field(default_factory=dict)
    norm: str = "Linf"
    eps: Several[Size] = Field(min_length=1)
    access: str = "white-box"
    knows: str = ""
    seeds: Several[Annotated[int, Field(ge=0)]] | None = Field(None, min_length=1)
    samples: int | None = Field(None, gt=0)
    precision: str = "float32"
    draws: int = Field(1, gt=0)

    def threats(self, knows: str | None = None) -> list[ThreatModel]:
        """List the threat models.

        Args:
            knows: The detector that each names; None for the plan's own word.

        Raises:
            ValueError: One is impossible.
        """
        known = self.knows if knows is None else knows
        return [ThreatModel(self.norm, eps, self.access, known) for eps in self.eps]

    def meets(self, entrant: Entrant) -> bool:
        """Tell whether it attacks the entrant, whatever that is called."""
        return self.seeds is None or not entrant.of_suite or entrant.seed in self.seeds


class Suite(Written):
    """What a benchmark runs.

    Args:
        name: With a version, "mnist-v2".
        about: What it is for, in a sentence or two.
        note: What a reader must know first; stands on top of its page.
        outdated: Whether what is published of it was judged by older rules, so that it is not run any more.
        data: Name of the data set, with its options; see `images`.
        mode: An option of the data that `load_suite` moves into their name: what images that are read from
            files are converted to, "RGB" or "L" (grey).
        classes: Likewise: the names of the classes in another order than the usual one.
        samples: First so many images of the test split.
        seed: Of the attacks' random numbers.
        batch: Images per pass; see `Cell`.
        models: Checkpoints by name or path, or models of the hubs; no code, see `entrant_of_suite`.
        surrogate: Likewise; its gradients are those that the transfer attacks use. Of several, those of their
            `Ensemble`.
        detectors: By name, each with its default configuration.
        attacks: In the order of the tables.
    """

    name: Name
    about: str = ""
    note: str = ""
    outdated: bool = False
    data: str
    mode: Literal["RGB", "L"] | None = Field(None, exclude=True)
    classes: Several[str] = Field((), exclude=True)
    samples: int = Field(gt=0)
    seed: int = 0
    batch: int = Field(250, gt=0)
    models: Several[str]
    surrogate: Names = ()
    detectors: Several[str] = Field(min_length=1)
    attacks: tuple[AttackPlan, ...] = Field(min_length=1)

    _folder: Path = PrivateAttr(Path())

    @property
    def images(self) -> str:
        """The data set as `load_data` takes it: a path in a suite is relative to the suite's file."""
        return beside(self.data, self._folder)


def suites() -> list[str]:
    """Name the suites that come with gmbench."""
    return sorted(path.stem for path in SUITES.glob("*.toml"))


def load_suite(name: str) -> Suite:
    """Read a suite by name or path.

    Raises:
        SuiteError: No such suite, no valid TOML, a key that is misspelt, missing or out of range, or a
            combination that cannot be run.
    """
    path = Path(name)
    if path.suffix != ".toml":
        check_known("suite", name, suites(), SuiteError)
        path = SUITES / f"{name}.toml"
    try:
        table = read_toml(path, "suite")
    except ValueError as error:
        raise SuiteError(str(error)) from None
    try:
        suite = Suite(**{**table, "attacks": _plans(table.get("attacks", []))})
        _check(suite)
    except ValidationError as error:
        raise SuiteError(f"{path.name}: {explain(error, Suite)}") from None
    except (ValueError, KeyError, ImportError) as error:
        raise SuiteError(f"{path.name}: {error}") from None
    data = with_options(suite.data, mode=suite.mode, classes=suite.classes)
    suite = suite.model_copy(update={"data": data, "mode": None, "classes": ()})
    suite._folder = path.parent
    return suite


def narrow(
    suite: Suite,
    models: Sequence[str] = (),
    attacks: Sequence[str] = (),
    detectors: Sequence[str] = (),
    samples: int | None = None,
) -> Suite:
    """Keep only what is named; an empty sequence keeps all. Models and attacks (by label) may be patterns.

    Raises:
        SuiteError: A name or pattern fits nothing, or samples is out of range.
    """
    if samples is not None and not 0 < samples <= suite.samples:
        raise SuiteError(f"expected samples to be between 1 and the suite's {suite.samples}, got {samples}")
    labels = [plan.label for plan in suite.attacks]
    kept = set(_fitting("attack", attacks, labels))
    plans = tuple(
        plan.model_copy(update={"samples": min(plan.samples or suite.samples, samples or suite.samples)})
        for plan in suite.attacks
        if plan.label in kept
    )
    return suite.model_copy(
        update={
            "models": tuple(_fitting("model", models, suite.models)),
            "attacks": plans,
            "detectors": tuple(_fitting("detector", detectors, suite.detectors)),
            "samples": samples or suite.samples,
        }
    )


def plan_cells(
    suite: Suite,
    entrant: Entrant,
    surrogate: Entrant | None,
    test: ImageSet,
    validation: ImageSet,
    device: str,
    known: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> list[Cell]:
    """List an entrant's cells: the clean validation and test images, then every attack at every size.

    Args:
        suite: What to run.
        entrant: On whom.
        surrogate: The suite's, loaded; None if it has none.
        test: The test split.
        validation: The validation split.
        device: Where it will be computed.
        known: The detectors that apply to the entrant, by name, each with its description.
    """
    own = verification_detector(about_loss(entrant.loss).detector, known)

    def cell(
        images: ImageSet,
        samples: int,
        label: str,
        plan: AttackPlan | None = None,
        threat: ThreatModel | None = None,
    ) -> Cell:
        transfer = surrogate is not None and threat is not None and threat.uses_surrogate
        return Cell(
            model=entrant.name,
            fingerprint=entrant.fingerprint,
            data=suite.data,
            data_checksum=images.head(samples).checksum,
            split=images.split,
            samples=samples,
            label=label,
            attack=plan.attack if plan else None,
            options=plan.options if plan else {},
            threat=threat,
            surrogate=surrogate.fingerprint if surrogate and transfer else None,
            known=known[threat.knows] if threat is not None and threat.knows_detector else None,
            seed=suite.seed,
            batch=suite.batch,
            device=device.split(":", maxsplit=1)[0],
            precision=computed_in(plan.precision, device) if plan else "float32",
            draws=plan.draws if plan else 1,
            examples=validation.checksum if plan and _built(plan).needs_examples else None,
        )

    available = min(suite.samples, len(test))
    cells = [cell(validation, len(validation), "clean"), cell(test, available, "clean")]
    for plan in suite.attacks:
        knows = own if plan.knows == OWN else plan.knows
        applies = knows is not None and (knows == "" or knows in known)
        if applies and plan.meets(entrant):
            samples = min(plan.samples or available, available)
            cells += [cell(test, samples, plan.label, plan, threat) for threat in plan.threats(knows)]
    return cells


def _built(plan: AttackPlan) -> Attack:
    return ATTACKS.build(plan.attack, **plan.options)


def _plans(entries: object) -> tuple[AttackPlan, ...]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("expected attacks to be tables, each under a line [[attacks]]")
    return tuple(_plan(entry, place) for entry, place in zip(entries, count(1), strict=False))


def _plan(entry: dict[str, Any], place: int) -> AttackPlan:
    try:
        return AttackPlan(**entry)
    except ValidationError as error:
        label = entry.get("label")
        called = label if is_name(label) else f"number {place}"
        raise ValueError(f"attack {called}: {explain(error, AttackPlan)}") from None


def check_sizes(suite: Suite, shape: tuple[int, ...]) -> None:
    """See that no eps is larger than what any two images of the data differ by.

    Raises:
        SuiteError: One is.
    """
    for plan in suite.attacks:
        most = float(NORMS[plan.norm].size(torch.ones(1, *shape)))
        for eps in plan.eps:
            if most < eps < math.inf:
                raise SuiteError(
                    f"expected eps of attack '{plan.label}' to be at most {most:.4g} in {plan.norm}, the "
                    f"distance of a black image of shape {shape} from a white one, got {eps:g}; pixels lie "
                    "in [0, 1]: is it in units of 1/255?"
                )


def _check(suite: Suite) -> None:
    """Find now what would otherwise fail in the middle of a run."""
    labels = [plan.label for plan in suite.attacks]
    if twice := {label for label in labels if labels.count(label) > 1} | ({"clean"} & set(labels)):
        raise ValueError(
            f"expected every attack's label to be its own, and none 'clean', got {', '.join(sorted(twice))}"
        )
    check_once("model", suite.models)
    check_once("surrogate", suite.surrogate)
    check_once("detector", suite.detectors)
    if patterns := [name for name in suite.models if set(name) & set("*?[")]:
        raise ValueError(
            f"expected models of a suite to be names, not patterns, got '{patterns[0]}'; a run takes "
            "patterns: --models"
        )
    for name in suite.detectors:
        DETECTORS.build(name)
    for plan in suite.attacks:
        attack = _built(plan)
        check_known(f"precision of attack '{plan.label}'", plan.precision, PRECISIONS)
        if plan.precision != "float32" and attack.access != "white-box":
            raise ValueError(
                f"expected precision of attack '{plan.label}' to be float32, got {plan.precision}: "
                f"'{plan.attack}' takes no gradients"
            )
        _check_known(suite, plan, attack)
        check_once(f"eps of attack '{plan.label}'", (float(f"{eps:.6g}") for eps in plan.eps))
        for threat in plan.threats():
            check_served(attack, plan.label, threat)
            if threat.uses_surrogate and not suite.surrogate:
                raise ValueError(
                    f"attack '{plan.label}' is a transfer attack; name a surrogate = \"CHECKPOINT\" in the "
                    "suite"
                )


def _check_known(suite: Suite, plan: AttackPlan, attack: Attack) -> None:
    """See that the detector which an attack is to know is one of the suite's, with gradients if need be."""
    if plan.knows in ("", OWN):
        return
    check_known(f"detector that attack '{plan.label}' knows", plan.knows, (OWN, *suite.detectors))
    check_climbable(attack, plan.label, plan.knows, DETECTORS.build(plan.knows).differentiable)


def _fitting(kind: str, patterns: Sequence[str], names: Sequence[str]) -> list[str]:
    """Select by patterns, in the order of ``names``."""
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            check_known(f"{kind} in this suite", pattern, names, SuiteError)
    return [name for name in names if not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)]
