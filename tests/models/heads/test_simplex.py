"""The simplex of Pang et al. and the two losses whose means are its vertices (MMLDA, MMC)."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gmbench.models.heads.mmc import MMC
from gmbench.models.heads.mmlda import MMLDA
from gmbench.models.heads.simplex import simplex

HEADS = [MMLDA, MMC]
# K = 2, D = 2, scale 2: means (2, 0) and (-2, 0); squared distances (2, 10) and (13, 5).
FEATURES = torch.tensor([[1.0, 1.0], [-1.0, 2.0]], dtype=torch.float64)
SQUARES = torch.tensor([[2.0, 10.0], [13.0, 5.0]], dtype=torch.float64)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(
    ("classes", "features"), [(2, 1), (2, 5), (3, 2), (10, 9), (10, 10), (10, 100), (100, 128)]
)
def test_vertices_are_of_unit_length_and_equally_far_apart(classes: int, features: int) -> None:
    vertices = simplex(classes, features)
    assert vertices.shape == (classes, features)
    assert vertices.dtype == torch.float64
    gram = torch.full((classes, classes), -1 / (classes - 1), dtype=torch.float64).fill_diagonal_(1)
    torch.testing.assert_close(vertices @ vertices.T, gram, rtol=0, atol=1e-14)
    assert vertices[:, classes - 1 :].abs().sum() == 0


def test_triangle_is_the_one_of_the_recursion() -> None:
    half, height = 0.5, math.sqrt(3) / 2
    expected = torch.tensor([[1, 0], [-half, height], [-half, -height]], dtype=torch.float64)
    torch.testing.assert_close(simplex(3, 2), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("classes", [2, 4, 10])
def test_vertices_are_those_of_the_printed_algorithm(classes: int) -> None:
    # Algorithm 1 of the ICML paper, entry by entry.
    means = [[0.0] * classes for _ in range(classes)]
    means[0][0] = 1.0
    for i in range(1, classes):
        for j in range(i):
            inner = sum(a * b for a, b in zip(means[i], means[j], strict=True))
            means[i][j] = -(1 + inner * (classes - 1)) / (means[j][j] * (classes - 1))
        means[i][i] = math.sqrt(abs(1 - sum(a * a for a in means[i])))
        if i == classes - 1:
            means[i][i] = 0.0  # the root of a rounding error
    torch.testing.assert_close(
        simplex(classes, classes), torch.tensor(means, dtype=torch.float64), rtol=0, atol=1e-14
    )


@pytest.mark.parametrize("head", HEADS)
def test_means_are_equidistant_and_as_long_as_the_scale(head: type[MMLDA]) -> None:
    means = head(12, 10, scale=10.0).means.double()
    torch.testing.assert_close(
        means.norm(dim=1), torch.full((10,), 10.0, dtype=torch.float64), rtol=1e-6, atol=0
    )
    distances = functional.pdist(means)
    torch.testing.assert_close(
        distances, torch.full_like(distances, 10 * math.sqrt(2 * 10 / 9)), rtol=1e-6, atol=0
    )


@pytest.mark.parametrize("head", HEADS)
def test_logits_and_likelihood_by_hand(head: type[MMLDA]) -> None:
    built = head(2, 2, scale=2.0).double()
    assert built(FEATURES).equal(-SQUARES)
    assert built.log_likelihood(FEATURES).equal(-SQUARES / 2)


def test_mmlda_loss_by_hand() -> None:
    loss = MMLDA(2, 2, scale=2.0).double().loss(FEATURES, torch.tensor([0, 0]), 0.3).item()
    assert loss == pytest.approx((math.log1p(math.exp(-8)) + math.log1p(math.exp(8))) / 2, rel=1e-12)


def test_mmc_loss_by_hand() -> None:
    assert MMC(2, 2, scale=2.0).double().loss(FEATURES, torch.tensor([0, 0]), 0.3).item() == (2 + 13) / 2


def test_mmc_is_zero_at_its_means_and_mmlda_is_not() -> None:
    mmc, mmlda = MMC(5, 4, scale=1.0), MMLDA(5, 4, scale=1.0)
    y = torch.arange(4)
    assert mmc.loss(mmc.means, y, 0.0) == 0
    assert mmlda.loss(mmlda.means, y, 0.0) > 0.1


@pytest.mark.parametrize("head", HEADS)
def test_likelihood_is_the_unit_gaussian_around_each_mean(head: type[MMLDA]) -> None:
    built, features = head(3, 4, scale=2.0).double(), noise(5, 3)
    for k, mean in enumerate(built.means):
        normal = torch.distributions.MultivariateNormal(mean, torch.eye(3, dtype=torch.float64))
        torch.testing.assert_close(
            built.log_likelihood(features)[:, k], normal.log_prob(features) + 3 / 2 * math.log(2 * math.pi)
        )


@pytest.mark.parametrize("head", HEADS)
def test_gradient_is_that_of_the_loss(head: type[MMLDA]) -> None:
    built, y = head(3, 4, scale=2.0).double(), torch.tensor([0, 3, 3])
    torch.autograd.gradcheck(lambda features: built.loss(features, y, 0.0), [noise(3, 3).requires_grad_()])


@pytest.mark.parametrize("head", HEADS)
def test_means_are_no_state(head: type[MMLDA]) -> None:
    built: nn.Module = head(3, 4)
    assert not built.state_dict()
    assert not list(built.parameters())


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("batch", [1, 6])
def test_numbers_stay_finite_at_features_of_1e4(head: type[MMLDA], batch: int) -> None:
    features = (1e4 * noise(batch, 3)).float().requires_grad_()
    loss = head(3, 4).loss(features, torch.zeros(batch, dtype=torch.long), 0.0)
    loss.backward()
    assert loss.isfinite()
    assert features.grad is not None
    assert features.grad.isfinite().all()


@pytest.mark.parametrize(
    ("features", "classes", "scale", "message"),
    [
        (8, 10, 10.0, "expected features to be at least 9, the number of classes minus 1, got 8"),
        (8, 1, 10.0, "expected classes to be at least 2, got 1"),
        (8, 4, 0.0, "expected scale to be > 0, got 0.0"),
    ],
)
@pytest.mark.parametrize("head", HEADS)
def test_options_out_of_range_are_refused(
    head: type[MMLDA], features: int, classes: int, scale: float, message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        head(features, classes, scale)
