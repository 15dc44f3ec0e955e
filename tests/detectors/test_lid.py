"""The local intrinsic dimensionality against the paper's formula, and against a dimension that is known."""

import numpy as np
import pytest
import torch

from gmbench.detectors.lid import LID
from gmbench.models.classifier import Outputs


def outputs_of(features: torch.Tensor) -> Outputs:
    return Outputs(torch.zeros(len(features), 0), features, torch.zeros(len(features), 2))


def draw(count: int, seed: int, dimensions: int = 5) -> torch.Tensor:
    return torch.randn(count, dimensions, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_is_the_papers_formula_in_one_minibatch() -> None:
    train, points = draw(100, 0), draw(20, 1)
    detector = LID(k=20, minibatch=100, minibatches=1).fit(outputs_of(train), torch.zeros(100).long())
    for score, z in zip(detector.score(outputs_of(points)), points.numpy(), strict=True):
        distances = np.sort(np.linalg.norm(train.numpy() - z, axis=1))[:20]
        expected = -1 / np.mean(np.log(distances / distances[-1]))
        assert float(score) == pytest.approx(expected, rel=1e-9)


def test_several_minibatches_are_averaged() -> None:
    train, points = draw(300, 0), outputs_of(draw(10, 1))
    y = torch.zeros(300).long()
    whole = LID(minibatches=3).fit(outputs_of(train), y).score(points)
    each = [LID(minibatches=1).fit(outputs_of(train[first::3]), y[:100]).score(points) for first in range(3)]
    torch.testing.assert_close(whole, torch.stack(each).mean(0))


@pytest.mark.parametrize("dimensions", [1, 2, 4])
def test_uniform_points_have_the_dimension_of_their_space(dimensions: int) -> None:
    generator = torch.Generator().manual_seed(0)
    train = torch.rand(4000, dimensions, generator=generator, dtype=torch.float64)
    inner = 0.3 + 0.4 * torch.rand(200, dimensions, generator=generator, dtype=torch.float64)
    detector = LID(k=50, minibatch=4000, minibatches=1).fit(outputs_of(train), torch.zeros(4000).long())
    # the estimate of k neighbours is high by about a k-th, and noisy
    assert float(detector.score(outputs_of(inner)).mean()) == pytest.approx(dimensions, rel=0.1)


def test_every_class_is_in_each_minibatch() -> None:
    y = torch.arange(600) % 2
    features = torch.stack([y.double(), torch.zeros(600)], 1)
    for points in LID().fit(outputs_of(features), y).minibatches_:
        assert len(points) == 100
        assert float(points[:, 0].mean()) == pytest.approx(0.5, abs=0.02)


def test_an_image_that_was_learned_is_finite() -> None:
    train = draw(100, 0)
    scores = LID().fit(outputs_of(train), torch.zeros(100).long()).score(outputs_of(train[:5]))
    assert scores.isfinite().all()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"k": 1}, "k to be at least 2, got 1"),
        ({"k": 20, "minibatch": 20}, "minibatch to be at least 21, got 20"),
        ({"minibatches": 0}, "minibatches to be at least 1, got 0"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, int], told: str) -> None:
    with pytest.raises(ValueError, match=f"expected {told}"):
        LID(**options)
