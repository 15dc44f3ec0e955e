"""The sum over layers against scikit-learn's covariance and SciPy's distance."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.covariance import LedoitWolf

from gmbench.detectors.gaussian import Mahalanobis
from gmbench.detectors.mahalanobis_layers import MahalanobisLayers
from gmbench.models.classifier import Outputs

K = 3


def draw(count: int, seed: int) -> tuple[Outputs, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % K

    def noise(*shape: int) -> torch.Tensor:
        values = torch.randn(count, *shape, generator=generator, dtype=torch.float64)
        return values + y.view(-1, *(1,) * len(shape))

    layers = {"stem": noise(4, 3, 3), "stage": noise(6)}
    return Outputs(torch.zeros(count, 0), noise(5), torch.zeros(count, K).double(), layers=layers), y


def reference(train: np.ndarray, y: np.ndarray, points: np.ndarray) -> np.ndarray:
    means = np.stack([train[y == k].mean(0) for k in range(K)])
    covariance = LedoitWolf(assume_centered=True).fit(train - means[y]).covariance_
    squared: np.ndarray = cdist(points, means, "mahalanobis", VI=np.linalg.inv(covariance)) ** 2
    return squared.min(1)


def test_is_the_sum_of_each_layers_distance() -> None:
    (train, y), (outputs, _) = draw(150, 0), draw(20, 1)
    parts = [
        (train.layers["stem"].mean((2, 3)), outputs.layers["stem"].mean((2, 3))),
        (train.layers["stage"], outputs.layers["stage"]),
        (train.features, outputs.features),
    ]
    expected = sum(reference(seen.numpy(), y.numpy(), asked.numpy()) for seen, asked in parts)
    np.testing.assert_allclose(MahalanobisLayers().fit(train, y).score(outputs).numpy(), expected, rtol=1e-7)


def test_one_layer_that_is_the_features_counts_twice() -> None:
    (train, y), (outputs, _) = draw(150, 0), draw(20, 1)
    doubled = [
        Outputs(one.x, one.features, one.logits, layers={"a": one.features}) for one in (train, outputs)
    ]
    twice = MahalanobisLayers().fit(doubled[0], y).score(doubled[1])
    torch.testing.assert_close(twice, 2 * Mahalanobis().fit(train, y).score(outputs))


def test_a_model_without_layers_does_not_apply() -> None:
    outputs, _ = draw(6, 0)
    assert MahalanobisLayers().applies(outputs)
    assert not MahalanobisLayers().applies(Outputs(outputs.x, outputs.features, outputs.logits))


def test_gradients_reach_every_layer() -> None:
    train, y = draw(150, 0)
    detector = MahalanobisLayers().fit(train, y)
    outputs = draw(6, 1)[0].each(lambda tensor: tensor.clone().requires_grad_())
    detector.score(outputs).sum().backward()
    for tensor in (*outputs.layers.values(), outputs.features):
        assert tensor.grad is not None
        assert (tensor.grad.flatten(1).norm(dim=1) > 0).all()


def test_other_layers_than_in_fit_are_refused() -> None:
    train, y = draw(150, 0)
    detector = MahalanobisLayers().fit(train, y)
    fewer = Outputs(train.x, train.features, train.logits, layers={"stage": train.layers["stage"]})
    with pytest.raises(ValueError, match="expected outputs with 2 layers as in fit, got 1"):
        detector.score(fewer)
