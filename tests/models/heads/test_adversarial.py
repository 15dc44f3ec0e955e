"""Adversarial training against exact optima of linear models: the adversary, whatever the loss, and trades.

Images are two pixels; where a network is linear and there are two classes, the worst image in the ball is a
corner that is known.
"""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gmbench.models import HEADS, Head
from gmbench.models.heads.adversarial import OBJECTIVES, Adversary, Hardening
from gmbench.models.heads.lgm import LGM
from gmbench.models.heads.softmax import Softmax
from gmbench.models.heads.trades import TRADES

X = torch.tensor([[0.2, 0.9], [0.7, 0.4], [0.5, 0.5]], dtype=torch.float64).view(3, 1, 1, 2)
Y = torch.tensor([0, 1, 1])
TO_OTHER = torch.tensor([1.0, -1.0], dtype=torch.float64)
"""The direction from class 0 to class 1 in each pixel.

The sign of the difference of `WEIGHTS` and of `MEANS`.
"""

WEIGHTS = torch.tensor([[-0.5, 2.0], [1.0, 0.5]], dtype=torch.float64)
BIAS = torch.tensor([0.1, -0.2], dtype=torch.float64)
MEANS = torch.tensor([[-1.0, 2.0], [1.5, 0.0]], dtype=torch.float64)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def linear(head: Head) -> Head:
    """Give a head of two classes in two dimensions its weights or means."""
    head = head.double()
    with torch.no_grad():
        for name, value in head.named_parameters():
            value.copy_({"linear.weight": WEIGHTS, "linear.bias": BIAS, "means": MEANS}[name])
    return head


def corners(x: Tensor, y: Tensor, eps: float) -> Tensor:
    """The image in the ball and the box that is furthest on the other class's side."""
    side = (1 - 2 * y.to(x.dtype)).view(-1, 1, 1, 1)
    return (x + eps * side * TO_OTHER).clamp(0, 1)


def wavy(x: Tensor) -> Tensor:
    """An objective with many optima, (B, *S) -> (B,)."""
    return (20 * x).sin().flatten(1).sum(1)


@pytest.mark.parametrize("steps", [1, 7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_perturbed_images_stay_in_the_ball_and_the_box(steps: int, dtype: torch.dtype) -> None:
    x = torch.rand(10, 2, 4, 4, generator=generator(), dtype=dtype)
    x[0], x[1] = 0, 1
    for seed in range(3):
        x_adv = Adversary(eps=0.3, steps=steps, step=0.7, warm_up=0.0).perturb(wavy, x, 1.0, generator(seed))
        assert x_adv.shape == x.shape
        assert x_adv.dtype == dtype
        assert x_adv.min() == 0
        assert x_adv.max() == 1
        assert 0.29 < (x_adv - x).abs().max() <= 0.3 + 1e-6


@pytest.mark.parametrize("eps", [0.01, 0.3, 1.0])
def test_one_step_of_two_eps_reaches_the_optimum_of_a_linear_objective(eps: float) -> None:
    x = torch.rand(6, 3, 4, generator=generator(), dtype=torch.float64)
    slope = torch.randn(6, 3, 4, generator=generator(1), dtype=torch.float64)  # one for each image
    for seed in range(3):
        x_adv = Adversary(eps, steps=1, step=2.0, warm_up=0.0).perturb(
            lambda v: (slope * v).flatten(1).sum(1), x, 0.0, generator(seed)
        )
        torch.testing.assert_close(x_adv, (x + eps * slope.sign()).clamp(0, 1), rtol=0, atol=1e-15)


def test_many_short_steps_find_an_optimum_inside_the_ball() -> None:
    x = torch.full((2, 5), 0.5, dtype=torch.float64)
    optimum = x + torch.tensor([0.2, -0.15, 0.0, 0.07, -0.01], dtype=torch.float64)
    adversary = Adversary(eps=0.3, steps=60, step=0.05, warm_up=0.0)
    x_adv = adversary.perturb(lambda v: -(v - optimum).square().sum(1), x, 1.0, generator())
    assert (x_adv - optimum).abs().max() <= 0.05 * 0.3 + 1e-12


def test_start_is_uniform_in_the_ball() -> None:
    x = torch.full((100, 100), 0.5, dtype=torch.float64)
    delta = (
        Adversary(eps=0.2, steps=1, step=1.0, warm_up=0.0).perturb(
            lambda v: 0 * v.sum(1), x, 1.0, generator()
        )
        - x
    )
    assert delta.abs().max() <= 0.2
    quantiles = torch.quantile(
        delta.flatten(), torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95], dtype=torch.float64)
    )
    torch.testing.assert_close(
        quantiles, torch.tensor([-0.18, -0.1, 0, 0.1, 0.18], dtype=torch.float64), rtol=0, atol=0.005
    )


@pytest.mark.parametrize(
    ("warm_up", "progress", "share"),
    [(0.4, 0.0, 0.0), (0.4, 0.1, 0.25), (0.4, 0.4, 1.0), (0.4, 0.9, 1.0), (0.0, 0.0, 1.0), (1.0, 0.5, 0.5)],
)
def test_eps_grows_from_nothing(warm_up: float, progress: float, share: float) -> None:
    x = torch.full((2, 3), 0.5, dtype=torch.float64)
    adversary = Adversary(eps=0.2, steps=3, step=2.0, warm_up=warm_up)
    x_adv = adversary.perturb(lambda v: v.sum(1), x, progress, generator())
    torch.testing.assert_close(x_adv, x + 0.2 * share, rtol=0, atol=1e-15)


def test_step_is_in_units_of_what_eps_has_grown_to() -> None:
    x = torch.full((1, 10_000), 0.5, dtype=torch.float64)
    adversary = Adversary(eps=0.4, steps=1, step=0.5, warm_up=0.4)
    delta = adversary.perturb(lambda v: v.sum(1), x, 0.2, generator()) - x
    assert delta.min().item() == pytest.approx(-0.2 + 0.5 * 0.2, abs=1e-3)
    assert delta.max().item() == pytest.approx(0.2, abs=1e-12)


def test_generator_decides_the_perturbation_and_nothing_else_does() -> None:
    x = torch.rand(3, 1, 4, 4, generator=generator())
    before, kept = torch.get_rng_state(), x.clone()
    adversary = Adversary(eps=0.3, steps=2, step=0.1, warm_up=0.0)
    first, again, other = (adversary.perturb(wavy, x, 1.0, generator(seed)) for seed in (0, 0, 1))
    assert first.equal(again)
    assert not first.equal(other)
    assert torch.get_rng_state().equal(before)
    assert x.equal(kept)


@pytest.mark.parametrize("grad", [True, False])
def test_parameters_get_no_gradient_from_the_adversary(make_net: Callable[[], Any], grad: bool) -> None:
    net = make_net()
    with torch.set_grad_enabled(grad):
        x_adv = Adversary(eps=0.1, steps=2, step=1.0, warm_up=0.0).perturb(
            lambda v: net(v).sum(1), X, 1.0, generator()
        )
    assert len(net.seen) == 2
    assert net.scale.grad is None
    assert not x_adv.requires_grad
    torch.testing.assert_close(x_adv, (X + 0.1).clamp(max=1), rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps": 0.0}, r"expected eps to be in \(0, 1\], got 0.0"),
        ({"eps": 8.0}, r"expected eps to be in \(0, 1\], got 8.0"),
        ({"eps": math.nan}, r"expected eps to be in \(0, 1\], got nan"),
        ({"steps": 0}, "expected steps to be at least 1, got 0"),
        ({"step": 0.0}, "expected step to be > 0, got 0.0"),
        ({"warm_up": 1.5}, r"expected warm_up to be in \[0, 1\], got 1.5"),
        ({"warm_up": -0.5}, r"expected warm_up to be in \[0, 1\], got -0.5"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        Hardening(**({"eps": 0.3} | options))
    with pytest.raises(ValueError, match=f"^{message}$"):
        HEADS.build("trades", features=2, classes=2, **options)


def test_weight_of_trades_is_not_negative() -> None:
    with pytest.raises(ValueError, match=r"^expected weight to be >= 0, got -1\.0$"):
        TRADES(2, 2, weight=-1.0)


@pytest.mark.parametrize("objective", list(OBJECTIVES))
@pytest.mark.parametrize("build", [Softmax, LGM])
@pytest.mark.parametrize("progress", [0.0, 0.15, 0.3, 1.0])
def test_a_hardened_training_sees_the_worst_images(
    make_net: Callable[[], Any], build: Callable[..., Head], objective: Any, progress: float
) -> None:
    head, net = linear(build(2, 2)), make_net()
    adversary = Hardening(eps=0.2, step=2.0, warm_up=0.3, objective=objective)
    x_adv = adversary.attack(lambda images: head(net(images)), X, Y, progress, generator())
    assert len(net.seen) == 1
    torch.testing.assert_close(x_adv, corners(X, Y, 0.2 * min(1, progress / 0.3)), rtol=0, atol=1e-15)
    assert not x_adv.requires_grad
    assert all(value.grad is None for value in head.parameters())


def test_ce_is_cross_entropy() -> None:
    logits = X.flatten(1) @ WEIGHTS.T + BIAS
    expected = [
        math.log(sum(math.exp(value) for value in row)) - row[label]
        for row, label in zip(logits.tolist(), Y.tolist(), strict=True)
    ]
    assert OBJECTIVES["ce"](logits, Y).tolist() == pytest.approx(expected, rel=1e-12)


def test_margin_does_not_vanish_on_squared_distances() -> None:
    head = LGM(2, 3).double()
    with torch.no_grad():
        head.means.copy_(torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0]]))
    # squared distances 1.25, 3.25, .25 and 5, 1, 4
    features = torch.tensor([[0.5, 1.0], [2.0, 1.0]], dtype=torch.float64)
    margin = OBJECTIVES["margin"]
    assert margin(head(features), torch.tensor([0, 1])).tolist() == pytest.approx(
        [(1.25 - 0.25) / 2, (1 - 4) / 2]
    )
    # beside class 1, where cross-entropy is 0
    far, one = torch.tensor([[1e3, -1e3]], dtype=torch.float64, requires_grad=True), torch.tensor([1])
    [gradient] = torch.autograd.grad(margin(head(far), one).sum(), far)
    assert gradient.tolist() == [[-2.0, 0.0]]
    assert torch.autograd.grad(OBJECTIVES["ce"](head(far), one).sum(), far)[0].abs().max() == 0


def test_trades_without_weight_is_cross_entropy(make_net: Callable[[], Any]) -> None:
    head, net = linear(TRADES(2, 2, weight=0.0)), make_net()
    torch.testing.assert_close(
        head.training_loss(net, X, Y, 1.0, generator()), functional.cross_entropy(head(X.flatten(1)), Y)
    )
    assert net.seen[0].equal(X)


def test_trades_of_an_unperturbed_image_is_cross_entropy(make_net: Callable[[], Any]) -> None:
    head, net = linear(TRADES(2, 2, weight=100.0, warm_up=0.3)), make_net()
    loss = head.training_loss(net, X, Y, 0.0, generator())
    assert net.seen[-1].equal(X)
    torch.testing.assert_close(loss, functional.cross_entropy(head(X.flatten(1)), Y), rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", [0, 1])
def test_trades_by_hand(make_net: Callable[[], Any], seed: int) -> None:
    eps, weight, x = 0.1, 3.0, X[:2]
    head, net = linear(TRADES(2, 2, weight=weight, eps=eps, step=2.0)), make_net()
    loss = head.training_loss(net, x, Y[:2], 1.0, generator(seed)).item()
    # Two classes, linear: KL grows with the change of the logits' difference to either side; the start
    # decides which.
    start = eps * (2 * torch.rand(x.shape, generator=generator(seed), dtype=x.dtype) - 1)
    side = (start.flatten(1) @ (WEIGHTS[1] - WEIGHTS[0])).sign().view(2, 1, 1, 1)
    x_adv = x + eps * side * TO_OTHER
    torch.testing.assert_close(net.seen[-1], x_adv, rtol=0, atol=1e-15)

    def ones(images: Tensor) -> list[float]:
        """The probability of class 1."""
        return [1 / (1 + math.exp(-1.5 * a + 1.5 * b + 0.3)) for a, b in images.flatten(1).tolist()]

    expected = 0.0
    for p, q, label in zip(ones(x), ones(x_adv), [0, 1], strict=True):
        divergence = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
        assert divergence > 0.005
        expected += (-math.log([1 - p, p][label]) + weight * divergence) / 2
    assert loss == pytest.approx(expected, rel=1e-12)


def test_gradient_of_the_training_loss_of_trades() -> None:
    # A step of 2 eps ends on a corner that a small change of the weights does not move.
    head = linear(TRADES(2, 2, step=2.0, eps=0.1))

    class Loss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = head

        def forward(self, scale: Tensor) -> Tensor:
            return head.training_loss(lambda x: x.flatten(1) * scale, X, Y, 1.0, generator())

    module = Loss()
    names = [name for name, _ in module.named_parameters()]

    def loss(scale: Tensor, *parameters: Tensor) -> Tensor:
        value: Tensor = torch.func.functional_call(
            module, dict(zip(names, parameters, strict=True)), (scale,)
        )
        return value

    inputs = [
        torch.tensor([1.0, 0.5], dtype=torch.float64),
        *(value.detach().clone() for value in module.parameters()),
    ]
    torch.autograd.gradcheck(loss, [value.requires_grad_() for value in inputs])


@pytest.mark.parametrize("y", [[0, 2], [1, 1], [2]], ids=["one missing", "two missing", "batch of one"])
def test_numbers_of_trades_stay_finite_for_huge_logits(y: list[int]) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = TRADES(2, 3)
    scale = torch.tensor([1e5, -1e5], requires_grad=True)
    x = torch.tensor([[0.9, 0.8], [0.7, 1.0]])[: len(y)]
    assert head(x * scale).abs().max() > 1e4
    loss = head.training_loss(lambda images: images * scale, x, torch.tensor(y), 1.0, generator())
    assert loss.isfinite()
    loss.backward()
    for gradient in (scale.grad, *(value.grad for value in head.parameters())):
        assert gradient is not None
        assert gradient.isfinite().all()
