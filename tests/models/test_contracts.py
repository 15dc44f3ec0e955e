"""What every registered head and every registered network promises."""

from functools import partial

import pytest
import torch

from gmbench.benchmark.contracts.loss import (
    check_along_gradient,
    check_evaluation,
    check_finite,
    check_gradient,
    check_huge,
    check_likelihood,
    check_logits,
    check_mean,
    check_net,
    seeded,
)
from gmbench.models import HEADS, NETS, Head

D, K = 3, 4
FEATURES = {"gccs": K}
"""D of the heads that cannot have any."""

BATCH_STATISTICS = {"gccs"}
"""Heads whose loss looks at the batch as a whole: it is no mean over the samples."""

SHAPES = {"mnist": (1, 28, 28), "digits": (1, 8, 8), "cifar": (3, 32, 32)}
"""Of the images, by the first word of a network's name."""


def build(name: str) -> Head:
    return seeded(partial(HEADS.build, name), features=FEATURES.get(name, D), classes=K)


@pytest.fixture(params=list(HEADS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def head(name: str) -> Head:
    return build(name)


@pytest.fixture
def width(name: str) -> int:
    """D."""
    return FEATURES.get(name, D)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_logits_have_their_shape_and_type(head: Head, width: int, dtype: torch.dtype) -> None:
    check_logits(head, width, dtype)


@pytest.mark.parametrize("name", [name for name in HEADS if hasattr(build(name), "log_likelihood")])
def test_likelihood_vanishes_far_away(name: str, width: int) -> None:
    check_likelihood(build(name), width)


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("scale", [1, 1000])
def test_loss_and_its_gradients_are_finite(head: Head, width: int, progress: float, scale: float) -> None:
    check_finite(head, width, progress, scale)


@pytest.mark.parametrize(
    "y", [[0, 1, 2, 3, 0, 1], [0, 2], [1]], ids=["every class", "classes missing", "one image"]
)
def test_no_loss_or_gradient_is_nan_at_huge_logits(head: Head, width: int, y: list[int]) -> None:
    check_huge(head, width, y)


@pytest.mark.parametrize("progress", [0.0, 1.0])
def test_gradient_is_that_of_the_loss(head: Head, width: int, progress: float) -> None:
    check_gradient(head, width, progress)


@pytest.mark.parametrize("name", [name for name in HEADS if name not in BATCH_STATISTICS])
def test_loss_is_a_mean_over_the_batch(head: Head, width: int) -> None:
    check_mean(head, width)


def test_loss_falls_along_its_gradient(head: Head, width: int) -> None:
    check_along_gradient(head, width)


def test_evaluation_changes_nothing(head: Head, width: int) -> None:
    check_evaluation(head, width)


def test_learning_rates_name_parameters(head: Head) -> None:
    rates = head.learning_rates()
    assert set(rates) <= {name for name, _ in head.named_parameters()}
    assert all(rate >= 0 for rate in rates.values())


@pytest.mark.parametrize("name", list(NETS))
def test_nets_keep_their_promises(name: str) -> None:
    check_net(partial(NETS.build, name), SHAPES[name.split("-", maxsplit=1)[0]])
