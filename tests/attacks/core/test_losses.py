"""The losses against values worked out by hand, with the logits of Gaussian mixtures.

All negative, far apart, shifted.
"""

import math

import pytest
import torch
from torch import Tensor

from gmbench.attacks.core.attack import likeliest_targets
from gmbench.attacks.core.losses import LOSSES, best_other, check_loss, objective, without
from gmbench.models import Outputs

Z = (2.0, 5.0, 1.0, -3.0)
LOG_SUM = math.log(sum(math.exp(z) for z in Z))


def outputs(*rows: tuple[float, ...] | Tensor, mixture: bool = False) -> Outputs:
    logits = torch.stack([torch.as_tensor(row, dtype=torch.float64) for row in rows])
    return Outputs(logits, logits, logits, logits if mixture else None)


def value(loss: str, z: tuple[float, ...], y: int, target: int | None = None, mixture: bool = False) -> float:
    chosen = None if target is None else torch.tensor([target])
    return objective(loss, torch.tensor([y]), chosen)(outputs(z, mixture=mixture)).item()


@pytest.mark.parametrize(
    ("loss", "y", "target", "expected"),
    [
        ("ce", 1, None, LOG_SUM - 5),
        ("ce", 0, None, LOG_SUM - 2),
        ("ce", 1, 3, -3 - LOG_SUM),
        ("log-odds", 1, None, math.log(sum(math.exp(z) for z in (2.0, 1.0, -3.0))) - 5),
        ("log-odds", 1, 3, -3 - math.log(sum(math.exp(z) for z in (2.0, 5.0, 1.0)))),
        ("margin", 1, None, 2 - 5),
        ("margin", 0, None, 5 - 2),
        ("margin", 1, 2, 1 - 5),
        ("margin", 0, 1, 5 - 2),
        ("dlr", 1, None, -(5 - 2) / (5 - 1)),
        ("dlr", 0, None, -(2 - 5) / (5 - 1)),
        ("dlr", 3, None, -(-3 - 5) / (5 - 1)),
        ("dlr", 1, 2, -(5 - 1) / (5 - (1 - 3) / 2)),
        ("dlr", 2, 0, -(1 - 2) / (5 - (1 - 3) / 2)),
    ],
)
def test_values(loss: str, y: int, target: int | None, expected: float) -> None:
    assert value(loss, Z, y, target) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("y", "target", "expected"),
    [
        (1, None, 2 - (5 - 2)),  # the likeliest wrong class is 0
        (0, None, 5.0),  # class 1 is predicted already: its likelihood alone
        (1, 3, -3 - (5 + 3)),
        (0, 1, 5.0),
    ],
)
def test_likelihood_of_a_mixture(y: int, target: int | None, expected: float) -> None:
    assert value("likelihood", Z, y, target, mixture=True) == pytest.approx(expected)


def test_likelihood_without_a_mixture_is_the_log_posterior() -> None:
    assert value("likelihood", Z, 0) == pytest.approx(5 - LOG_SUM)
    assert value("likelihood", Z, 1, 3) == pytest.approx(-3 - LOG_SUM - 8)


@pytest.mark.parametrize("target", [None, 0])
def test_dlr_of_two_classes_is_refused(target: int | None) -> None:
    message = r'expected at least 3 classes for the loss dlr, got 2; with two, attack with loss = "margin"'
    with pytest.raises(ValueError, match=message):
        value("dlr", (1.0, 4.0), 1, target)


def test_dlr_of_three_classes_leaves_the_fourth_out() -> None:
    assert value("dlr", (1.0, 4.0, -2.0), 1) == pytest.approx(-(4 - 1) / (4 + 2))
    assert value("dlr", (1.0, 4.0, -2.0), 1, 0) == pytest.approx(-(4 - 1) / (4 + 2))


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_is_finite_and_right(loss: str, targeted: bool, classes: int) -> None:
    if (loss, classes) == ("dlr", 2):
        pytest.skip("undefined, and refused")
    z = 3 * torch.randn(5, classes, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 8
    y = torch.arange(5) % classes
    climb = objective(loss, y, (y + 1) % classes if targeted else None)
    assert torch.autograd.gradcheck(lambda z: climb(Outputs(z, z, z)), z.requires_grad_())


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_wide_negative_logits_give_finite_gradients(loss: str, dtype: torch.dtype) -> None:
    z = torch.tensor([[-2e4, -1.0, -3e4, -2.5e4]], dtype=dtype, requires_grad=True)
    for target in (None, torch.tensor([2])):
        (gradient,) = torch.autograd.grad(
            objective(loss, torch.tensor([1]), target)(Outputs(z, z, z, z)).sum(), z
        )
        assert gradient.isfinite().all()
        # cross-entropy saturates, and alone
        assert (gradient != 0).any() == (loss != "ce" or target is not None)


def test_margin_of_negative_logits_pulls_exactly_two() -> None:
    z = torch.tensor([[-900.0, -100.0, -400.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(objective("margin", torch.tensor([1]))(Outputs(z, z, z)).sum(), z)
    assert gradient.tolist() == [[0, -1, 1]]


@pytest.mark.parametrize("target", [None, 3])
def test_log_odds_point_where_cross_entropy_does(target: int | None) -> None:
    z = torch.tensor([Z], dtype=torch.float64, requires_grad=True)
    chosen = None if target is None else torch.tensor([target])
    directions = []
    for loss in ("ce", "log-odds"):
        value = objective(loss, torch.tensor([1]), chosen)(Outputs(z, z, z))
        (gradient,) = torch.autograd.grad(value.sum(), z)
        directions.append(gradient / gradient.norm())
    torch.testing.assert_close(*directions)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("shift", [1000.0, -1000.0, -20_000.0])
def test_shift_changes_no_value_and_no_gradient(loss: str, shift: float) -> None:
    z = torch.tensor([Z, Z], dtype=torch.float64)
    y = torch.tensor([1, 0])
    found = []
    for logits in (z.requires_grad_(), (z.detach() + shift).requires_grad_()):
        loss_value = objective(loss, y)(Outputs(logits, logits, logits))
        found.append((loss_value, torch.autograd.grad(loss_value.sum(), logits)[0]))
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-10)


def test_dlr_does_not_see_the_scale() -> None:
    assert value("dlr", tuple(100 * z for z in Z), 1) == pytest.approx(value("dlr", Z, 1))


@pytest.mark.parametrize("loss", LOSSES)
def test_ties_are_finite(loss: str) -> None:
    assert math.isfinite(value(loss, (-5.0, -5.0, -5.0, -5.0), 0))
    assert math.isfinite(value(loss, (-5.0, -5.0, -5.0, -5.0), 0, 1))


@pytest.mark.parametrize("loss", LOSSES)
def test_each_sample_has_its_own_value(loss: str) -> None:
    rows = [Z, (0.5, -1.0, 7.0, 2.0), (-9.0, -8.0, -7.0, -6.0)]
    together = objective(loss, torch.tensor([1, 0, 3]))(outputs(*rows))
    assert together.tolist() == pytest.approx(
        [value(loss, z, y) for z, y in zip(rows, (1, 0, 3), strict=True)]
    )


def test_unknown_loss_gets_the_nearest_name() -> None:
    with pytest.raises(ValueError, match=r"no loss named 'margn'; did you mean 'margin'\?"):
        objective("margn", torch.tensor([0]))


def test_a_loss_of_ones_own_is_told_logits_and_classes() -> None:
    y = torch.tensor([1, 3])
    climb = objective(lambda logits, y: logits.sum(1) * y, y)
    assert climb(outputs(Z, Z)).tolist() == [5, 15]
    assert objective(torch.nn.CrossEntropyLoss(reduction="none"), y)(outputs(Z, Z)).tolist() == pytest.approx(
        [LOG_SUM - 5, LOG_SUM + 3]
    )


@pytest.mark.parametrize(
    ("own", "got"),
    [
        (lambda logits, _: logits.mean(), r"shape \(\)"),
        (lambda logits, _: logits, r"shape \(2, 4\)"),
        (lambda logits, _: logits[:1, 0], r"shape \(1,\)"),
        (lambda *_: 0.0, "float"),
        (lambda logits, _: logits[:, 0].numpy(), "ndarray"),
    ],
)
def test_a_loss_of_ones_own_gives_one_value_per_image(own, got: str) -> None:
    climb = objective(own, torch.tensor([1, 3]))
    with pytest.raises(ValueError, match=rf"one value per image, \(2,\), got {got}; .*reduction="):
        climb(outputs(Z, Z))


def test_a_loss_of_ones_own_is_told_no_target() -> None:
    own = torch.nn.CrossEntropyLoss(reduction="none")
    check_loss(own)
    check_loss("margin", targets=3)
    with pytest.raises(ValueError, match=r"expected targets to be 0 with a loss of your own.* got 3"):
        check_loss(own, targets=3)


def test_masking_takes_one_class_out() -> None:
    z = torch.tensor([Z, Z])
    y = torch.tensor([1, 3])
    assert best_other(z, y).tolist() == [2, 5]
    assert without(z, y).tolist() == [[2, -math.inf, 1, -3], [2, 5, 1, -math.inf]]
    assert z.tolist() == [list(Z), list(Z)]


def test_likeliest_targets_are_wrong_classes_in_order() -> None:
    z = torch.tensor([Z, Z])
    y = torch.tensor([1, 3])
    assert torch.stack(likeliest_targets(z, y, 2), 1).tolist() == [[0, 2], [1, 0]]
    assert len(likeliest_targets(z, y, 9)) == 3
