"""K-density against the paper's formula, and against the kernel densities that it is a case of."""

import math

import numpy as np
import pytest
import torch

from gmbench.detectors.k_density import KDensity
from gmbench.detectors.kde import KDE
from gmbench.models.classifier import Outputs

D, K = 4, 3


def draw(count: int, seed: int) -> tuple[Outputs, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % K
    features = y.unsqueeze(1) + 0.5 * torch.randn(count, D, generator=generator, dtype=torch.float64)
    return Outputs(torch.zeros(count, 0), features, torch.randn(count, K, generator=generator)), y


def test_is_the_papers_formula() -> None:
    (train, y), (outputs, _) = draw(90, 0), draw(20, 1)
    scores = KDensity(sigma2=0.385).fit(train, y).score(outputs)
    for score, z, k in zip(scores, outputs.features.numpy(), outputs.predicted.tolist(), strict=True):
        points = train.features[y == k].numpy()
        mean = np.exp(-np.square(z - points).sum(1) / 0.385).mean()
        assert float(score) == pytest.approx(-math.log(mean), rel=1e-9)


def test_is_kde_of_one_width_up_to_a_constant() -> None:
    (train, y), (outputs, _) = draw(90, 0), draw(20, 1)
    mine = KDensity(sigma2=3.85).fit(train, y).score(outputs)
    width = math.sqrt(3.85 / 2)
    constant = D * math.log(width * math.sqrt(2 * math.pi))
    torch.testing.assert_close(mine + constant, KDE(bandwidth=width).fit(train, y).score(outputs))


def test_far_away_it_does_not_underflow() -> None:
    train, y = draw(90, 0)
    far = Outputs(torch.zeros(2, 0), torch.full((2, D), 1e3, dtype=torch.float64), torch.zeros(2, K))
    assert KDensity().fit(train, y).score(far).isfinite().all()


@pytest.mark.parametrize("options", [{"sigma2": 0.0}, {"sigma2": math.inf}, {"samples": 0}])
def test_wrong_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"expected {next(iter(options))} to be"):
        KDensity(**options)  # type: ignore[arg-type]
