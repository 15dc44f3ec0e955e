"""A training that takes a moment, a checkpoint of it that nobody trained.

And a net that shows what it is given.
"""

import pytest
import torch
from torch import Tensor, nn

from gmbench.models import Card, Classifier, Recipe
from gmbench.models.recipe import build_classifier


class TwoPixels(nn.Module):
    """Two pixels times a parameter each, and a record of what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2, dtype=torch.float64))
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.detach().clone())
        return x.flatten(1) * self.scale


@pytest.fixture
def make_net() -> type[TwoPixels]:
    return TwoPixels


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(
        name="tiny",
        source="This test.",
        data="noise",
        net="digits-mlp",
        features=4,
        mean=0.5,
        std=0.25,
        loss={"name": "softmax"},
        epochs=3,
        batch=8,
        lr=0.05,
        weight_decay=0.001,
        clip=5.0,
        padding=1,
        bf16=False,
    )


@pytest.fixture
def card(recipe: Recipe) -> Card:
    return Card(
        name="tiny-s7",
        recipe=recipe,
        classes=3,
        shape=(1, 8, 8),
        seed=7,
        epochs=3,
        data_checksum="0" * 64,
        train_images=20,
        validation_accuracy=0.5,
        test_accuracy=0.25,
        seconds=1.5,
        machine="none",
    )


@pytest.fixture
def classifier(card: Card) -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_classifier(card.recipe, card.classes)
