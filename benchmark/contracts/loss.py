"""What every head with its loss, and every net, keeps to."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from ...models.heads.head import Head
from .hold import hold, works

__all__ = [
    "check_along_gradient",
    "check_evaluation",
    "check_finite",
    "check_gradient",
    "check_huge",
    "check_likelihood",
    "check_logits",
    "check_loss",
    "check_mean",
    "check_net",
    "noise",
    "seeded",
]

B, K = 6, 4
Y = torch.arange(B) % K

T = TypeVar("T")
BuildHead = Callable[..., Head]
BuildNet = Callable[..., nn.Module]


def check_loss(build: BuildHead, *, features: int = 3, mean: bool = True) -> None:
    """Hold a head and its loss to all that a training relies on.

    Logits have their shape and type; loss and gradients are finite, at huge logits too, where classes are
    missing and for one image; the gradient is that of the loss, which falls along it; the loss is a mean over
    the batch; evaluation changes nothing; a likelihood vanishes far away; learning rates name parameters.

    Args:
        build: The head's class: takes ``features`` and ``classes``.
        features: D, where it cannot have any.
        mean: Whether the loss is a mean over the samples, and not of the batch as a whole.

    Raises:
        AssertionError: It breaks one; one line that says which.
    """

    def head() -> Head:
        with works("the head with features and classes alone"):
            built = seeded(build, features=features, classes=K)
        hold(isinstance(built, Head), f"expected a gmbench.Head, got {type(built).__name__}")
        return built

    for dtype in (torch.float32, torch.float64):
        check_logits(head(), features, dtype)
    if hasattr(head(), "log_likelihood"):
        check_likelihood(head(), features)
    for progress in (0.0, 0.5, 1.0):
        for scale in (1.0, 1000.0):
            check_finite(head(), features, progress, scale)
        check_gradient(head(), features, progress)
    for y in ([0, 1, 2, 3, 0, 1], [0, 2], [1]):
        check_huge(head(), features, y)
    if mean:
        check_mean(head(), features)
    check_along_gradient(head(), features)
    check_evaluation(head(), features)
    unknown = set(head().learning_rates()) - {name for name, _ in head().named_parameters()}
    hold(not unknown, f"expected learning_rates to name parameters, got {', '.join(sorted(unknown))}")


def check_net(build: BuildNet, shape: tuple[int, ...], *, features: int = 64) -> None:
    """Hold a net to what a classifier relies on: its features, finite, each image's its own, the same twice.

    Args:
        build: Takes ``features``.
        shape: Of one image.
        features: D, where it cannot have any.

    Raises:
        AssertionError: It breaks one; one line that says which.
    """
    net, images = seeded(build, features=features).eval(), noise(3, *shape, seed=1)
    with works(f"the net on images of shape {shape}"):
        first = net(images)
    got = tuple(first.shape)
    hold(got == (3, features), f"expected features of shape {(3, features)}, got {got}")
    hold(first.isfinite().all(), "expected finite features, got NaN or infinity")
    hold(not first[0].equal(first[1]), "expected unlike images to have unlike features")
    hold(net(images).equal(first), "expected the same features twice, got others")
    others = torch.cat([images[:1], 10 * noise(2, *shape, seed=2)])
    hold(net(others)[0].equal(first[0]), "expected features of an image to be its own, got its neighbours'")
    hold(torch.allclose(net(images[:1]), first[:1], rtol=1.3e-6, atol=1e-5), "an image alone has others")
    images.requires_grad_()
    [gradient] = torch.autograd.grad(net(images)[0].sum(), images)
    hold(gradient[0].abs().max() > 0, "expected the features to depend on the image, got a gradient of 0")
    hold(gradient[1:].abs().max() == 0, "expected features to depend on their own image alone")


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Draw from N(0, 1)."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def seeded(build: Callable[..., T], **options: int) -> T:
    """Build with the same initial weights every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build(**options)


def check_logits(head: Head, width: int, dtype: torch.dtype) -> None:
    """Logits are (B, K), of the features' type, and every class's looks at the features."""
    logits = head.to(dtype)(noise(B, width, dtype=dtype))
    got = tuple(logits.shape), logits.dtype
    hold(got == ((B, K), dtype), f"expected logits ({(B, K)}, {dtype}), got {got}")
    hold(logits.std(0).min() > 0, "expected every class's logit to depend on the features")


def check_likelihood(head: Head, width: int) -> None:
    """A likelihood vanishes far away."""
    # No part of `Head`: only one whose paper states a density has it.
    log_likelihood: Callable[[Tensor], Tensor] = getattr(head, "log_likelihood")  # noqa: B009
    near, far = log_likelihood(noise(B, width)), log_likelihood(100 * noise(B, width))
    hold(near.shape == (B, K), f"expected log_likelihood of shape {(B, K)}, got {tuple(near.shape)}")
    hold((far < near).all(), "expected the likelihood to fall far away from all classes")


def check_finite(head: Head, width: int, progress: float, scale: float) -> None:
    """Loss and gradients are finite, and no parameter is left without one."""
    features = (scale * noise(B, width)).requires_grad_()
    loss = head.train().loss(features, Y, progress)
    hold(loss.shape == () and loss.isfinite(), f"expected a finite loss of shape (), got {loss}")
    _check_gradients(head, features, loss, zero=False)


def check_huge(head: Head, width: int, y: list[int]) -> None:
    """No loss or gradient is NaN where logits are huge, classes are missing or one image is all."""
    features = 1e5 * noise(len(y), width)
    hold(head(features).abs().max() >= 1e4, "expected logits to grow with the features")
    features.requires_grad_()
    loss = head.train().loss(features, torch.tensor(y), 1.0)
    hold(loss.isfinite(), f"expected a finite loss at huge logits with classes {y}, got {loss}")
    _check_gradients(head, features, loss, zero=True)


def check_gradient(head: Head, width: int, progress: float) -> None:
    """The gradient is that of the loss, by finite differences."""
    head = head.double().eval()
    features = noise(B, width, dtype=torch.float64).requires_grad_()
    with works("the gradient of the loss"):
        torch.autograd.gradcheck(lambda values: head.loss(values, Y, progress), [features])


def check_mean(head: Head, width: int) -> None:
    """The loss is a mean over the batch."""
    head = head.double().eval()
    features = noise(B, width, dtype=torch.float64)
    each = torch.stack([head.loss(features[i : i + 1], Y[i : i + 1], 0.5) for i in range(B)]).mean()
    whole = head.loss(features, Y, 0.5)
    hold(torch.allclose(whole, each, rtol=1e-7), f"expected the mean over samples, {each}, got {whole}")


def check_along_gradient(head: Head, width: int) -> None:
    """The loss falls along its gradient."""
    features = noise(B, width).requires_grad_()
    head.eval()
    loss = head.loss(features, Y, 0.5)
    [gradient] = torch.autograd.grad(loss, features)
    after = head.loss(features - 1e-2 * gradient / gradient.norm(), Y, 0.5)
    hold(after < loss, f"expected the loss to fall along its gradient, got {loss} -> {after}")


def check_evaluation(head: Head, width: int) -> None:
    """Evaluation changes no parameter and no buffer."""
    head.eval()
    before = {name: value.clone() for name, value in head.state_dict().items()}
    head(noise(B, width))
    head.loss(noise(B, width), Y, 0.5)
    other = [name for name, value in head.state_dict().items() if not value.equal(before[name])]
    hold(not other, f"expected evaluation to change nothing, got other {', '.join(other)}")


def _check_gradients(head: Head, features: Tensor, loss: Tensor, *, zero: bool) -> None:
    loss.backward()
    for name, tensor in [("features", features), *head.named_parameters()]:
        gradient = tensor.grad
        if gradient is None:
            raise AssertionError(f"expected {name} to have a gradient, got none")
        hold(gradient.isfinite().all(), f"expected the gradient of {name} to be finite, got NaN or infinity")
        hold(zero or gradient.abs().max() > 0, f"expected {name} to matter, got a gradient of 0")
