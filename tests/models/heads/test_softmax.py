"""The baseline against its formula."""

import math

import pytest
import torch

from gmbench.models.heads.softmax import Softmax


@pytest.fixture
def head() -> Softmax:
    """Logits 2 f_0 + 1 and -f_1."""
    head = Softmax(features=2, classes=2).double()
    with torch.no_grad():
        head.linear.weight.copy_(torch.tensor([[2.0, 0.0], [0.0, -1.0]]))
        head.linear.bias.copy_(torch.tensor([1.0, 0.0]))
    return head


FEATURES = torch.tensor([[0.5, -1.0], [-1.0, 3.0]], dtype=torch.float64)


def test_logits_are_linear(head: Softmax) -> None:
    assert head(FEATURES).tolist() == [[2, 1], [-1, -3]]


@pytest.mark.parametrize("progress", [0.0, 0.3, 1.0])
def test_loss_is_the_mean_cross_entropy(head: Softmax, progress: float) -> None:
    expected = (math.log1p(math.exp(-1)) + math.log1p(math.exp(2))) / 2  # margins 1 and -2
    assert head.loss(FEATURES, torch.tensor([0, 1]), progress).item() == pytest.approx(expected, rel=1e-12)


def test_has_no_likelihood(head: Softmax) -> None:
    assert not hasattr(head, "log_likelihood")
