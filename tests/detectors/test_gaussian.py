"""The fitted Gaussians against scikit-learn's covariances and SciPy's densities."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import mahalanobis
from scipy.stats import multivariate_normal
from sklearn.covariance import EmpiricalCovariance, LedoitWolf

from gmbench.detectors.gaussian import Gaussian, Mahalanobis
from gmbench.models.classifier import Outputs

D, K = 8, 3


def draw(count, seed, scale=1.0):
    """Classes with different means and covariances.

    The logits say the true class or, for every fifth sample, the next.
    """
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(K, D, D, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    y = torch.arange(count) % K
    noise = torch.randn(count, D, generator=generator, dtype=torch.float64)
    features = 20 + 4.0 * y.unsqueeze(1) + torch.einsum("nd,nde->ne", noise, mixing[y])
    predicted = torch.where(torch.arange(count) % 5 == 0, (y + 1) % K, y)
    logits = torch.nn.functional.one_hot(predicted, K).double()
    return Outputs(torch.zeros(count, 0), scale * features, logits), y


def by_class(outputs, y):
    return [outputs.features[y == k].numpy() for k in range(K)]


def shrunk(group):
    return LedoitWolf().fit(group)


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_mahalanobis_agrees_with_scikit_learn(scale):
    (train, y), (outputs, _) = draw(90, 0, scale), draw(40, 1, scale)
    groups = by_class(train, y)
    tied = LedoitWolf(assume_centered=True).fit(np.concatenate([group - group.mean(0) for group in groups]))
    distances = np.stack([tied.mahalanobis(outputs.features.numpy() - group.mean(0)) for group in groups], 1)
    scores = Mahalanobis().fit(train, y).score(outputs).numpy()
    np.testing.assert_allclose(scores, distances.min(1), rtol=1e-8)
    assert (distances.argmin(1) != outputs.predicted.numpy()).any()


def test_mahalanobis_tends_to_the_plain_estimate_with_many_samples():
    (train, y), (outputs, _) = draw(30_000, 0), draw(20, 1)
    groups = by_class(train, y)
    plain = EmpiricalCovariance(assume_centered=True).fit(
        np.concatenate([group - group.mean(0) for group in groups])
    )
    expected = [
        min(mahalanobis(f, group.mean(0), plain.precision_) ** 2 for group in groups)
        for f in outputs.features.numpy()
    ]
    np.testing.assert_allclose(Mahalanobis().fit(train, y).score(outputs).numpy(), expected, rtol=5e-3)


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_gaussian_agrees_with_scipy(scale):
    (train, y), (outputs, _) = draw(90, 0, scale), draw(40, 1, scale)
    densities = [
        multivariate_normal(group.mean(0), shrunk(group).covariance_) for group in by_class(train, y)
    ]
    expected = [
        -densities[k].logpdf(f)
        for f, k in zip(outputs.features.numpy(), outputs.predicted.tolist(), strict=True)
    ]
    np.testing.assert_allclose(Gaussian().fit(train, y).score(outputs).numpy(), expected, rtol=1e-8)


def test_gaussian_takes_fewer_samples_than_features():
    train, y = draw(4 * K, 0)
    assert Gaussian().fit(train, y).score(train).isfinite().all()


def test_dead_features_do_not_break_the_fit():
    train, y = draw(90, 0)
    train.features[:, 5:] = 0
    outputs = Outputs(train.x, train.features.clone(), train.logits)
    outputs.features[:, 7] = 0.1
    for detector in (Mahalanobis().fit(train, y), Gaussian().fit(train, y)):
        assert detector.score(train).isfinite().all()
        assert (detector.score(outputs) > detector.score(train)).all()


@pytest.mark.parametrize(
    ("detector", "where"), [(Mahalanobis(), "within the classes"), (Gaussian(), "of class 0")]
)
def test_equal_features_are_refused(detector, where):
    outputs = Outputs(torch.zeros(6, 0), torch.ones(6, D), torch.zeros(6, 2))
    with pytest.raises(
        ValueError, match=f"expected the training features {where} to vary enough for a covariance, got"
    ):
        detector.fit(outputs, torch.arange(6) % 2)


def test_gaussian_refuses_too_few_samples():
    train, y = draw(K + 2, 0)
    with pytest.raises(
        ValueError, match="expected the training samples of each class to be at least 2, got 1 of class 2"
    ):
        Gaussian().fit(train, y)
    with pytest.raises(
        ValueError, match="of class 0 to vary enough for a covariance, got 2 samples too much alike"
    ):
        Gaussian().fit(*draw(2 * K, 0))
