"""What every registered head and every registered network promises."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gmbench.models import HEADS, NETS, Head

B, D, K = 6, 3, 4
FEATURES = {"gccs": K}
"""D of the heads that cannot have any."""

BATCH_STATISTICS = {"gccs"}
"""Heads whose loss looks at the batch as a whole: it is no mean over the samples."""

SHAPES = {"mnist": (1, 28, 28), "digits": (1, 8, 8), "cifar": (3, 32, 32)}
"""Of the images, by the first word of a network's name."""


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


Y = torch.arange(B) % K


def build(name: str) -> Head:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return HEADS.build(name, features=FEATURES.get(name, D), classes=K)


@pytest.fixture(params=list(HEADS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def head(name: str) -> Head:
    return build(name)


@pytest.fixture
def width(name: str) -> int:
    """D."""
    return FEATURES.get(name, D)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_logits_have_their_shape_and_type(head: Head, width: int, dtype: torch.dtype) -> None:
    logits = head.to(dtype)(noise(B, width, dtype=dtype))
    assert logits.shape == (B, K)
    assert logits.dtype == dtype
    assert logits.std(0).min() > 0  # every class's logit looks at the features


@pytest.mark.parametrize("name", [name for name in HEADS if hasattr(build(name), "log_likelihood")])
def test_likelihood_vanishes_far_away(name: str, width: int) -> None:
    # No part of Head
    log_likelihood: Callable[[Tensor], Tensor] = getattr(build(name), "log_likelihood")  # noqa: B009
    near, far = log_likelihood(noise(B, width)), log_likelihood(100 * noise(B, width))
    assert near.shape == (B, K)
    assert (far < near).all()


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("scale", [1, 1000])
def test_loss_and_its_gradients_are_finite(head: Head, width: int, progress: float, scale: float) -> None:
    features = (scale * noise(B, width)).requires_grad_()
    loss = head.train().loss(features, Y, progress)
    assert loss.shape == ()
    assert loss.isfinite()
    loss.backward()
    assert features.grad is not None
    for name, gradient in [
        ("features", features.grad),
        *((name, value.grad) for name, value in head.named_parameters()),
    ]:
        assert gradient is not None, name
        assert gradient.isfinite().all(), name
        assert gradient.abs().max() > 0, name


@pytest.mark.parametrize(
    "y", [[0, 1, 2, 3, 0, 1], [0, 2], [1]], ids=["every class", "classes missing", "one image"]
)
def test_no_loss_or_gradient_is_nan_at_huge_logits(head: Head, width: int, y: list[int]) -> None:
    features = 1e5 * noise(len(y), width)
    assert head(features).abs().max() >= 1e4
    features.requires_grad_()
    loss = head.train().loss(features, torch.tensor(y), 1.0)
    loss.backward()
    assert loss.isfinite()
    for name, gradient in [
        ("features", features.grad),
        *((name, value.grad) for name, value in head.named_parameters()),
    ]:
        assert gradient is not None, name
        assert gradient.isfinite().all(), name


@pytest.mark.parametrize("progress", [0.0, 1.0])
def test_gradient_is_that_of_the_loss(head: Head, width: int, progress: float) -> None:
    head = head.double().eval()
    features = noise(B, width, dtype=torch.float64).requires_grad_()
    torch.autograd.gradcheck(lambda values: head.loss(values, Y, progress), [features])


@pytest.mark.parametrize("name", [name for name in HEADS if name not in BATCH_STATISTICS])
def test_loss_is_a_mean_over_the_batch(head: Head, width: int) -> None:
    head = head.double().eval()
    features = noise(B, width, dtype=torch.float64)
    each = torch.stack([head.loss(features[i : i + 1], Y[i : i + 1], 0.5) for i in range(B)])
    torch.testing.assert_close(head.loss(features, Y, 0.5), each.mean())


def test_loss_falls_along_its_gradient(head: Head, width: int) -> None:
    features = noise(B, width).requires_grad_()
    head.eval()
    loss = head.loss(features, Y, 0.5)
    [gradient] = torch.autograd.grad(loss, features)
    assert head.loss(features - 1e-2 * gradient / gradient.norm(), Y, 0.5) < loss


def test_evaluation_changes_nothing(head: Head, width: int) -> None:
    head.eval()
    before = {name: value.clone() for name, value in head.state_dict().items()}
    head(noise(B, width))
    head.loss(noise(B, width), Y, 0.5)
    assert all(value.equal(before[name]) for name, value in head.state_dict().items())


def test_learning_rates_name_parameters(head: Head) -> None:
    rates = head.learning_rates()
    assert set(rates) <= {name for name, _ in head.named_parameters()}
    assert all(rate >= 0 for rate in rates.values())


@pytest.fixture(params=list(NETS))
def net_and_images(request: pytest.FixtureRequest) -> tuple[nn.Module, Tensor]:
    shape = SHAPES[request.param.split("-")[0]]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = NETS.build(request.param, features=64)
    return net.eval(), noise(3, *shape, seed=1)


def test_net_gives_the_features_it_was_asked_for(net_and_images: tuple[nn.Module, Tensor]) -> None:
    net, images = net_and_images
    features = net(images)
    assert features.shape == (3, 64)
    assert features.isfinite().all()
    assert not features[0].equal(features[1])


def test_net_does_not_look_at_the_neighbours(net_and_images: tuple[nn.Module, Tensor]) -> None:
    net, images = net_and_images
    others = torch.cat([images[:1], 10 * noise(2, *images.shape[1:], seed=2)])
    assert net(others)[0].equal(net(images)[0])
    torch.testing.assert_close(net(images[:1]), net(images)[:1])
    images.requires_grad_()
    [gradient] = torch.autograd.grad(net(images)[0].sum(), images)
    assert gradient[0].abs().max() > 0
    assert gradient[1:].abs().max() == 0


def test_net_gives_the_same_twice(net_and_images: tuple[nn.Module, Tensor]) -> None:
    net, images = net_and_images
    assert net(images).equal(net(images))
