"""A checkpoint is made from a recipe and the data alone, and its card tells all."""

from pathlib import Path

import pytest

from gmbench.benchmark.data.datasets import load_data
from gmbench.benchmark.engine.zoo.training import train_checkpoint
from gmbench.models import load_checkpoint, load_recipe
from gmbench.models.training import Progress, accuracy


def test_a_checkpoint_and_its_card(tmp_path: Path) -> None:
    recipe = load_recipe("digits-lgm").model_copy(update={"epochs": 3})
    seen: list[Progress] = []
    card = train_checkpoint(recipe, 5, tmp_path, report=seen.append)
    train, test = load_data("digits", "train"), load_data("digits", "test")
    assert card.name == "digits-lgm-s5"
    assert (card.seed, card.epochs, card.train_images, card.shape, card.classes) == (
        5,
        3,
        len(train),
        (1, 8, 8),
        10,
    )
    assert card.data_checksum == train.checksum
    assert seen[-1].step == seen[-1].steps == 3 * 17
    classifier, loaded = load_checkpoint(tmp_path / "digits-lgm-s5.safetensors")
    assert loaded == card
    assert accuracy(classifier, test.x, test.y) == card.test_accuracy
    # no state is left
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "digits-lgm-s5.json",
        "digits-lgm-s5.safetensors",
    ]


def test_a_stopped_training_keeps_its_finished_epochs(tmp_path: Path) -> None:
    recipe = load_recipe("digits-softmax").model_copy(update={"epochs": 2, "bf16": False})

    def stop(progress: Progress) -> None:
        if progress.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_checkpoint(recipe, 0, tmp_path / "a", report=stop)
    seen: list[Progress] = []
    continued = train_checkpoint(recipe, 0, tmp_path / "a", report=seen.append)
    assert seen[0].epoch == 2
    assert continued.sha256 == train_checkpoint(recipe, 0, tmp_path / "b").sha256
