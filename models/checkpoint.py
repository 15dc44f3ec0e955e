"""Checkpoints: weights as safetensors, everything one must know about them as a JSON card.

Tied together by a hash.

``NAME.safetensors`` and ``NAME.json`` lie side by side; `ZOO` is the folder of those that come with gmbench.
Weights that torch pickled (``NAME.pt``) load by their path if they are tensors and nothing else: torch's
restricted unpickler runs no code.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.torch import save

from .classifier import Classifier
from .files import RECIPES, Name, write_file
from .measurements import Measurements
from .recipe import Recipe, build_classifier
from .registry import UnknownName, check_known
from .validation import explain
from .weights import PICKLED, fit_weights, read_weights

__all__ = [
    "ZOO",
    "Card",
    "CheckpointError",
    "checkpoints",
    "load_checkpoint",
    "read_card",
    "save_checkpoint",
    "write_card",
]

ZOO = Path(__file__).parent / "zoo"

CHECKSUM = "card_sha256"
"""Key of a card's file for the sha256 of all its others; cards of an earlier version have none."""


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged or not what its card says."""


class Card(BaseModel):
    """What one must know about a checkpoint.

    Args:
        name: File name without suffix.
        recipe: What was trained and how, complete.
        classes: K.
        shape: One input's shape, (C, H, W).
        seed: Of the training.
        epochs: That were trained.
        data_checksum: sha256 of the training split's images and labels.
        train_images: Size of that split.
        validation_accuracy: On the split that was held out of the training data.
        test_accuracy: On the test split; nothing was chosen by it.
        seconds: Wall time of the training, of its epochs before a kill, too; includes the time that other
            work took from the machine.
        machine: Processor or accelerator, precision and versions.
        sha256: Of the weights' file.
        measurements: Calibration and feature statistics on the test split; None where nobody measured.
        licence: Of the weights, an SPDX identifier.
        note: What a reader must not miss, a sentence, or nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    recipe: Recipe
    classes: int
    shape: tuple[int, int, int]
    seed: int
    epochs: int
    data_checksum: str
    train_images: int
    validation_accuracy: float
    test_accuracy: float
    seconds: float
    machine: str
    sha256: str = ""
    measurements: Measurements | None = None
    licence: str = "MIT"
    note: str = ""

    @property
    def data(self) -> str:
        """The data set it was trained on."""
        return self.recipe.data

    @property
    def loss(self) -> str:
        """What frames call its loss."""
        return self.recipe.group


def checkpoints(folder: Path = ZOO) -> list[str]:
    """Name the checkpoints in a folder."""
    return sorted(path.stem for path in folder.glob("*.json"))


def save_checkpoint(classifier: Classifier, card: Card, folder: Path) -> Card:
    """Write weights and card, each complete or not at all; returns the card with the hash.

    Args:
        classifier: Its weights are written contiguous, parameters in the recipe's type.
        card: Without hash.
        folder: Made if need be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stored = {name: value.detach().cpu().contiguous() for name, value in classifier.state_dict().items()}
    if card.recipe.weights == "float16":
        stored |= {name: stored[name].half() for name, _ in classifier.named_parameters()}
    weights = save(stored)
    card = card.model_copy(update={"sha256": hashlib.sha256(weights).hexdigest()})
    write_file(folder / f"{card.name}.safetensors", weights)
    write_card(card, folder)
    return card


def write_card(card: Card, folder: Path = ZOO) -> None:
    """Write a card with its own checksum, complete or not at all, in the place of the one that is there."""
    told = card.model_dump(mode="json")
    content = json.dumps(told | {CHECKSUM: _checksum(told)}, indent=2, ensure_ascii=False) + "\n"
    write_file(folder / f"{card.name}.json", content.encode())


def read_card(name: str | Path, folder: Path = ZOO) -> Card:
    """Read a card by the checkpoint's name in ``folder`` or by the path of its card or weights.

    Raises:
        CheckpointError: No such checkpoint, or the card is damaged.
    """
    path = _card_path(name, folder)
    try:
        told = json.loads(path.read_bytes())
        known = told.pop(CHECKSUM, None) if isinstance(told, dict) else None
        card = Card.model_validate_json(json.dumps(told))
    except FileNotFoundError:
        known = path.parent == ZOO and (RECIPES / f"{path.stem.rpartition('-s')[0]}.toml").exists()
        hint = "; it is not trained yet: gmbench zoo train" if known else ""
        raise CheckpointError(f"no checkpoint card at {path}{hint}") from None
    except ValueError as error:
        if not isinstance(error, ValidationError):
            raise CheckpointError(f"{path.name} is damaged: invalid JSON: {error}") from None
        raise CheckpointError(f"{path.name} is damaged: {explain(error, Card)}") from None
    if known not in (None, _checksum(told)):
        raise CheckpointError(
            f"{path.name} is damaged: it does not have its own checksum; restore it, or take {CHECKSUM} out "
            "where it was changed on purpose"
        )
    return card


def load_checkpoint(name: str | Path, folder: Path = ZOO) -> tuple[Classifier, Card]:
    """Load a checkpoint in evaluation mode after its hash was verified.

    Args:
        name: Of the checkpoint in ``folder``, or the path of its card or weights.
        folder: Where names are looked for.

    Raises:
        CheckpointError: No such checkpoint, or weights that do not have the card's hash, do not fit the
            recipe's network, or are pickled with more than tensors.
    """
    card = read_card(name, folder)
    pickled = Path(name).suffix in PICKLED
    path = Path(name) if pickled else _card_path(name, folder).with_suffix(".safetensors")
    if not path.exists():
        raise CheckpointError(f"no weights at {path}")
    weights = path.read_bytes()
    found = hashlib.sha256(weights).hexdigest()
    if found != card.sha256:
        raise CheckpointError(
            f"expected {path.name} to have the sha256 {card.sha256[:12]} of its card, got {found[:12]}: "
            "the file is damaged; restore or retrain it"
        )
    try:
        state = read_weights(path.name, weights)
    except ValueError as error:
        raise CheckpointError(str(error)) from None
    try:
        with torch.random.fork_rng(devices=[]):
            classifier = build_classifier(card.recipe, card.classes)
        fit_weights(classifier, state)
    except (UnknownName, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{path.name} does not fit the network of its card: {str(error).splitlines()[-1].strip()}"
        ) from None
    return classifier.eval(), card


def _checksum(told: Any) -> str:
    """Hash what a card tells, however it is laid out."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _card_path(name: str | Path, folder: Path) -> Path:
    path = Path(name)
    if path.suffix in (".json", ".safetensors", *PICKLED):
        return path.with_suffix(".json")
    try:
        check_known("checkpoint", str(name), checkpoints(folder), CheckpointError)
    except CheckpointError as error:
        raise CheckpointError(f"{error} (train one with: gmbench train RECIPE)") from None
    return folder / f"{name}.json"
