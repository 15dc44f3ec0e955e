"""A defense: a classifier and perhaps a detector of its own, under a name.

Where it comes from and what it must be.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from ...detectors import Detector
from ...models.checkpoint import load_checkpoint
from ...models.classifier import Classifier, Outputs
from ...models.compiled import as_classifier
from ...models.ensemble import Ensemble
from ...models.files import check_name
from ...models.fingerprint import digest
from ...models.foreign.file import PythonParts
from ...models.foreign.load import HUBS, is_foreign, load_foreign, needs_trust, python_parts
from ...models.foreign.packed import ForeignError, Shape
from ...models.losses import known_losses
from ...models.plugins import loaded_plugins
from ...models.python_file import contents, first_line, running
from ...models.recipe import Recipe
from .entrant import Entrant, fresh
from .failure import GuestError
from .guest.client import Guest, GuestClassifier, GuestDetector
from .guest.process import LIMIT, Program

__all__ = [
    "Defense",
    "DefenseError",
    "Entrant",
    "building",
    "check_classifier",
    "check_names",
    "entrant_by_name",
    "entrant_from_checkpoint",
    "entrant_from_file",
    "entrant_of_suite",
    "fresh",
    "together",
]


class DefenseError(ValueError):
    """A defense that cannot be judged; one line that says why."""


@dataclass(frozen=True)
class Defense:
    """What a researcher hands in.

    Args:
        name: As it is to appear on the leaderboard.
        classifier: In evaluation mode; perhaps compiled, see `as_classifier`.
        detector: Its own, beside the suite's; None for none.
    """

    name: str
    classifier: Classifier
    detector: Detector | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "classifier", as_classifier(self.classifier))


def entrant_by_name(name: str, shape: tuple[int, int, int] | None, guest_limit: float = LIMIT) -> Entrant:
    """Load a defense by what a command line calls it; this may run its code, `entrant_of_suite` does not.

    Args:
        name: A user's ``FILE.py``, another's model (see `gmbench.models.foreign`), or a checkpoint's name in
            the zoo or path.
        shape: Of the images that it will get, (C, H, W); None where that is not known.
        guest_limit: Seconds that a ``FILE.py`` may take over one answer.

    Raises:
        CheckpointError: The checkpoint is missing or damaged.
        ForeignError: The other's model cannot be had, read or used.
        DefenseError: The file gives no defense, or the model is for images of another size.
    """
    if is_foreign(name):
        return _entrant_from_others(name, shape, guest_limit)
    return (
        entrant_from_file(Path(name), guest_limit) if name.endswith(".py") else entrant_from_checkpoint(name)
    )


def entrant_of_suite(name: str, shape: tuple[int, int, int]) -> Entrant:
    """Load a model that a suite names: a checkpoint, or a model that a hub's package lists.

    A suite is a file that goes from hand to hand: running it is to run nobody's code.

    Raises:
        CheckpointError: The checkpoint is missing or damaged.
        ForeignError: The hub's model cannot be had, read or used.
        DefenseError: It may run code, or the model is for images of another size.
    """
    if name.endswith(".py") or needs_trust(name):
        raise DefenseError(
            f"expected a suite to name checkpoints or models that {', '.join(HUBS[:-1])} or {HUBS[-1]} "
            f"lists, got '{name}'; "
            f"if you trust it, say --defense {name}"
        )
    return replace(entrant_by_name(name, shape), of_suite=True)


def _entrant_from_others(name: str, shape: Shape | None, limit: float) -> Entrant:
    told = re.sub(r"[^:@]*/", "", name)  # no folders of the user's machine in published tables
    told = re.sub(r"[^\w.]+", "-", told).strip("-.")  # figures are named after models
    check_name(f"what '{name}' would be called", told, DefenseError)
    if parts := python_parts(name):
        return _entrant_from_python(told, parts, shape, limit)
    model = load_foreign(name, shape=shape)
    if shape is not None and model.shape not in (None, shape):
        raise DefenseError(f"expected '{name}' to be for images of shape {shape}, got one for {model.shape}")
    return Entrant(told, told, 0, model.fingerprint, model)


def _entrant_from_python(told: str, parts: PythonParts, shape: Shape | None, limit: float) -> Entrant:
    """Have a process of its own run a model's Python file, as `entrant_from_file` does."""
    file, builder, weights = parts
    read = digest(file.read_bytes(), builder, weights.read_bytes())  # before it runs
    model = f"{file.resolve()}:{builder}@{weights.resolve()}"
    guest = Guest(Program(file, model, shape, tuple(loaded_plugins())), limit)
    try:
        fingerprint = digest(read, guest.facts.state)
    except GuestError as error:
        raise ForeignError(str(error)) from error
    return Entrant(told, told, 0, fingerprint, GuestClassifier(guest))


def entrant_from_checkpoint(name: str) -> Entrant:
    """Load a checkpoint by its name in the zoo or by path.

    Raises:
        CheckpointError: It is missing or damaged.
    """
    classifier, card = load_checkpoint(name)
    fingerprint = hashlib.sha256(f"{card.sha256}{_computes(card.recipe)}".encode()).hexdigest()
    return Entrant(card.name, card.loss, card.seed, fingerprint, classifier, recipe=card.recipe.name)


def _computes(recipe: Recipe) -> str:
    """Write what decides what a trained model computes, beside its weights.

    An adversary decides the weights alone. It stands among the loss's options, where it stood before it had a
    table of its own: so the cells that stores hold stay good.
    """
    if recipe.adversary is not None:
        adversary = asdict(recipe.adversary)
        del adversary["objective"]
        options = {"name": recipe.group} | adversary | recipe.loss
        recipe = recipe.model_copy(update={"loss": options | {"name": recipe.group}})
    return recipe.model_dump_json(include={"net", "features", "mean", "std", "loss"})


def entrant_from_file(path: Path, limit: float = LIMIT) -> Entrant:
    """Have a process of its own run a user's file and keep what its ``build()`` returns; see `guest`.

    Args:
        path: Of the file. Its code runs there with the user's own rights: only give it files you trust.
        limit: Seconds that it may take over one answer.

    Raises:
        DefenseError: There is no such file, it fails, or ``build()`` does not return a Defense.
    """
    if not path.is_file():
        raise DefenseError(f"no defense file at {path}")
    code = path.read_bytes()  # before it runs
    guest = Guest(Program(path, plugins=tuple(loaded_plugins())), limit)
    try:
        facts = guest.facts
        check_name(f"what build() of {path.name} calls its defense", facts.name, DefenseError)
        if facts.name in known_losses():
            raise DefenseError(
                f"expected a defense to be named after no loss, got '{facts.name}'; give it another name"
            )
        imported = contents(path, {name: Path(file) for name, file in facts.sources.items()})[1:]
    except (GuestError, OSError) as error:
        raise DefenseError(f"{path.name}: {error}" if isinstance(error, OSError) else str(error)) from error
    # what the guest says of itself is hashed with its file: it cannot be taken for another
    fingerprint = digest(code, *imported, facts.state)
    detector = GuestDetector(guest) if facts.detector else None
    return Entrant(facts.name, facts.name, 0, fingerprint, GuestClassifier(guest), detector)


@contextmanager
def building(path: Path) -> Iterator[tuple[Defense, ModuleType]]:
    """Run a user's file in this process, and give what its ``build()`` returns with the file's module.

    Inside the context it may import what lies beside it.

    Raises:
        DefenseError: It fails, or ``build()`` does not return a Defense.
    """
    with running(path, DefenseError) as module:
        build = getattr(module, "build", None)
        if build is None:
            raise DefenseError(f"expected {path.name} to define build(), which returns a gmbench.Defense")
        try:
            defense = build()
        except (Exception, SystemExit) as error:
            raise DefenseError(f"{path.name} failed: {type(error).__name__}: {first_line(error)}") from error
        if not isinstance(defense, Defense):
            raise DefenseError(
                f"expected build() of {path.name} to return a gmbench.Defense, got {type(defense).__name__}"
            )
        if not isinstance(defense.classifier, Classifier):
            raise _no_classifier(defense.name, defense.classifier)
        yield defense, module


def together(entrants: Sequence[Entrant]) -> Entrant | None:
    """Give one entrant for all, their `Ensemble` where there are several, or None where there is none."""
    if len(entrants) < 2:
        return entrants[0] if entrants else None
    name = "+".join(one.name for one in entrants)
    told = " ".join(["ensemble", *(one.fingerprint for one in entrants)])
    fingerprint = hashlib.sha256(told.encode()).hexdigest()
    ensemble = Ensemble([one.classifier for one in entrants]).eval()
    return Entrant(name, name, 0, fingerprint, ensemble, of_suite=True)


def check_names(entrants: Sequence[Entrant]) -> None:
    """See that every name stands for one entrant and every loss for one recipe.

    Tables pool the models of a loss as its seeds.

    Raises:
        DefenseError: A name is there twice, or unlike models would be pooled.
    """
    names: set[str] = set()
    first: dict[str, Entrant] = {}
    for entrant in entrants:
        if entrant.name in names:
            raise DefenseError(f"expected every defense to have its own name, got '{entrant.name}' twice")
        names.add(entrant.name)
        other = first.setdefault(entrant.loss, entrant)
        if entrant.recipe == other.recipe:
            continue
        if not entrant.recipe or not other.recipe:
            raise DefenseError(
                f"expected a defense to be named after no loss of this run, got '{entrant.loss}'; give it "
                "another name"
            )
        raise DefenseError(
            f"expected the models of one loss to be seeds of one recipe, got {other.name} ({other.recipe}) "
            f"and {entrant.name} "
            f"({entrant.recipe}); give each recipe its own suite"
        )


@torch.no_grad()
def check_classifier(name: str, classifier: Classifier, x: Tensor, classes: int) -> None:
    """Try a classifier on a few images before anything is spent on it.

    Args:
        name: For the messages.
        classifier: Whom to try.
        x: Images in [0, 1], (B, *S), at least two.
        classes: K of the data set.

    Raises:
        DefenseError: It is in training mode; or its logits are not (B, K), not finite, or depend on the rest
            of the batch.
    """
    if not isinstance(classifier, Classifier):
        raise _no_classifier(name, classifier)
    if any(module.training for module in classifier.modules()):
        raise DefenseError(
            f"expected '{name}' to be in evaluation mode, got training mode; call classifier.eval() in "
            "build()"
        )
    if x.min() < 0 or x.max() > 1:
        raise DefenseError(f"expected images to lie in [0, 1], got [{x.min():.3g}, {x.max():.3g}]")
    outputs = _tried(name, classifier, x)
    logits = outputs.logits
    if logits.shape != (len(x), classes):
        raise DefenseError(
            f"expected the logits of '{name}' to have the shape {(len(x), classes)}, got "
            f"{tuple(logits.shape)}"
        )
    if outputs.features.ndim != 2:
        raise DefenseError(
            f"expected the features of '{name}' to have the shape (B, D), got {tuple(outputs.features.shape)}"
        )
    if not logits.isfinite().all():
        raise DefenseError(f"expected the logits of '{name}' to be finite, got NaN or infinity")
    if is_random(classifier, x):
        return  # an inspection says so, and what to attack it with
    if not torch.allclose(logits[:1], _tried(name, classifier, x[:1]).logits, rtol=1e-3, atol=1e-3):
        raise DefenseError(
            f"expected a logit of '{name}' to depend on its own image alone, got other logits in another "
            "batch"
        )


def _no_classifier(name: str, got: object) -> DefenseError:
    return DefenseError(
        f"expected the classifier of '{name}' to be a gmbench.Classifier, got {type(got).__name__}"
    )


@torch.no_grad()
def is_random(classifier: Classifier, x: Tensor) -> bool:
    """Tell whether passes of the same images, (B, *S), give other logits."""
    first = classifier.outputs(x).logits
    return not all(torch.equal(first, classifier.outputs(x).logits) for _ in range(4))


def _tried(name: str, classifier: Classifier, x: Tensor) -> Outputs:
    try:
        return classifier.outputs(x)
    # a user's network may raise anything, an AssertionError for a wrong height, say
    except Exception as error:
        raise DefenseError(
            f"'{name}' fails on images of shape {tuple(x.shape[1:])}: {first_line(error)}"
        ) from error
