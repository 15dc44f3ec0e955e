"""MCAT against the authors' released code, term by term and by hand.

Images are two pixels and features are the pixels.
"""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from gmbench.detectors import DETECTORS
from gmbench.models import Outputs
from gmbench.models.heads.gm import GM
from gmbench.models.heads.mcat import MCAT

MEANS = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
FEATURES = torch.tensor([[0.5, 1.0], [2.0, 1.0]], dtype=torch.float64)
SQUARES = [[1.25, 3.25, 0.25], [5.0, 1.0, 4.0]]
Y = torch.tensor([0, 1])
SPREAD = (4 + 1 + 5) / 3  # of the means' squared distances

X = torch.tensor([[0.2, 0.9], [0.7, 0.4], [0.5, 0.5], [0.8, 0.3]], dtype=torch.float64).view(4, 1, 1, 2)
LABELS = torch.tensor([2, 1, 0, 1])


def build(means: Tensor = MEANS, **options: Any) -> MCAT:
    head = MCAT(features=2, classes=len(means), **options).double()
    with torch.no_grad():
        head.means.copy_(means)
    return head


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def natural(squares: list[float], y: int, alpha: float, weight: float) -> float:
    """Cross-entropy with the margin and the mean squared distance to all means."""
    logits = [-(1 + alpha * (k == y)) * square / 2 for k, square in enumerate(squares)]
    return (
        math.log(sum(math.exp(logit) for logit in logits)) - logits[y] + weight * sum(squares) / len(squares)
    )


def squares_to(means: Tensor, point: list[float]) -> list[float]:
    return [sum((a - b) ** 2 for a, b in zip(point, mean, strict=True)) for mean in means.tolist()]


def test_clean_loss_by_hand() -> None:
    pull = [1.5 * 0.5 * 0.25, 1.5 * 0.5 * 1.0]  # to the nearest mean, whichever it is
    expected = [
        natural(squares, y, 0.1, 0.05) + more
        for squares, y, more in zip(SQUARES, Y.tolist(), pull, strict=True)
    ]
    assert build().loss(FEATURES, Y, 1.0).item() == pytest.approx(sum(expected) / 2, rel=1e-12)


def test_without_adversary_there_is_no_pull() -> None:
    head = build(clean_share=0.45)
    expected = sum(natural(squares, y, 0.1, 0.05) for squares, y in zip(SQUARES, Y.tolist(), strict=True)) / 2
    assert head.loss(FEATURES, Y, 0.4499).item() == pytest.approx(expected, rel=1e-12)
    assert head.loss(FEATURES, Y, 0.45) > expected + 0.1
    gm = GM(2, 3, alpha=0.1, weight=0.05, likelihood="all", warm_up=0.0).double()
    gm.load_state_dict(head.state_dict())
    torch.testing.assert_close(head.loss(FEATURES, Y, 0.4499), gm.loss(FEATURES, Y, 1.0))


@pytest.mark.parametrize("g", [0.0, 0.25, 1.0])
def test_perturbed_loss_by_hand(g: float) -> None:
    head = build()
    distances = torch.tensor(SQUARES, dtype=torch.float64) / 2
    found = head.losses_adv(distances, Y, torch.full((2,), g, dtype=torch.float64), 1.0)
    missing = [0.7 * SPREAD - 0.25, 0.0]  # the second is 4 from the nearest wrong mean, which is far enough
    expected = [
        (1 - g) * natural(squares, y, 0.1, 0.05) + g * 0.5 * short
        for squares, y, short in zip(SQUARES, Y.tolist(), missing, strict=True)
    ]
    assert found.tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("progress", "alpha", "weight", "beta", "threshold"),
    [
        (0.0, 0.001, 0.005, 0.005, 0.07),
        (0.05, 0.0505, 0.0275, 0.2525, 0.385),
        (0.1, 0.1, 0.05, 0.5, 0.7),
        (1.0, 0.1, 0.05, 0.5, 0.7),
    ],
)
def test_everything_grows_as_in_the_released_code(
    progress: float, alpha: float, weight: float, beta: float, threshold: float
) -> None:
    head, distances = build(clean_share=0.0), torch.tensor(SQUARES, dtype=torch.float64) / 2
    expected = [
        natural(squares, y, alpha, weight) + 1.5 * beta * min(squares)
        for squares, y in zip(SQUARES, Y.tolist(), strict=True)
    ]
    assert head.losses(distances, Y, progress).tolist() == pytest.approx(expected, rel=1e-12)
    near = torch.tensor([[0.5, 0.01, 0.02]], dtype=torch.float64)
    found = head.losses_adv(near, Y[:1], torch.ones(1, dtype=torch.float64), progress)
    assert found.item() == pytest.approx(beta * (threshold * SPREAD - 0.02), rel=1e-12)


@pytest.mark.parametrize("seed", [0, 1])
def test_threshold_is_in_units_of_the_mean_over_pairs(seed: int) -> None:
    means = torch.randn(5, 2, generator=generator(seed), dtype=torch.float64)
    pairs = [(means[i] - means[j]).square().sum().item() for i in range(5) for j in range(5) if i != j]
    assert build(means).spread().item() == pytest.approx(sum(pairs) / 20, rel=1e-12)
    assert build().spread().item() == pytest.approx(SPREAD, rel=1e-12)


def test_transition_by_hand() -> None:
    head = build(eps=0.2)
    delta = torch.zeros(5, 1, 1, 2, dtype=torch.float64)
    delta[1, 0, 0, 1], delta[2, 0, 0, 0], delta[3, 0, 0, 1], delta[4, 0, 0, 0] = -0.1, 0.02, 0.2, -0.2 - 1e-9
    delta[1, 0, 0, 0] = 0.05  # the largest pixel counts
    assert head.transition(delta).tolist() == pytest.approx([0, 1 - 0.5**10, 1 - 0.9**10, 1, 1], abs=1e-12)
    assert build(eps=0.2, power=2.0).transition(delta)[1].item() == pytest.approx(0.75, rel=1e-12)
    assert build(eps=0.2, power=0.5).transition(delta)[4] == 1  # rounding beyond the ball is no NaN


def test_half_of_the_batch_is_perturbed_to_the_nearest_wrong_mean(make_net: Callable[[], Any]) -> None:
    # Wrong means far outside the box: wherever it starts, the adversary's optimum is the corner of the ball
    # on their side.
    means = torch.tensor([[3.0, 4.0], [-3.0, 4.0]], dtype=torch.float64)
    head, net, y = build(means, eps=0.1, step=2.0, threshold=1.5), make_net(), torch.tensor([0, 1, 0, 1])
    loss = head.training_loss(net, X, y, 0.5, generator())
    corners = [[0.5 - 0.1, 0.5 + 0.1], [0.8 + 0.1, 0.3 + 0.1]]
    images = torch.cat([X[:2], torch.tensor(corners, dtype=torch.float64).view(2, 1, 1, 2)])
    assert len(net.seen) == 2  # one gradient, then both halves at once
    torch.testing.assert_close(net.seen[-1], images, rtol=0, atol=1e-15)
    clean, perturbed = [], []
    for point, label in zip(X[:2].flatten(1).tolist(), [0, 1], strict=True):
        squares = squares_to(means, point)
        clean.append(natural(squares, label, 0.1, 0.05) + 1.5 * 0.5 * min(squares))
    for point, label in zip(corners, [0, 1], strict=True):  # on the ball's edge g is 1
        perturbed.append(0.5 * (1.5 * 36 - squares_to(means, point)[1 - label]))
    assert min(perturbed) > 0
    assert loss.item() == pytest.approx(0.5 * sum(clean) / 2 + 0.5 * sum(perturbed) / 2, rel=1e-12)


def test_adversary_climbs_towards_the_nearest_wrong_mean_not_the_true_one(
    make_net: Callable[[], Any],
) -> None:
    head, net = build(eps=0.2, steps=10, step=0.3, clean_share=0.0), make_net()
    x, y = torch.full((2, 1, 1, 2), 0.5, dtype=torch.float64), torch.tensor([0, 0])
    head.training_loss(net, x, y, 1.0, generator())
    start, end = net.seen[0], net.seen[-1][1:]
    assert len(net.seen) == 11
    assert start.shape == end.shape == (1, 1, 1, 2)
    # towards (0, 1); the true mean is (0, 0)
    torch.testing.assert_close(end.flatten(), torch.tensor([0.3, 0.7], dtype=torch.float64))


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_small_batches(make_net: Callable[[], Any], size: int) -> None:
    head, net = build(), make_net()
    loss = head.training_loss(net, X[:size], LABELS[:size], 0.9, generator())
    images, clean = net.seen[-1], (size + 1) // 2
    assert len(net.seen) == (1 if size == 1 else 2)  # batch norm refuses no images at all
    assert images.shape == X[:size].shape
    assert images[:clean].equal(X[:clean])
    assert (images[clean:] != X[clean:size]).flatten(1).any(1).all()
    losses = [head.loss(images[i : i + 1].flatten(1), LABELS[i : i + 1], 0.9) for i in range(clean)]
    for i in range(clean, size):
        rejected = head.transition(images[i : i + 1] - X[i : i + 1])
        losses += head.losses_adv(
            -head(images[i : i + 1].flatten(1)), LABELS[i : i + 1], rejected, 0.9
        ).unbind()
    torch.testing.assert_close(loss, torch.stack(losses).mean())
    loss.backward()
    assert net.scale.grad is not None
    assert net.scale.grad.isfinite().all()
    assert net.scale.grad.abs().max() > 0


def test_first_part_trains_the_means_on_clean_images_and_the_second_holds_them(
    make_net: Callable[[], Any],
) -> None:
    for progress, calls in ((0.0, 1), (0.4499, 1), (0.45, 2), (1.0, 2)):
        head, net = build(threshold=1.5), make_net()
        loss = head.training_loss(net, X, LABELS, progress, generator())
        loss.backward()
        assert len(net.seen) == calls
        assert net.scale.grad is not None
        if progress < 0.45:
            assert net.seen[0].equal(X)
            torch.testing.assert_close(loss, head.loss(X.flatten(1), LABELS, progress))
            assert head.means.grad is not None
            assert head.means.grad.abs().max() > 0
        else:
            assert head.means.grad is None


def test_random_numbers_come_from_the_generator_alone(make_net: Callable[[], Any]) -> None:
    head = build(steps=1, step=1e-6, eps=0.2)
    before = torch.get_rng_state()
    first, again, other = (
        head.training_loss(make_net(), X, LABELS, 0.9, generator(seed)).item() for seed in (0, 0, 1)
    )
    assert first == again != other
    assert torch.get_rng_state().equal(before)


@pytest.mark.parametrize("progress", [0.2, 0.5])
def test_clean_gradients_are_those_of_the_loss(progress: float) -> None:
    head = build()

    def loss(features: Tensor, means: Tensor) -> Tensor:
        return head.losses(
            -torch.func.functional_call(head, {"means": means}, (features,)), Y, progress
        ).mean()

    torch.autograd.gradcheck(loss, [FEATURES.clone().requires_grad_(), MEANS.clone().requires_grad_()])


def test_gradient_of_the_training_loss() -> None:
    # A step of 2 eps ends on a corner that a small change of the weights does not move.
    head = build(torch.tensor([[3.0, 4.0], [-3.0, 4.0]]), eps=0.1, step=2.0, threshold=1.5)

    def loss(scale: Tensor) -> Tensor:
        return head.training_loss(
            lambda x: x.flatten(1) * scale, X, torch.tensor([0, 1, 0, 1]), 0.9, generator()
        )

    torch.autograd.gradcheck(loss, [torch.tensor([1.0, 0.5], dtype=torch.float64, requires_grad=True)])


def test_gradient_of_the_perturbed_loss() -> None:
    head, g = build(), torch.tensor([0.25, 0.5], dtype=torch.float64)
    distances = (torch.tensor(SQUARES, dtype=torch.float64) / 2).requires_grad_()
    torch.autograd.gradcheck(lambda values: head.losses_adv(values, Y, g, 1.0), [distances])


@pytest.mark.parametrize("progress", [0.0, 0.9])
@pytest.mark.parametrize("y", [[0, 2], [1, 1], [2]], ids=["one missing", "two missing", "batch of one"])
def test_numbers_stay_finite_far_from_all_means(progress: float, y: list[int]) -> None:
    head = build().float()
    scale = torch.tensor([1e3, -1e3], requires_grad=True)
    x = torch.tensor([[0.9, 0.8], [0.7, 1.0]])[: len(y)]
    loss = head.training_loss(lambda images: images * scale, x, torch.tensor(y), progress, generator())
    assert loss.isfinite()
    assert loss > 1e2
    loss.backward()
    assert scale.grad is not None
    assert scale.grad.isfinite().all()
    assert scale.grad.abs().max() > 0


def test_its_detector_is_likelihood() -> None:
    head = build()
    outputs = Outputs(FEATURES, FEATURES, head(FEATURES), head.log_likelihood(FEATURES))
    assert DETECTORS.build("likelihood").score(outputs).tolist() == pytest.approx(
        [min(squares) / 2 for squares in SQUARES]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 1}, "expected classes to be at least 2, got 1: .*"),
        ({"alpha": -1.0}, "expected alpha and weight to be >= 0, got -1.0 and 0.05"),
        ({"beta": -1.0}, "expected beta and threshold to be >= 0, got -1.0 and 0.7"),
        ({"threshold": -1.0}, "expected beta and threshold to be >= 0, got 0.5 and -1.0"),
        ({"power": 0.0}, "expected power to be > 0, got 0.0"),
        ({"clean_share": 1.5}, r"expected clean_share to be in \[0, 1\], got 1.5"),
        ({"clean_share": -0.5}, r"expected clean_share to be in \[0, 1\], got -0.5"),
        ({"eps": 0.0}, r"expected eps to be in \(0, 1\], got 0.0"),
        ({"steps": 0}, "expected steps to be at least 1, got 0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        MCAT(**{"features": 2, "classes": 3, **options})
