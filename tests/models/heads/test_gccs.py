"""GCCS as reconstructed: the KL divergence of each class's batch statistics from its target.

By hand and by torch.distributions.
"""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from gmbench.models.heads.gccs import GCCS


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def at_target(classes: int, target: float, sigma: float) -> tuple[Tensor, Tensor]:
    """Two samples a class, T e_k +- sigma / sqrt(2).

    Mean T e_k, unbiased variance sigma^2 in every feature.
    """
    vertices = target * torch.eye(classes, dtype=torch.float64)
    step = sigma / math.sqrt(2)
    return torch.cat([vertices + step, vertices - step]), torch.arange(classes).repeat(2)


@pytest.mark.parametrize(("target", "sigma"), [(10.0, 1.0), (4.0, 0.5), (40.0, 3.0)])
def test_loss_and_its_gradient_are_zero_at_the_target(target: float, sigma: float) -> None:
    head = GCCS(5, 5, target, sigma).double()
    features, y = at_target(5, target, sigma)
    features.requires_grad_()
    loss = head.loss(features, y, 0.0)
    assert loss.item() == pytest.approx(0, abs=1e-13)
    [gradient] = torch.autograd.grad(loss, features)
    assert gradient.abs().max() < 1e-13


@pytest.mark.parametrize(
    "change", [lambda z: z + 0.1, lambda z: 1.1 * z, lambda z: z.roll(1, 1), lambda z: z.mean(0) + 0 * z]
)
def test_loss_is_above_zero_elsewhere(change: Callable[[Tensor], Tensor]) -> None:
    features, y = at_target(4, 10.0, 1.0)
    assert GCCS(4, 4).double().loss(change(features), y, 0.0) > 1e-3


def test_loss_by_hand() -> None:
    # Class 0: mean (2, 1), variances (2, 8); class 1: one sample, left out. T = 3, sigma = 2.
    features = torch.tensor([[1.0, -1.0], [3.0, 3.0], [7.0, 7.0]], dtype=torch.float64)
    divergence = ((2 + 8) / 4 + ((2 - 3) ** 2 + 1) / 4 - 2 - math.log(2 / 4) - math.log(8 / 4)) / 2
    loss = GCCS(2, 2, target=3.0, sigma=2.0).double().loss(features, torch.tensor([0, 0, 1]), 0.0).item()
    assert loss == pytest.approx(divergence / 2, rel=1e-12)  # / D


def test_loss_is_the_mean_divergence_of_the_classes_per_feature() -> None:
    target, sigma, classes = 5.0, 1.5, 3
    features, y = 3 * noise(14, classes), torch.tensor([0] * 8 + [2] * 5 + [1])  # class 1 has one sample
    divergences = []
    for k in (0, 2):
        own = features[y == k]
        batch = MultivariateNormal(own.mean(0), own.var(0).diag())
        vertex = target * torch.eye(classes, dtype=torch.float64)[k]
        divergences.append(
            kl_divergence(
                batch, MultivariateNormal(vertex, sigma**2 * torch.eye(classes, dtype=torch.float64))
            )
        )
    found = GCCS(classes, classes, target, sigma).double().loss(features, y, 0.7)
    torch.testing.assert_close(found, torch.stack(divergences).mean() / classes)


def test_logits_are_the_features_and_decide_by_the_nearest_vertex() -> None:
    head, z = GCCS(4, 4, target=3.0).double(), noise(20, 4)
    assert head(z).equal(z)
    nearest = torch.cdist(z, 3 * torch.eye(4, dtype=torch.float64)).argmin(1)
    assert head(z).argmax(1).equal(nearest)
    assert not list(head.parameters())
    assert not head.state_dict()


def test_likelihood_is_the_target_density_up_to_one_constant() -> None:
    head, z, identity = (
        GCCS(3, 3, target=4.0, sigma=0.5).double(),
        noise(6, 3),
        torch.eye(3, dtype=torch.float64),
    )
    for k in range(3):
        normal = MultivariateNormal(4 * identity[k], 0.25 * identity)
        constant = 3 / 2 * math.log(2 * math.pi * 0.25)
        torch.testing.assert_close(head.log_likelihood(z)[:, k], normal.log_prob(z) + constant)


def test_gradient_is_that_of_the_loss() -> None:
    y = torch.tensor([0, 0, 0, 1, 1, 2])
    head = GCCS(3, 3, target=2.0, floor=0.5).double()
    features = noise(6, 3) * torch.tensor([1.0, 0.1, 1.0], dtype=torch.float64)
    variances = torch.stack([features[:3].var(0), features[3:5].var(0)])
    assert (variances < 0.5).any()
    assert (variances > 0.5).any()  # both branches of the logarithm
    torch.autograd.gradcheck(lambda z: head.loss(z, y, 0.0), [features.requires_grad_()])


def test_logarithm_goes_on_as_its_tangent_below_the_floor() -> None:
    sigma, floor = 2.0, 0.01

    def loss(variance: float) -> float:
        step = math.sqrt(variance / 2)
        features = torch.tensor([[step, step], [-step, -step]], dtype=torch.float64)
        return GCCS(2, 2, sigma=sigma, floor=floor).double().loss(features, torch.tensor([0, 0]), 0.0).item()

    below, at = loss(0.004), loss(floor)
    # Two features, halved, per feature: 1/2 (difference of s / sigma^2 - log).
    assert below - at == pytest.approx(((0.004 - floor) / sigma**2 - (0.004 - floor) / floor) / 2, rel=1e-9)
    assert loss(0.0) == pytest.approx(at + (1 - floor / sigma**2) / 2, rel=1e-9)
    assert loss(0.009) < below < loss(0.0)


def test_batch_without_a_pair_has_no_loss_but_a_graph() -> None:
    features = noise(3, 3).requires_grad_()
    loss = GCCS(3, 3).double().loss(features, torch.arange(3), 0.0)
    loss.backward()
    assert loss == 0
    assert features.grad is not None
    assert features.grad.abs().max() == 0


@pytest.mark.parametrize(
    "y",
    [[1], [0, 0, 0, 0], [0, 0, 2, 2], [0, 1, 2, 0]],
    ids=["batch-of-one", "one-class", "one-missing", "two-without-a-pair"],
)
@pytest.mark.parametrize("scale", [1e4, 0.0])
def test_numbers_stay_finite(y: list[int], scale: float) -> None:
    z = (scale * noise(len(y), 3)).float().requires_grad_()
    loss = GCCS(3, 3).loss(z, torch.tensor(y), 0.0)
    loss.backward()
    assert loss.isfinite()
    assert (loss > 0) == (len(y) > 1)
    assert z.grad is not None
    assert z.grad.isfinite().all()


def test_features_that_are_not_one_for_each_class_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^expected features to be the number of classes, 10, for GCCS, got 100$"
    ):
        GCCS(100, 10)


@pytest.mark.parametrize("option", ["target", "sigma", "floor"])
@pytest.mark.parametrize("value", [0.0, -1.0])
def test_options_out_of_range_are_refused(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"^expected {option} to be > 0, got {value}$"):
        GCCS(3, 3, **{option: value})
