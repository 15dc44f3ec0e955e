"""Small Gaussian-mixture classifiers on which every attack is tested, in float64, and the zoo's models."""

from collections.abc import Callable
from pathlib import Path

import pytest
from torch import Tensor

from gmbench.benchmark.contracts.problems import build_conv, build_linear
from gmbench.benchmark.data.datasets import load_data
from gmbench.models import Classifier, load_checkpoint

from .pair import Pair


@pytest.fixture
def linear() -> Callable[..., tuple[Classifier, Tensor, Tensor]]:
    """Builds a classifier with linear boundaries and images at one exact distance from the nearest."""
    return build_linear


@pytest.fixture
def conv() -> Callable[..., tuple[Classifier, Tensor, Tensor]]:
    """Builds a convolutional classifier with large margins and images with half of the pixels 0 or 1."""
    return build_conv


@pytest.fixture
def zoo(mnist_root: Path) -> Callable[[str, int], tuple[Classifier, Tensor, Tensor]]:
    """Gives a checkpoint of the zoo, frozen, and the first test images of its data."""

    def build(name: str, images: int) -> tuple[Classifier, Tensor, Tensor]:
        classifier, card = load_checkpoint(name)
        test = load_data(card.recipe.data, "test", mnist_root).head(images)
        return classifier.eval().requires_grad_(False), test.images(), test.y

    return build


@pytest.fixture
def pair() -> Pair:
    """Images of two pixels with the exact answer to an attack on their detector."""
    return Pair()
