"""Reverse cross-entropy against its paper, by hand."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from gmbench.models.heads.rce import RCE


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def build(classes: int = 3, scale: float = 1.0) -> RCE:
    """A head whose z are ``scale`` times the features."""
    head = RCE(classes, classes).double()
    with torch.no_grad():
        head.linear.weight.copy_(scale * torch.eye(classes))
        head.linear.bias.zero_()
    return head


def test_loss_by_hand() -> None:
    # p = (1/2, 1/3, 1/6); true class 0, then 2
    z = torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]], dtype=torch.float64).log()
    loss = build().loss(z, torch.tensor([0, 2]), 0.0).item()
    assert loss == pytest.approx((math.log(3 * 6) / 2 + math.log(2 * 3) / 2) / 2, rel=1e-12)


def test_loss_is_cross_entropy_with_the_reverse_labels() -> None:
    z, y = noise(8, 5), torch.arange(8) % 5
    reverse = (1 - functional.one_hot(y, 5).double()) / 4
    torch.testing.assert_close(build(5).loss(z, y, 0.0), functional.cross_entropy(z, reverse))


def test_with_two_classes_it_is_cross_entropy_of_the_reversed_prediction() -> None:
    head, z, y = build(2), noise(6, 2), torch.arange(6) % 2
    torch.testing.assert_close(head.loss(z, y, 0.0), functional.cross_entropy(head(z), y))


def test_prediction_is_the_least_probable_class() -> None:
    head, features = RCE(4, 5).double(), noise(9, 4)
    z = functional.linear(features, head.linear.weight, head.linear.bias)
    assert head(features).equal(-z)
    assert head(features).argmax(1).equal(z.softmax(1).argmin(1))


def test_loss_is_least_where_the_prediction_is_right_and_the_rest_is_even() -> None:
    z, y = torch.tensor([[-50.0, 0.0, 0.0]], dtype=torch.float64), torch.tensor([0])
    assert build()(z).argmax(1).equal(y)
    assert build().loss(z, y, 0.0).item() == pytest.approx(math.log(2), rel=1e-12)
    assert build().loss(z + torch.tensor([0.0, 1.0, 0.0]), y, 0.0) > math.log(2)


def test_gradient_is_that_of_the_loss() -> None:
    y = torch.tensor([0, 2, 2])
    torch.autograd.gradcheck(lambda features: build().loss(features, y, 0.0), [noise(3, 3).requires_grad_()])


@pytest.mark.parametrize("batch", [1, 6])
def test_numbers_stay_finite_at_logits_of_1e4(batch: int) -> None:
    z = (1e4 * noise(batch, 3)).float().requires_grad_()
    loss = build().float().loss(z, torch.zeros(batch, dtype=torch.long), 0.0)
    loss.backward()
    assert loss.isfinite()
    assert z.grad is not None
    assert z.grad.isfinite().all()


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^expected classes to be at least 2, got 1$"):
        RCE(3, 1)
