"""DR-softmax against its paper and the released code's formula, by hand."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from gmbench.models.heads.dr_softmax import DRSoftmax

# Logits of three samples, K = 4; the wrong ones are (1, 2, 3), (0, 0, 6) and (5, 5, 5).
Z = torch.tensor([[9.0, 1.0, 2.0, 3.0], [0.0, 4.0, 0.0, 6.0], [5.0, 5.0, 5.0, -7.0]], dtype=torch.float64)
Y = torch.tensor([0, 1, 3])
SPREAD = [2.0, 4.0 + 4.0 + 16.0, 0.0]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def build(weight: float, classes: int = 4) -> DRSoftmax:
    """A head whose logits are the features."""
    head = DRSoftmax(classes, classes, weight).double()
    with torch.no_grad():
        head.linear.weight.copy_(torch.eye(classes))
        head.linear.bias.zero_()
    return head


def test_loss_by_hand() -> None:
    cross_entropy = functional.cross_entropy(Z, Y).item()
    assert build(0.1).loss(Z, Y, 0.5).item() == pytest.approx(
        cross_entropy + 0.1 * sum(SPREAD) / 3, rel=1e-12
    )


def test_weight_is_that_of_the_released_code_times_the_batch_size() -> None:
    batch, b = 128, 0.005
    z, y = noise(batch, 10), torch.arange(batch) % 10
    penalty = 0.0  # as `NewLoss` has it: summed over the batch
    for row, label in zip(z.tolist(), y.tolist(), strict=True):
        wrong = [value for k, value in enumerate(row) if k != label]
        penalty += sum((value - sum(wrong) / 9) ** 2 for value in wrong)
    released = functional.cross_entropy(z, y).item() + b * penalty
    default = DRSoftmax(10, 10).weight
    assert default == pytest.approx(b * batch, rel=1e-12)
    assert build(default, classes=10).loss(z, y, 0.0).item() == pytest.approx(released, rel=1e-12)


def test_without_weight_it_is_cross_entropy() -> None:
    head, features, y = DRSoftmax(3, 5, weight=0.0).double(), noise(8, 3), torch.arange(8) % 5
    assert head.loss(features, y, 0.0).equal(functional.cross_entropy(head(features), y))


def test_true_logit_is_free() -> None:
    z = Z.clone().requires_grad_()
    loss = build(1.0).loss(z, Y, 0.0) - functional.cross_entropy(z, Y)
    [gradient] = torch.autograd.grad(loss, z)
    assert gradient[range(3), Y].abs().max() == 0
    torch.testing.assert_close(gradient[0, 1:], torch.tensor([-2.0, 0.0, 2.0], dtype=torch.float64) / 3)


def test_two_classes_have_no_spread() -> None:
    z, y = noise(4, 2), torch.arange(4) % 2
    assert build(100.0, classes=2).loss(z, y, 0.0).equal(functional.cross_entropy(z, y))


def test_gradient_is_that_of_the_loss() -> None:
    torch.autograd.gradcheck(lambda z: build(0.64).loss(z, Y, 0.0), [noise(3, 4).requires_grad_()])


@pytest.mark.parametrize("batch", [1, 6])
def test_numbers_stay_finite_at_logits_of_1e4(batch: int) -> None:
    z = (1e4 * noise(batch, 4)).float().requires_grad_()
    loss = build(0.64).float().loss(z, torch.zeros(batch, dtype=torch.long), 0.0)
    loss.backward()
    assert loss.isfinite()
    assert loss > math.log(4)
    assert z.grad is not None
    assert z.grad.isfinite().all()


@pytest.mark.parametrize(
    ("classes", "weight", "message"),
    [(4, -0.1, "expected weight to be >= 0, got -0.1"), (1, 0.1, "expected classes to be at least 2, got 1")],
)
def test_options_out_of_range_are_refused(classes: int, weight: float, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        DRSoftmax(3, classes, weight)
