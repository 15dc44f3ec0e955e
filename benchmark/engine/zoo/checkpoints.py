"""The zoo: its checkpoints measured, verified and listed. `LIST` says which recipes and seeds belong to it.

A card's accuracy is recomputed from the weights and the test split. Up to `TOLERANCE` images may come out
otherwise: another machine's kernels round otherwise, which can turn an image that lies on a decision
boundary, and nothing but such an image.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

from ....models.checkpoint import ZOO, Card, CheckpointError, checkpoints, load_checkpoint, write_card
from ....models.classifier import Classifier, Outputs
from ....models.measurements import Measurements, class_means, measure
from ....models.registry import check_known
from ....models.training import accuracy
from ...data.datasets import DataError, ImageSet, load_data
from ..passes import outputs_of_all

__all__ = [
    "LIST",
    "NOTES",
    "Verification",
    "count_right",
    "fetched",
    "listed",
    "matching",
    "measure_checkpoint",
    "measured",
    "outputs_for",
    "refresh",
    "untrained",
    "verify",
]

LIST = ZOO.with_suffix(".toml")
"""The file that says what belongs to the zoo: ``RECIPE = [SEED, ...]``, those of `FETCHED` in a table."""

FETCHED = "fetched"
"""The table of the recipes whose data not everybody has."""

NOTES = {"cifar10-jpeg": "Trained on JPEG copies of CIFAR-10, not bit for bit CIFAR-10."}
"""What the card of a model trained on these data must say."""

TOLERANCE = 2  # test images
BATCH = 250  # a CPU is faster than at 1000, as the activations stay closer to its cache


@dataclass(frozen=True)
class Verification:
    """Whether a checkpoint is what its card says.

    Args:
        name: Of the checkpoint.
        recorded: Test images that the card says are classified rightly.
        found: Those that are.
        of: Test images.
        problem: Why nothing could be recomputed (damaged weights, missing data), or nothing.
    """

    name: str
    recorded: int = 0
    found: int = 0
    of: int = 0
    problem: str = ""

    @property
    def holds(self) -> bool:
        """Whether the card can be trusted."""
        return not self.problem and abs(self.recorded - self.found) <= TOLERANCE

    def __str__(self) -> str:
        if self.problem:
            return f"{self.name}: {self.problem}"
        if self.recorded == self.found:
            return f"{self.name}: equal, {self.found} of {self.of} right"
        judged = (
            f"within the {TOLERANCE} images that another machine's rounding may turn"
            if self.holds
            else "differs"
        )
        return f"{self.name}: {judged}, {self.found} of {self.of} right, {self.recorded} by its card"


def verify(name: str, folder: Path = ZOO, root: Path | None = None, device: str = "cpu") -> Verification:
    """Recompute a checkpoint's test accuracy and compare it with its card.

    Damage and missing data are part of the verification.

    Args:
        name: Of a checkpoint in ``folder``.
        folder: Where it lies.
        root: Where the data are.
        device: Where to compute.
    """
    try:
        classifier, card = load_checkpoint(name, folder)
        test = _split(card.data, "test", root)
    except (CheckpointError, DataError) as error:
        return Verification(name, problem=str(error))
    return _verification(card, round(accuracy(classifier.to(device), test.x, test.y) * len(test)), len(test))


def measure_checkpoint(name: str, folder: Path = ZOO, root: Path | None = None, device: str = "cpu") -> Card:
    """Give a checkpoint's card with its measurements made anew; the accuracies stay those of the training.

    Raises:
        CheckpointError: The checkpoint is missing or damaged, its accuracy is not the card's, or the data are
            not those of its training.
        DataError: The data are missing or damaged.
    """
    classifier, card = load_checkpoint(name, folder)
    train, test = (_split(card.data, split, root) for split in ("train", "test"))
    if train.checksum != card.data_checksum:
        raise CheckpointError(
            f"expected the training images of '{card.data}' to have the sha256 {card.data_checksum[:12]} of "
            f"{card.name}'s card, "
            f"got {train.checksum[:12]}"
        )
    outputs = outputs_for(classifier.to(device), test)
    verification = _verification(card, count_right(outputs, test), len(test))
    if not verification.holds:
        raise CheckpointError(str(verification))
    measurements = measured(classifier, train, test, outputs)
    return card.model_copy(
        update={"measurements": measurements, "note": card.note or NOTES.get(card.data, "")}
    )


def refresh(name: str, folder: Path = ZOO, root: Path | None = None, device: str = "cpu") -> Card:
    """Measure a checkpoint and write the measurements into its card; see `measure_checkpoint`."""
    card = measure_checkpoint(name, folder, root, device)
    write_card(card, folder)
    return card


def outputs_for(classifier: Classifier, images: ImageSet) -> Outputs:
    """Compute the outputs of a split on the classifier's device and bring them to the CPU.

    x is empty, see `outputs_of_all`.
    """
    return outputs_of_all(classifier, images, BATCH, next(classifier.parameters()).device).cpu()


def count_right(outputs: Outputs, images: ImageSet) -> int:
    """Count the images that are classified rightly."""
    return int((outputs.predicted == images.y).sum())


def measured(classifier: Classifier, train: ImageSet, test: ImageSet, outputs: Outputs) -> Measurements:
    """Measure from the test images' `outputs_for`, with the class means of the training features.

    Raises:
        ValueError: A class has no training image, or features or logits are not finite.
    """
    means = class_means(outputs_for(classifier, train).features, train.y, train.classes)
    return measure(outputs.features, outputs.logits, test.y, means)


def matching(patterns: Sequence[str], folder: Path = ZOO) -> list[str]:
    """Name the checkpoints that fit a name or pattern such as ``'*-s0'``; all without any.

    Raises:
        CheckpointError: No checkpoint fits one of them, or the folder has none at all.
    """
    names = checkpoints(folder)
    if not names:
        raise CheckpointError(f"no checkpoints in {folder}")
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            check_known("checkpoint", pattern, names, CheckpointError)
    return [name for name in names if not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)]


def listed(path: Path = LIST) -> list[tuple[str, int]]:
    """Read which recipes with which seeds belong to the zoo, in the order of the file.

    Raises:
        ValueError: The file is no TOML, or something in it is no list of seeds.
    """
    always, fetched = _read_list(path)
    wanted = {**always, **fetched}
    for recipe, seeds in wanted.items():
        if not isinstance(seeds, list) or not all(type(seed) is int and seed >= 0 for seed in seeds):
            raise ValueError(
                f"expected '{recipe}' in {path.name} to be a list of seeds such as [0, 1, 2], got {seeds!r}"
            )
    return [(recipe, seed) for recipe, seeds in wanted.items() for seed in seeds]


def fetched(path: Path = LIST) -> list[str]:
    """Name the listed recipes whose data not everybody has."""
    return list(_read_list(path)[1])


def _read_list(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        wanted = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path.name} is no valid TOML: {error}") from None
    table = wanted.pop(FETCHED, {})
    if not isinstance(table, dict):
        told = f"expected '{FETCHED}' in {path.name} to be a table of recipes, got {table!r}"
        raise ValueError(told)  # noqa: TRY004 - a file's
    return wanted, table


def untrained(folder: Path = ZOO, path: Path = LIST) -> list[tuple[str, int]]:
    """Tell which of the `listed` have no checkpoint yet."""
    present = set(checkpoints(folder))
    return [(recipe, seed) for recipe, seed in listed(path) if f"{recipe}-s{seed}" not in present]


def _verification(card: Card, right: int, of: int) -> Verification:
    return Verification(card.name, round(card.test_accuracy * of), right, of)


# one data set: checkpoints come sorted by theirs, and decoding images takes longer than classifying them
@lru_cache(maxsize=2)
def _split(data: str, split: str, root: Path | None) -> ImageSet:
    return load_data(data, split, root)
