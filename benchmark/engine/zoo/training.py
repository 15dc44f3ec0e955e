"""Makes a checkpoint out of a recipe: data, training, accuracies and card."""

from collections.abc import Callable
from pathlib import Path

from ....models.checkpoint import Card, save_checkpoint, write_card
from ....models.precision import has_bf16
from ....models.recipe import Recipe
from ....models.training import Progress, accuracy, train
from ...data.datasets import load_data
from ..machine import describe_machine
from .checkpoints import NOTES, count_right, measured, outputs_for

__all__ = ["train_checkpoint"]


def train_checkpoint(
    recipe: Recipe,
    seed: int,
    folder: Path,
    *,
    root: Path | None = None,
    device: str = "cpu",
    report: Callable[[Progress], None] = lambda _: None,
) -> Card:
    """Train ``recipe`` with ``seed`` and write RECIPE-sSEED.safetensors and its card into ``folder``.

    A killed training continues after its last finished epoch: the state lies beside the checkpoint until that
    is written.

    Args:
        recipe: What to train and how.
        seed: Decides initial weights, order and shifts.
        folder: For the checkpoint.
        root: Where the data are.
        device: Where to compute.
        report: Called after each step.

    Raises:
        DataError: The data are missing or damaged.
        Diverged: The loss became NaN or infinite.
        ValueError: What was trained cannot be measured (a class has no training image, say); the checkpoint
            is written nevertheless.
    """
    name = f"{recipe.name}-s{seed}"
    train_set, validation, test = (
        load_data(recipe.data, split, root) for split in ("train", "validation", "test")
    )
    state = folder / f".{name}.state"
    trained = train(
        recipe, train_set.x, train_set.y, train_set.classes, seed, device=device, state=state, report=report
    )
    classifier = trained.classifier
    channels, height, width = train_set.x.shape[1:]
    outputs = outputs_for(classifier, test)
    card = Card(
        name=name,
        recipe=recipe,
        classes=train_set.classes,
        shape=(channels, height, width),
        seed=seed,
        epochs=recipe.epochs,
        data_checksum=train_set.checksum,
        train_images=len(train_set.x),
        validation_accuracy=accuracy(classifier, validation.x, validation.y),
        test_accuracy=count_right(outputs, test) / len(test),
        seconds=round(trained.seconds, 1),
        machine=describe_machine(device) + (", bf16 autocast" if recipe.bf16 and has_bf16(device) else ""),
        note=NOTES.get(recipe.data, ""),
    )
    card = save_checkpoint(classifier, card, folder)
    state.unlink(missing_ok=True)
    card = card.model_copy(update={"measurements": measured(classifier, train_set, test, outputs)})
    write_card(card, folder)
    return card
