"""Small Gaussian-mixture classifiers on which every attack is tested, in float64."""

from collections.abc import Callable

import pytest
from torch import Tensor

from gmbench.benchmark.contracts.problems import build_conv, build_linear
from gmbench.models import Classifier


@pytest.fixture
def linear() -> Callable[..., tuple[Classifier, Tensor, Tensor]]:
    """Builds a classifier with linear boundaries and images at one exact distance from the nearest."""
    return build_linear


@pytest.fixture
def conv() -> Callable[..., tuple[Classifier, Tensor, Tensor]]:
    """Builds a convolutional classifier with large margins and images with half of the pixels 0 or 1."""
    return build_conv
