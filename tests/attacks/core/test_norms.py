"""Projections, directions and random starts against what defines them."""

import math

import pytest
import torch
from torch import Tensor

from gmbench.attacks import SampleRandom
from gmbench.attacks.core.norms import NORMS, Norm

NAMES = pytest.mark.parametrize("name", NORMS)
DUAL = {"Linf": 1, "L2": 2}


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def inner(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1)


@pytest.mark.parametrize(("name", "order"), [("Linf", torch.inf), ("L2", 2)])
def test_size_is_the_norm(name: str, order: float) -> None:
    delta = noise(5, 3, 4, 4)
    torch.testing.assert_close(NORMS[name].size(delta), torch.linalg.vector_norm(delta, order, (1, 2, 3)))


@NAMES
@pytest.mark.parametrize("shape", [(7,), (3, 4, 4)], ids=str)
def test_projection_is_the_nearest_point_of_the_ball(name: str, shape: tuple[int, ...]) -> None:
    norm, eps = NORMS[name], 0.7
    delta = noise(50, *shape)
    nearest = norm.project(delta, eps)
    assert (norm.size(nearest) <= eps * (1 + 1e-12)).all()
    # p is nearest in a convex set exactly when no point q of it has (delta - p)(q - p) > 0
    for seed in range(1, 20):
        other = noise(50, *shape, seed=seed)
        other = eps * other / norm.size(other).view(-1, *[1] * len(shape))
        assert (inner(delta - nearest, other - nearest) <= 1e-12).all()


@NAMES
def test_projection_leaves_the_inside_alone(name: str) -> None:
    delta = 0.01 * noise(6, 8)
    for eps in (1.0, math.inf):
        assert torch.equal(NORMS[name].project(delta, eps), delta)
    assert torch.equal(NORMS[name].project(torch.zeros(2, 8), 0.1), torch.zeros(2, 8))


@NAMES
@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e-44, 1e30])
def test_steepest_reaches_the_dual_norm(name: str, scale: float) -> None:
    gradient = (noise(6, 3, 4, 4, dtype=torch.float32) * scale).float()
    direction = NORMS[name].steepest(gradient)
    torch.testing.assert_close(NORMS[name].size(direction), torch.ones(6))
    dual = torch.linalg.vector_norm(gradient.double(), DUAL[name], (1, 2, 3))
    torch.testing.assert_close(
        inner(gradient.double(), direction.double()) / dual,
        torch.ones(6, dtype=torch.float64),
        rtol=0,
        atol=1e-6,
    )


@NAMES
def test_slope_is_the_dual_norm(name: str) -> None:
    gradient = noise(6, 3, 4, 4)
    dual = torch.linalg.vector_norm(gradient, DUAL[name], (1, 2, 3))
    torch.testing.assert_close(NORMS[name].slope(gradient), dual)
    tiny = NORMS["L2"].slope((gradient * 1e-30).float())  # whose squares underflow
    torch.testing.assert_close(tiny, (torch.linalg.vector_norm(gradient, 2, (1, 2, 3)) * 1e-30).float())


@NAMES
def test_each_sample_may_have_a_ball_of_its_own(name: str) -> None:
    delta, eps = noise(3, 2, 4, 4), (0.1, 0.7, math.inf)
    together = NORMS[name].project(delta, torch.tensor(eps, dtype=delta.dtype).view(-1, 1, 1, 1))
    alone = torch.cat([NORMS[name].project(delta[i : i + 1], eps[i]) for i in range(3)])
    torch.testing.assert_close(together, alone)


@NAMES
def test_steepest_of_nothing_is_nothing(name: str) -> None:
    gradient = torch.stack([torch.zeros(5), torch.ones(5)])
    direction = NORMS[name].steepest(gradient)
    assert torch.equal(direction[0], torch.zeros(5))
    assert NORMS[name].size(direction)[1] == pytest.approx(1)


@pytest.mark.parametrize("pixels", [1, 2, 9])
def test_l2_samples_fill_the_ball_evenly(pixels: int) -> None:
    count, eps = 4000, 0.3
    x = torch.full((count, pixels), 0.5, dtype=torch.float64)
    delta = NORMS["L2"].sample(x, eps, SampleRandom.of("ball", torch.arange(count)))
    # the share of the volume inside that radius: uniform on [0, 1]
    share = (NORMS["L2"].size(delta) / eps) ** pixels
    assert share.amax() <= 1
    assert (share.sort().values - torch.arange(0.5, count) / count).abs().amax() < 1.95 / math.sqrt(count)
    assert delta.mean(0).abs().amax() < 4 * eps / math.sqrt(count)


def test_linf_samples_fill_the_cube_evenly() -> None:
    count, eps = 4000, 0.3
    x = torch.full((count, 1, 2, 2), 0.5, dtype=torch.float64)
    delta = NORMS["Linf"].sample(x, eps, SampleRandom.of("cube", torch.arange(count)))
    places = (delta.flatten(1) / eps + 1) / 2
    assert (
        places.sort(0).values - (torch.arange(0.5, count) / count).unsqueeze(1)
    ).abs().amax() < 1.95 / math.sqrt(count)
    assert (torch.corrcoef(places.T) - torch.eye(4)).abs().amax() < 4 / math.sqrt(count)


@NAMES
def test_perturbed_images_stay_in_the_ball_and_the_box(name: str) -> None:
    x = noise(40, 1, 5, 5).clamp(0, 1)
    kept = x.clone()
    x_adv = NORMS[name].perturb(x, noise(40, 1, 5, 5, seed=3), 0.4)
    assert torch.equal(x, kept)
    assert (NORMS[name].size(x_adv - x) <= 0.4 + 1e-12).all()
    assert x_adv.amin() == 0
    assert x_adv.amax() == 1


@NAMES
def test_every_sample_is_treated_alone(name: str) -> None:
    norm, delta = NORMS[name], noise(6, 4, 4)
    for function in (norm.size, norm.steepest, lambda d: norm.project(d, 0.5)):
        assert torch.equal(torch.cat([function(delta[i : i + 1]) for i in range(6)]), function(delta))

    def sample(ids: Tensor) -> Tensor:
        return norm.sample(delta[ids], 0.3, SampleRandom.of("start", ids))

    together = sample(torch.arange(6))
    assert together.shape == delta.shape
    assert torch.equal(torch.cat([sample(torch.tensor([i])) for i in range(6)]), together)


@pytest.mark.parametrize("method", ["size", "project", "steepest", "sample"])
def test_a_norm_that_lacks_a_method_is_refused_where_it_is_made(method: str) -> None:
    lacking = type("Lacking", (type(NORMS["L2"]),), {method: getattr(Norm, method)})
    with pytest.raises(TypeError, match=f"abstract method '?{method}"):
        lacking()
