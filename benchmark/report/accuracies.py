"""The test accuracies of a suite's checkpoints, as their cards have them."""

from collections.abc import Mapping

from ...models.checkpoint import CheckpointError, read_card
from ...models.measurements import wilson_interval
from ..analysis.claims.comparison import Accuracy

__all__ = ["accuracies_of"]


def accuracies_of(models: Mapping[str, str], data: str, images: int) -> list[Accuracy]:
    """Take the test accuracies from the cards of the checkpoints that were trained on the suite's data.

    Args:
        models: {name in the tables: name or path of the checkpoint}; what is none is left out.
        data: Of the suite.
        images: In the test split.
    """
    accuracies = []
    for name, checkpoint in models.items():
        try:
            card = read_card(checkpoint)
        except CheckpointError:  # no checkpoint but another's model or a file
            continue
        if card.name == name and card.data == data:
            low, high = wilson_interval(round(card.test_accuracy * images), images)
            trained = card.data, card.recipe.features, card.epochs
            accuracies.append(Accuracy(name, card.loss, *trained, card.test_accuracy, low, high, card.note))
    return accuracies
