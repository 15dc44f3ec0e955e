"""Deep nearest neighbours against scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize

from gmbench.detectors import neighbours
from gmbench.detectors.knn import KNN
from gmbench.models.classifier import Outputs


def draw(count: int, seed: int) -> tuple[Outputs, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = 1 + torch.randn(count, 6, generator=generator, dtype=torch.float64)
    return Outputs(torch.zeros(count, 0), features, torch.zeros(count, 3)), torch.arange(count) % 3


@pytest.mark.parametrize("k", [1, 7, 50])
def test_agrees_with_scikit_learn(k: int) -> None:
    (train, y), (outputs, _) = draw(200, 0), draw(40, 1)
    found = NearestNeighbors(n_neighbors=k).fit(normalize(train.features.numpy()))
    distances, _ = found.kneighbors(normalize(outputs.features.numpy()))
    np.testing.assert_allclose(KNN(k=k).fit(train, y).score(outputs).numpy(), distances[:, -1], rtol=1e-9)


def test_the_length_of_features_does_not_count() -> None:
    (train, y), (outputs, _) = draw(200, 0), draw(40, 1)
    longer = Outputs(outputs.x, 7 * outputs.features, outputs.logits)
    detector = KNN().fit(train, y)
    torch.testing.assert_close(detector.score(longer), detector.score(outputs))


def test_of_fewer_points_the_last_one_counts() -> None:
    (train, y), (outputs, _) = draw(9, 0), draw(5, 1)
    assert KNN(k=50).fit(train, y).score(outputs).equal(KNN(k=9).fit(train, y).score(outputs))


def test_samples_bound_the_points_of_each_class() -> None:
    train, y = draw(90, 0)
    assert len(KNN(samples=10).fit(train, y).points_) == 30
    assert len(KNN(samples=None).fit(train, y).points_) == 90


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    (train, y), (outputs, _) = draw(200, 0), draw(40, 1)
    detector = KNN(k=3).fit(train, y)
    whole = detector.score(outputs)
    monkeypatch.setattr(neighbours, "CHUNK", 500)
    torch.testing.assert_close(detector.score(outputs), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("option", ["k", "samples"])
def test_wrong_options_are_refused(option: str) -> None:
    with pytest.raises(ValueError, match=f"expected {option} to be at least 1, got 0"):
        KNN(**{option: 0})
