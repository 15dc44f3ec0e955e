"""L-Softmax and A-Softmax against their papers: psi by angles, the loss by hand, the schedule's two ends."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gmbench.models.heads.l_softmax import LSoftmax, psi

Y = torch.tensor([0, 1, 2, 2, 0])


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def build(**options: Any) -> LSoftmax:
    """K = 3, D = 2."""
    head = LSoftmax(2, 3, **options).double()
    with torch.no_grad():
        head.linear.weight.copy_(noise(3, 2, seed=1))
    return head


@pytest.mark.parametrize("margin", [1, 2, 3, 4])
def test_psi_is_the_papers_function_of_the_angle(margin: int) -> None:
    for k in range(margin):
        theta = torch.linspace(
            k * math.pi / margin + 1e-9, (k + 1) * math.pi / margin - 1e-9, 50, dtype=torch.float64
        )
        torch.testing.assert_close(
            psi(theta.cos(), margin), (-1) ** k * (margin * theta).cos() - 2 * k, rtol=0, atol=1e-12
        )


@pytest.mark.parametrize("margin", [1, 2, 3, 4])
def test_psi_falls_without_a_jump(margin: int) -> None:
    values = psi(torch.linspace(0, math.pi, 20_001, dtype=torch.float64).cos(), margin)
    steps = values.diff()
    assert (steps < 1e-13).all()
    assert steps.min() > -margin * math.pi / 20_000 - 1e-9  # |d psi / d theta| <= m
    torch.testing.assert_close(values[[0, -1]], torch.tensor([1.0, 1.0 - 2 * margin], dtype=torch.float64))


@pytest.mark.parametrize("margin", [2, 3, 4])
def test_psi_is_at_most_the_cosine(margin: int) -> None:
    cosine = torch.linspace(-1, 1, 1001, dtype=torch.float64)
    assert (psi(cosine, margin)[1:-1] < cosine[1:-1]).all()


@pytest.mark.parametrize("margin", [2, 3, 4])
def test_gradient_of_psi_is_finite_at_0_and_pi(margin: int) -> None:
    cosine = torch.tensor([1.0, -1.0], dtype=torch.float64, requires_grad=True)
    [gradient] = torch.autograd.grad(psi(cosine, margin).sum(), cosine)
    assert gradient.tolist() == pytest.approx([margin**2] * 2)  # the Chebyshev polynomial's slope at its ends
    torch.autograd.gradcheck(
        lambda value: psi(value, margin),
        [torch.linspace(-0.95, 0.95, 8, dtype=torch.float64).requires_grad_()],
    )


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize(("progress", "annealing"), [(0.0, 20.0), (1.0, 3.0)])
def test_loss_by_angles(normalised: bool, progress: float, annealing: float) -> None:
    margin = 4
    head, features = (
        build(margin=margin, normalised=normalised, lambda_start=20.0, lambda_end=3.0),
        noise(5, 2),
    )
    total, angles = 0.0, []
    for f, y in zip(features.tolist(), Y.tolist(), strict=True):
        logits = []
        for k, w in enumerate(head.linear.weight.tolist()):
            length = math.hypot(*f) * (1 if normalised else math.hypot(*w))
            theta = math.acos((f[0] * w[0] + f[1] * w[1]) / (math.hypot(*f) * math.hypot(*w)))
            part = math.floor(theta * margin / math.pi)
            curve = (-1) ** part * math.cos(margin * theta) - 2 * part
            angles += [part] if k == y else []
            logits.append(
                length
                * ((annealing * math.cos(theta) + curve) / (1 + annealing) if k == y else math.cos(theta))
            )
        total += math.log(sum(map(math.exp, logits))) - logits[y]
    assert len(set(angles)) >= 3  # the batch visits several parts of psi
    assert head.loss(features, Y, progress).item() == pytest.approx(total / 5, rel=1e-12)


def test_margin_1_is_softmax_without_bias() -> None:
    head, features = build(margin=1, lambda_start=0.0, lambda_end=0.0), noise(5, 2).requires_grad_()
    plain = functional.cross_entropy(features @ head.linear.weight.T, Y)
    loss = head.loss(features, Y, 0.5)
    assert loss.equal(plain)
    inputs = [features, head.linear.weight]
    for found, expected in zip(
        torch.autograd.grad(loss, inputs), torch.autograd.grad(plain, inputs), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("margin", [2, 3, 4])
def test_margin_raises_the_loss_and_more_so_as_the_training_goes_on(margin: int) -> None:
    features = noise(5, 2)
    losses = [build(margin=margin).loss(features, Y, progress).item() for progress in (0.0, 0.1, 0.3, 0.5)]
    assert functional.cross_entropy(build()(features), Y).item() < losses[0]
    assert losses == sorted(losses)
    assert losses[-1] > losses[0] + 0.05
    assert build(margin=margin).loss(features, Y, 1.0).item() == losses[-1]


def test_weight_of_psi_rises_straight_to_that_of_the_last_lambda() -> None:
    head = build(lambda_start=999.0, lambda_end=4.0, anneal=0.4)
    assert head.weight(0.0) == pytest.approx(1 / 1000, rel=1e-12)
    assert head.weight(0.2) == pytest.approx((1 / 1000 + 1 / 5) / 2, rel=1e-12)
    assert head.weight(0.4) == head.weight(1.0) == pytest.approx(1 / 5, rel=1e-12)
    assert build().weight(0.0) == pytest.approx(1 / 1001, rel=1e-12)  # released: 1000 down to 5
    assert build().weight(1.0) == pytest.approx(1 / 6, rel=1e-12)


def test_test_logits_have_no_margin_and_no_bias() -> None:
    features = noise(5, 2)
    head = build(margin=4)
    assert [name for name, _ in head.named_parameters()] == ["linear.weight"]
    torch.testing.assert_close(head(features), features @ head.linear.weight.T)
    directions = head.linear.weight / head.linear.weight.norm(dim=1, keepdim=True)
    torch.testing.assert_close(build(normalised=True)(features), features @ directions.T)


class Loss(nn.Module):
    """The loss as a function of its weights, for `torch.func.functional_call`."""

    def __init__(self, head: LSoftmax) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Tensor) -> Tensor:
        return self.head.loss(features, Y, 1.0)


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("margin", [1, 2, 3, 4])
def test_gradients_are_those_of_the_loss(normalised: bool, margin: int) -> None:
    module = Loss(build(margin=margin, normalised=normalised))

    def loss(features: Tensor, weight: Tensor) -> Tensor:
        value: Tensor = torch.func.functional_call(module, {"head.linear.weight": weight}, features)
        return value

    torch.autograd.gradcheck(loss, [noise(5, 2).requires_grad_(), noise(3, 2, seed=1).requires_grad_()])


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("sign", [1, -1])
def test_gradient_is_finite_where_the_feature_is_its_weight_or_the_opposite(
    normalised: bool, sign: int
) -> None:
    head = build(normalised=normalised, lambda_start=0.0, lambda_end=0.0)
    features = sign * head.linear.weight.detach().clone()
    features.requires_grad_()
    head.loss(features, torch.arange(3), 0.0).backward()
    for gradient in (features.grad, head.linear.weight.grad):
        assert gradient is not None
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("batch", [1, 6])
@pytest.mark.parametrize("scale", [0.0, 1e4])
def test_numbers_stay_finite(normalised: bool, batch: int, scale: float) -> None:
    head = build(normalised=normalised, lambda_start=0.0, lambda_end=0.0).float()
    features = (scale * noise(batch, 2)).float().requires_grad_()
    loss = head.loss(features, torch.zeros(batch, dtype=torch.long), 0.0)
    loss.backward()
    assert loss.isfinite()
    for gradient in (features.grad, head.linear.weight.grad):
        assert gradient is not None
        assert gradient.isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"margin": 0}, "expected margin to be 1, 2, 3 or 4, got 0"),
        ({"margin": 5}, "expected margin to be 1, 2, 3 or 4, got 5"),
        ({"lambda_end": -1.0}, r"expected lambda_end to be in \[0, lambda_start = 1000.0\], got -1.0"),
        ({"lambda_start": 2.0}, r"expected lambda_end to be in \[0, lambda_start = 2.0\], got 5.0"),
        ({"anneal": 0.0}, r"expected anneal to be in \(0, 1\], got 0.0"),
        ({"anneal": 1.5}, r"expected anneal to be in \(0, 1\], got 1.5"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        LSoftmax(2, 3, **options)
