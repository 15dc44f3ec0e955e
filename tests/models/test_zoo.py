"""Every checkpoint that comes with gmbench is what its card says."""

from functools import cache
from pathlib import Path

import pytest

from gmbench.benchmark.data import load_data
from gmbench.benchmark.image_set import ImageSet
from gmbench.models import Card, checkpoints, load_checkpoint, load_recipe, read_card
from gmbench.models.checkpoint import ZOO
from gmbench.models.training import accuracy

NAMES = checkpoints()
MEGABYTE = 1_000_000


@cache
def data(name: str, split: str, root: Path | None = None) -> ImageSet:
    return load_data(name, split, root)


def test_there_is_one_for_each_loss() -> None:
    assert {f"digits-{loss}-s0" for loss in ("softmax", "center", "lgm", "surrogate")} <= set(NAMES)


def test_every_file_belongs_to_a_checkpoint() -> None:
    found = {path.name for path in ZOO.iterdir() if not path.name.startswith(".")}
    assert found == {f"{name}{suffix}" for name in NAMES for suffix in (".json", ".safetensors")}


@pytest.mark.parametrize("name", NAMES)
def test_loads_and_agrees_with_its_recipe(name: str) -> None:
    classifier, card = load_checkpoint(name)
    assert not classifier.training
    assert card.name == name == f"{card.recipe.name}-s{card.seed}"
    assert card.recipe == load_recipe(card.recipe.name)
    assert card.epochs == card.recipe.epochs
    assert (ZOO / f"{name}.safetensors").stat().st_size < 4 * MEGABYTE


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("digits-")])
def test_digits_accuracy_is_that_of_the_card(name: str) -> None:
    classifier, card = load_checkpoint(name)
    for split, stated in (("test", card.test_accuracy), ("validation", card.validation_accuracy)):
        images = data("digits", split)
        assert accuracy(classifier, images.x, images.y) == pytest.approx(stated, abs=1e-3)
    assert card.test_accuracy >= 0.97 or "surrogate" in name


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("mnist-")])
def test_mnist_checkpoint_knows_its_digits(name: str, mnist_root: Path) -> None:
    classifier, card = load_checkpoint(name)
    images = data("mnist", "test", mnist_root).head(500)
    assert accuracy(classifier, images.x, images.y, batch=250) >= 0.98
    assert card.test_accuracy >= least(card)


def least(card: Card) -> float:
    """Tell which test accuracy a checkpoint must have."""
    if card.recipe.features == 2 or card.loss.endswith("_at") or card.loss == "trades" or "surrogate" in card.name:
        return 0.98
    return 0.994 if card.loss in ("softmax", "center", "lgm") else 0.993


@pytest.mark.parametrize("name", NAMES)
def test_was_trained_on_the_training_split(name: str, request: pytest.FixtureRequest) -> None:
    card = read_card(name)
    root = request.getfixturevalue("mnist_root") if card.data == "mnist" else None
    train = data(card.data, "train", root)
    assert card.data_checksum == train.checksum
    assert card.train_images == len(train)
    assert card.classes == train.classes
    assert card.shape == tuple(train.x.shape[1:])
