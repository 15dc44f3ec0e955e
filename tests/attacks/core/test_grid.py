"""Rounding to the 8-bit grid: nearest, and never out of the ball."""

import math

import pytest
import torch

from gmbench.attacks import ThreatModel
from gmbench.attacks.core.grid import LEVELS, on_grid
from gmbench.attacks.core.norms import NORMS


def images(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (40, 1, 6, 6), generator=generator).float() / LEVELS


@pytest.mark.parametrize("norm", ["Linf", "L2"])
@pytest.mark.parametrize("eps", [0.4 / 255, 1 / 255, 8 / 255, 0.05, 0.3, 1.0])
def test_is_on_the_grid_and_in_the_ball(norm: str, eps: float) -> None:
    x, threat = images(0), ThreatModel(norm, eps)
    noise = 3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    x_adv = NORMS[norm].perturb(x, noise, eps)
    rounded = on_grid(x, x_adv, threat)
    assert torch.equal(rounded, (rounded * LEVELS).round() / LEVELS)
    assert rounded.min() >= 0
    assert rounded.max() <= 1
    assert NORMS[norm].size(rounded - x).max() <= eps + 1e-6
    assert (rounded - x_adv).abs().max() < 1 / LEVELS


def test_an_eps_on_the_grid_is_reached() -> None:
    x, eps = images(0), 8 / 255
    x_adv = (x + eps).clamp(0, 1)
    torch.testing.assert_close(on_grid(x, x_adv, ThreatModel("Linf", eps)), x_adv, atol=1e-6, rtol=0)


def test_an_eps_off_the_grid_is_not_exceeded() -> None:
    """.3 is 76.5 levels: 76 remain."""
    x = torch.full((1, 1, 2, 2), 0.2).mul(LEVELS).round() / LEVELS
    rounded = on_grid(x, x + 0.3, ThreatModel("Linf", 0.3))
    torch.testing.assert_close((rounded - x) * LEVELS, torch.full_like(x, 76.0))


def test_the_nearest_level_is_taken_where_the_ball_allows() -> None:
    x = torch.full((1, 1, 1, 2), 100 / 255)
    x_adv = torch.tensor([[[[103.4, 96.6]]]]) / 255
    for threat in (ThreatModel("Linf", 0.1), ThreatModel("L2", math.inf), ThreatModel("Linf", math.inf)):
        torch.testing.assert_close(on_grid(x, x_adv, threat) * LEVELS, torch.tensor([[[[103.0, 97.0]]]]))


def test_well_inside_an_l2_ball_the_nearest_level_is_taken() -> None:
    x = images(0)
    x_adv = NORMS["L2"].perturb(x, torch.randn(x.shape, generator=torch.Generator().manual_seed(1)), 1.0)
    rounded = on_grid(x, x_adv, ThreatModel("L2", 1.1))
    assert torch.equal(rounded, (x_adv * LEVELS).round() / LEVELS)


def test_clean_images_stay_as_they_are() -> None:
    x = images(2)
    for norm in ("Linf", "L2"):
        assert torch.equal(on_grid(x, x, ThreatModel(norm, 0.5 / 255)), x)


def test_an_image_off_the_grid_stays_in_its_ball() -> None:
    x = torch.full((1, 1, 1, 1), 100.5 / 255)
    rounded = on_grid(x, x + 0.0005, ThreatModel("Linf", 0.0005))
    assert (rounded - x).abs().max() <= 0.0005
