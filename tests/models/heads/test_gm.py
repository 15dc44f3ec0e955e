"""GM against its formulas, by hand, and against L-GM, whose loss it is with another convention."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from gmbench.models.heads.gm import GM
from gmbench.models.heads.lgm import LGM

# Means (0, 0) and (2, 0); half squared distances (.625, 1.625) and (2.5, .5).
FEATURES = torch.tensor([[0.5, 1.0], [2.0, 1.0]], dtype=torch.float64)
DISTANCES = [[0.625, 1.625], [2.5, 0.5]]
Y = torch.tensor([0, 1])


def build(**options: Any) -> GM:
    head = GM(features=2, classes=2, **options).double()
    with torch.no_grad():
        head.means.copy_(torch.tensor([[0.0, 0.0], [2.0, 0.0]]))
    return head


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def drawn(**options: Any) -> GM:
    """K = 4, D = 5, means from a seed."""
    head = GM(features=5, classes=4, **options).double()
    with torch.no_grad():
        head.means.copy_(noise(4, 5, seed=1))
    return head


def test_logits_are_half_the_squared_distances_without_margin() -> None:
    head = build(alpha=1.0, warm_up=0.0)
    torch.testing.assert_close(head(FEATURES), -torch.tensor(DISTANCES, dtype=torch.float64))
    assert head.log_likelihood(FEATURES).equal(head(FEATURES))


@pytest.mark.parametrize(
    ("likelihood", "squares"), [("own", [1.25, 1.0]), ("all", [(1.25 + 3.25) / 2, (5.0 + 1.0) / 2])]
)
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_loss_by_hand(likelihood: str, squares: list[float], alpha: float) -> None:
    loss = build(alpha=alpha, weight=0.1, likelihood=likelihood, warm_up=0.0).loss(FEATURES, Y, 0.0).item()
    # -log softmax = log(1 + e^(other - true)), true = -(1 + alpha) d_y; the likelihood term is without the
    # 1/2
    cross_entropy = (
        math.log1p(math.exp((1 + alpha) * 0.625 - 1.625)) + math.log1p(math.exp((1 + alpha) * 0.5 - 2.5))
    ) / 2
    assert loss == pytest.approx(cross_entropy + 0.1 * sum(squares) / 2, rel=1e-12)


@pytest.mark.parametrize(("alpha", "weight"), [(0.0, 0.1), (0.3, 0.1), (1.0, 0.05), (1.0, 0.0)])
def test_it_is_lgm_with_lambda_halved(alpha: float, weight: float) -> None:
    gm = drawn(alpha=alpha, weight=weight, likelihood="own", warm_up=0.0)
    lgm = LGM(5, 4, alpha=alpha, alpha_start=alpha, alpha_factor=1.0, weight=2 * weight).double()
    lgm.load_state_dict(gm.state_dict())
    y = torch.arange(8) % 4
    assert gm(noise(8, 5)).equal(lgm(noise(8, 5)))
    found, expected = [], []
    for head, values in ((gm, found), (lgm, expected)):
        features = noise(8, 5).requires_grad_()
        loss = head.loss(features, y, 0.5)
        values += [loss, *torch.autograd.grad(loss, [features, head.means])]
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-14)


def test_without_margin_and_weight_the_loss_is_cross_entropy_on_negative_distances() -> None:
    head, features, y = drawn(alpha=0.0, weight=0.0), noise(8, 5), torch.arange(8) % 4
    distances = (features.unsqueeze(1) - head.means).square().sum(2) / 2
    torch.testing.assert_close(head.loss(features, y, 1.0), functional.cross_entropy(-distances, y))


def test_distance_to_all_classes_is_the_distance_to_the_mean_of_means_and_their_spread() -> None:
    features, y = noise(8, 5), torch.arange(8) % 4
    head, bare = drawn(weight=0.1, likelihood="all"), drawn(weight=0.0)
    centre = head.means.mean(0)
    spread = (head.means - centre).square().sum(1).mean()
    term = (features - centre).square().sum(1).mean() + spread
    torch.testing.assert_close(head.loss(features, y, 1.0) - bare.loss(features, y, 1.0), 0.1 * term)
    other = (y + 1) % 4  # no likelihood: it does not ask for the class
    torch.testing.assert_close(head.loss(features, other, 1.0) - bare.loss(features, other, 1.0), 0.1 * term)


@pytest.mark.parametrize(
    ("progress", "alpha", "weight"),
    [
        (0.0, 0.1, 0.001),
        (0.02, 0.28, 0.0208),
        (0.05, 0.55, 0.0505),
        (0.1, 1.0, 0.1),
        (0.5, 1.0, 0.1),
        (1.0, 1.0, 0.1),
    ],
)
def test_margin_and_weight_grow_as_in_the_released_mnist_code(
    progress: float, alpha: float, weight: float
) -> None:
    fixed = build(alpha=alpha, weight=weight, warm_up=0.0)
    assert build().loss(FEATURES, Y, progress).item() == pytest.approx(
        fixed.loss(FEATURES, Y, 0.0).item(), rel=1e-12
    )


def test_growth_meets_the_released_code_at_its_epochs() -> None:
    head = GM(2, 2, alpha=1.0, weight=0.1, warm_up=5 / 50)
    for epoch in range(6):
        assert head.grown(head.alpha, head.alpha_start, epoch / 50) == pytest.approx(
            0.1 + epoch / 5 * 0.9, rel=1e-12
        )
        assert head.grown(head.weight, head.weight_start, epoch / 50) == pytest.approx(
            0.1 * (0.01 + epoch / 5 * 0.99), rel=1e-12
        )


@pytest.mark.parametrize("likelihood", ["own", "all"])
@pytest.mark.parametrize("progress", [0.0, 1.0])
def test_gradients_are_those_of_the_loss(likelihood: str, progress: float) -> None:
    head, y = drawn(likelihood=likelihood), torch.tensor([0, 1, 2, 2])

    def loss(features: Tensor, means: Tensor) -> Tensor:
        distances = -torch.func.functional_call(head, {"means": means}, (features,))
        return head.losses(distances, y, progress).mean()

    features = noise(4, 5).requires_grad_()
    torch.autograd.gradcheck(loss, [features, noise(4, 5, seed=2).requires_grad_()])
    assert loss(features, head.means).equal(head.loss(features, y, progress))


def test_means_start_narrow_enough() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        means = GM(features=100, classes=200).means
    assert means.var().item() == pytest.approx(2 / 3 / 100, rel=0.03)
    assert means.mean().item() == pytest.approx(0, abs=0.002)


@pytest.mark.parametrize("likelihood", ["own", "all"])
@pytest.mark.parametrize("y", [[0, 2], [1, 1], [2]], ids=["one missing", "two missing", "batch of one"])
def test_numbers_stay_finite_far_from_all_means(likelihood: str, y: list[int]) -> None:
    head, exact = GM(2, 3, likelihood=likelihood), GM(2, 3, likelihood=likelihood).double()
    with torch.no_grad():
        exact.means.copy_(head.means.copy_(noise(3, 2)))
    features = torch.tensor([[1e3, -1e3], [-1e3, 1e3]])[: len(y)].requires_grad_()
    loss = head.loss(features, torch.tensor(y), 1.0)
    assert head(features).max() < -9e5
    torch.testing.assert_close(
        loss.double(), exact.loss(features.double(), torch.tensor(y), 1.0), rtol=1e-5, atol=0
    )
    loss.backward()
    for gradient in (features.grad, head.means.grad):
        assert gradient is not None
        assert gradient.isfinite().all()
        assert gradient.abs().max() > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": -1.0}, "expected alpha and weight to be >= 0, got -1.0 and 0.1"),
        ({"weight": -1.0}, "expected alpha and weight to be >= 0, got 1.0 and -1.0"),
        ({"likelihood": "both"}, "expected likelihood to be 'own' or 'all', got 'both'"),
        ({"warm_up": -0.1}, r"expected warm_up to be in \[0, 1\], got -0.1"),
        ({"warm_up": 1.5}, r"expected warm_up to be in \[0, 1\], got 1.5"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        GM(2, 2, **options)
