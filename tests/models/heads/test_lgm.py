"""L-GM against the paper's equations, by hand and by torch.distributions."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gmbench.models.heads.lgm import LGM, half_squared_distances

# Means (0, 0) and (2, 0); half squared distances (.625, 1.625) and (2.5, .5).
FEATURES = torch.tensor([[0.5, 1.0], [2.0, 1.0]], dtype=torch.float64)
DISTANCES = [[0.625, 1.625], [2.5, 0.5]]
Y = torch.tensor([0, 1])


def build(**options: Any) -> LGM:
    """K = 2, D = 2; diagonal variances are (1, 4) and (1/2, 1).

    So the log-determinants are log 4 and -log 2.
    """
    head = LGM(features=2, classes=2, **options).double()
    with torch.no_grad():
        head.means.copy_(torch.tensor([[0.0, 0.0], [2.0, 0.0]]))
        if head.covariance == "diagonal":
            head.log_variances.copy_(torch.tensor([[1.0, 4.0], [0.5, 1.0]], dtype=torch.float64).log())
    return head


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_logits_are_half_the_squared_distances_without_margin() -> None:
    head = build(alpha=1.0, alpha_start=1.0)
    torch.testing.assert_close(head(FEATURES), -torch.tensor(DISTANCES, dtype=torch.float64))
    assert head.log_likelihood(FEATURES).equal(head(FEATURES))


@pytest.mark.parametrize("margin", [0.0, 0.01, 1.0])
def test_loss_lowers_the_true_logit_alone(margin: float) -> None:
    weight = 0.03
    loss = build(alpha=margin, alpha_start=margin, weight=weight).loss(FEATURES, Y, 0.0).item()
    # -log softmax = log(1 + e^(other - true)), true = -(1 + margin) d_y
    cross_entropy = (
        math.log1p(math.exp((1 + margin) * 0.625 - 1.625)) + math.log1p(math.exp((1 + margin) * 0.5 - 2.5))
    ) / 2
    assert loss == pytest.approx(cross_entropy + weight * (0.625 + 0.5) / 2, rel=1e-12)


def test_log_determinant_is_part_of_the_logits_and_of_the_likelihood_term_but_not_of_the_margin() -> None:
    head = build(covariance="diagonal", log_det=True, alpha=1.0, alpha_start=1.0, weight=0.1)
    half = [math.log(4) / 2, -math.log(2) / 2]
    first = [(0.25 + 1 / 4) / 2, (2.25 / 0.5 + 1) / 2]  # d_k of (.5, 1)
    second = [(4 + 1 / 4) / 2, (0 + 1) / 2]  # d_k of (2, 1)
    logits = [[-first[0] - half[0], -first[1] - half[1]], [-second[0] - half[0], -second[1] - half[1]]]
    torch.testing.assert_close(head(FEATURES), torch.tensor(logits, dtype=torch.float64))
    true = [-2 * first[0] - half[0], -2 * second[1] - half[1]]
    cross_entropy = (
        math.log1p(math.exp(logits[0][1] - true[0])) + math.log1p(math.exp(logits[1][0] - true[1]))
    ) / 2
    likelihood = ((first[0] + half[0]) + (second[1] + half[1])) / 2
    assert head.loss(FEATURES, Y, 0.0).item() == pytest.approx(cross_entropy + 0.1 * likelihood, rel=1e-12)


def test_without_margin_and_weight_the_loss_is_cross_entropy_on_negative_distances() -> None:
    head = LGM(5, 4, alpha=0.0, weight=0.0).double()
    features, y = noise(8, 5), torch.arange(8) % 4
    distances = (features.unsqueeze(1) - head.means).square().sum(2) / 2
    torch.testing.assert_close(head.loss(features, y, 1.0), functional.cross_entropy(-distances, y))


def test_defaults_are_the_released_layer() -> None:
    head = LGM(5, 4).double()
    assert [name for name, _ in head.named_parameters()] == ["means"]
    assert list(head.state_dict()) == ["means"]
    features, y = noise(8, 5), torch.arange(8) % 4
    squares = torch.cdist(features, head.means) ** 2
    torch.testing.assert_close(head(features), -0.5 * squares)
    classification = functional.cross_entropy(-0.5 * squares * (1 + functional.one_hot(y, 4)), y)
    torch.testing.assert_close(
        head.loss(features, y, 1.0), classification + 0.03 * 0.5 * squares[range(8), y].mean()
    )


def test_diagonal_likelihood_is_the_normal_density_up_to_one_constant() -> None:
    head = LGM(5, 4, covariance="diagonal", log_det=True).double()
    with torch.no_grad():
        head.log_variances.copy_(noise(4, 5, seed=1))
    features = noise(8, 5)
    for k in range(4):
        normal = torch.distributions.MultivariateNormal(head.means[k], head.log_variances[k].exp().diag())
        torch.testing.assert_close(
            head.log_likelihood(features)[:, k], normal.log_prob(features) + 5 / 2 * math.log(2 * math.pi)
        )


class Loss(nn.Module):
    """The loss as a function of its parameters, for `torch.func.functional_call`."""

    def __init__(self, head: LGM) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Tensor, y: Tensor, progress: float) -> Tensor:
        return self.head.loss(features, y, progress)


@pytest.mark.parametrize(
    "options", [{}, {"covariance": "diagonal", "log_det": True}], ids=["identity", "diagonal"]
)
def test_gradients_are_those_of_the_loss(options: dict[str, Any]) -> None:
    module = Loss(LGM(3, 3, **options).double())
    names = [name for name, _ in module.named_parameters()]
    y = torch.tensor([0, 1, 2, 2])

    def loss(features: Tensor, *parameters: Tensor) -> Tensor:
        value: Tensor = torch.func.functional_call(
            module, dict(zip(names, parameters, strict=True)), (features, y, 1.0)
        )
        return value

    inputs = [noise(4, 3), *(noise(3, 3, seed=seed) for seed in range(1, 1 + len(names)))]
    torch.autograd.gradcheck(loss, [value.requires_grad_() for value in inputs])
    gradients = torch.autograd.grad(loss(*inputs), inputs)
    assert all(gradient.abs().min() > 0 for gradient in gradients)


@pytest.mark.parametrize(
    ("progress", "margin"),
    [(0, 0.001), (0.0749, 0.001), (0.075, 0.01), (0.15, 0.1), (0.2249, 0.1), (0.225, 1), (0.5, 1), (1, 1)],
)
def test_margin_grows_as_in_the_released_mnist_code(progress: float, margin: float) -> None:
    assert LGM(2, 2).margin(progress) == pytest.approx(margin, rel=1e-12)


@pytest.mark.parametrize(
    ("start", "factor", "every", "end", "iterations"),
    [(0.001, 10.0, 1500, 1.0, 20_000), (0.1, 2.0, 5000, 0.3, 120_000), (0.001, 2.0, 10, 1.0, 100)],
    ids=["mnist", "cifar-100", "rounding"],  # .3 / .1 is below 3 in floats
)
def test_margin_grows_at_the_very_iteration(
    start: float, factor: float, every: int, end: float, iterations: int
) -> None:
    head = LGM(2, 2, alpha=end, alpha_start=start, alpha_factor=factor, alpha_every=every / iterations)
    for iteration in [
        i + near for i in range(0, iterations, every) for near in (0, 1, every - 1) if i + near <= iterations
    ]:
        assert head.margin(iteration / iterations) == pytest.approx(
            min(end, start * factor ** (iteration // every)), rel=1e-12
        ), iteration


def test_margin_of_the_loss_follows_the_progress() -> None:
    head = build(weight=0.0)
    for progress in (0.0, 0.1, 1.0):
        fixed = build(weight=0.0, alpha=head.margin(progress), alpha_start=head.margin(progress))
        assert head.loss(FEATURES, Y, progress).item() == pytest.approx(
            fixed.loss(FEATURES, Y, 0.0).item(), rel=1e-12
        )
    assert head.loss(FEATURES, Y, 1.0) > head.loss(FEATURES, Y, 0.0)


def test_learning_rates() -> None:
    assert LGM(2, 2, centre_lr=0.3).learning_rates() == {"means": 0.3}
    diagonal = LGM(2, 2, covariance="diagonal", log_det=True, centre_lr=2.0, variance_lr=0.5)
    assert diagonal.learning_rates() == {"means": 2.0, "log_variances": 0.5}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"covariance": "full"}, "expected covariance to be 'identity' or 'diagonal', got 'full'"),
        ({"covariance": "diagonal"}, "expected log_det to be true with covariance 'diagonal': without it .*"),
        ({"alpha": -1.0}, "expected alpha, alpha_start and weight to be >= 0, got -1.0, .*"),
        ({"alpha_start": -1.0}, "expected alpha, alpha_start and weight to be >= 0, got 1.0, -1.0 .*"),
        ({"weight": -1.0}, "expected alpha, alpha_start and weight to be >= 0, got .* and -1.0"),
        ({"alpha_factor": 0.5}, "expected alpha_factor to be >= 1, got 0.5"),
        ({"alpha_every": 0.0}, r"expected alpha_every to be in \(0, 1\], got 0.0"),
        (
            {"alpha_start": 0.0},
            r"expected alpha_start to be > 0, or alpha 0, got alpha 1.0: a margin of 0 never grows",
        ),
        (
            {"alpha_every": 0.003},
            r"expected the margin to stay a number, got a factor of 10.0 every 0.003 of the training",
        ),
        ({"alpha_every": 1.5}, r"expected alpha_every to be in \(0, 1\], got 1.5"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        LGM(2, 2, **options)


def test_distances_of_tight_classes_far_from_the_origin_are_precise_in_float32() -> None:
    # Differences are multiples of 2^-10, which float32 holds exactly at 4096, so rounding can only come from
    # the formula.
    steps = torch.randint(-20, 21, (6, 4), generator=torch.Generator().manual_seed(0))
    means, features = 4096 + steps[:2] / 1024, 4096 + steps[2:] / 1024
    exact = (features.double().unsqueeze(1) - means.double()).square().sum(2) / 2
    assert exact.min() > 0
    found = half_squared_distances(features, means)
    torch.testing.assert_close(found.double(), exact, rtol=1e-6, atol=0)
    expanded = (features.square().sum(1, keepdim=True) - 2 * features @ means.T + means.square().sum(1)) / 2
    assert ((expanded - exact) / exact).abs().max() > 1  # what the formula in use avoids


@pytest.mark.parametrize(
    "options", [{}, {"covariance": "diagonal", "log_det": True}], ids=["identity", "diagonal"]
)
def test_numbers_stay_finite_far_from_all_means(options: dict[str, Any]) -> None:
    head, exact = LGM(2, 3, **options), LGM(2, 3, **options).double()
    exact.load_state_dict(head.state_dict())
    features = torch.tensor([[1e3, -1e3], [-1e3, 1e3]], requires_grad=True)
    y = torch.tensor([0, 2])
    loss = head.loss(features, y, 1.0)
    torch.testing.assert_close(loss.double(), exact.loss(features.double(), y, 1.0), rtol=1e-5, atol=0)
    assert loss > 1e4
    assert head(features).max() < -9e5
    loss.backward()
    assert all(
        gradient is not None and gradient.isfinite().all() for gradient in (features.grad, head.means.grad)
    )
    assert features.grad is not None
    assert features.grad.abs().max() > 0
