"""The kernel densities against scikit-learn's and SciPy's."""

import numpy as np
import pytest
import torch
from scipy.stats import gaussian_kde
from sklearn.neighbors import KernelDensity

from gmbench.detectors import kernels
from gmbench.detectors.kde import KDE
from gmbench.models.classifier import Outputs

D, K = 6, 3


def draw(count, seed, offset=0.0, scale=1.0):
    """Classes of different spread; the logits say any class."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % K
    noise = torch.randn(count, D, generator=generator, dtype=torch.float64)
    features = offset + scale * (3.0 * y.unsqueeze(1) + (1.0 + y.unsqueeze(1)) * noise)
    return Outputs(torch.zeros(count, 0), features, torch.randn(count, K, generator=generator)), y


def reference(train, y, outputs, bandwidth):
    """-log density under the predicted class; ``bandwidth`` maps a class's features to a number."""
    groups = [train.features[y == k].numpy() for k in range(K)]
    densities = [KernelDensity(bandwidth=bandwidth(group)).fit(group) for group in groups]
    rows = zip(outputs.features.numpy(), outputs.predicted.tolist(), strict=True)
    return np.array([-densities[k].score_samples(row[None])[0] for row, k in rows])


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("bandwidth", [0.3, 1.5, 20.0])
def test_agrees_with_scikit_learn(bandwidth, offset):
    (train, y), (outputs, _) = draw(150, 0, offset), draw(40, 1, offset)
    scores = KDE(bandwidth=bandwidth).fit(train, y).score(outputs).numpy()
    np.testing.assert_allclose(scores, reference(train, y, outputs, lambda _: bandwidth), rtol=1e-7)


def test_default_bandwidth_is_scotts_rule():
    (train, y), (outputs, _) = draw(150, 0), draw(40, 1)
    expected = reference(train, y, outputs, lambda group: group.std() * len(group) ** (-1 / (D + 4)))
    scores = KDE().fit(train, y).score(outputs).numpy()
    assert np.abs(scores - expected).max() > 1e-3  # the spread is about the mean of each feature, not of all
    expected = reference(
        train, y, outputs, lambda group: np.sqrt(group.var(0).mean()) * len(group) ** (-1 / (D + 4))
    )
    np.testing.assert_allclose(scores, expected, rtol=1e-7)


def test_default_bandwidth_in_one_dimension_is_scipys():
    points = torch.randn(50, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    points = points * np.sqrt(49 / 50)  # SciPy divides by n - 1
    outputs = Outputs(torch.zeros(50, 0), points, torch.zeros(50, 1))
    detector = KDE().fit(outputs, torch.zeros(50, dtype=torch.long))
    scipys = gaussian_kde(points.squeeze(1).numpy(), bw_method="scott")
    assert detector.bandwidths_[0] == pytest.approx(np.sqrt(scipys.covariance[0, 0] * 49 / 50), rel=1e-9)


def test_default_bandwidth_follows_the_scale_of_the_features():
    (train, y), (outputs, _) = draw(150, 0), draw(40, 1)
    scores = KDE().fit(train, y).score(outputs)
    wide = KDE().fit(draw(150, 0, scale=50)[0], y).score(draw(40, 1, scale=50)[0])
    torch.testing.assert_close(wide, scores + D * np.log(50))


def test_samples_keeps_an_even_spread_of_each_class():
    train, y = draw(30, 0)
    few = KDE(bandwidth=1.0, samples=5).fit(train, y)
    rows = torch.cat([(y == k).nonzero().squeeze(1)[::2] for k in range(K)])
    chosen = KDE(bandwidth=1.0, samples=None).fit(train[rows], y[rows])
    assert torch.equal(few.score(train), chosen.score(train))
    assert [len(points) for points in KDE(samples=4).fit(train, y).points_] == [4] * K
    assert [len(points) for points in KDE(samples=99).fit(train, y).points_] == [10] * K


def test_chunks_change_nothing(monkeypatch):
    (train, y), (outputs, _) = draw(150, 0), draw(200, 1)
    detector = KDE().fit(train, y)
    whole = detector.score(outputs)
    sizes, sums = [], kernels._log_sums
    monkeypatch.setattr(kernels, "CHUNK", 151)
    monkeypatch.setattr(
        kernels, "_log_sums", lambda chunk, points, h: sizes.append(len(chunk)) or sums(chunk, points, h)
    )
    torch.testing.assert_close(detector.score(outputs), whole, rtol=1e-12, atol=1e-12)
    assert sum(sizes) == 200
    assert max(sizes) == 3  # 3 x 50 points are below 151 kernel values


def test_far_away_is_finite_and_still_has_a_gradient():
    train, y = draw(150, 0)
    features = torch.full((1, D), 1e4, requires_grad=True)
    score = KDE(bandwidth=0.26).fit(train, y).score(Outputs(torch.zeros(1, 0), features, torch.zeros(1, K)))
    score.sum().backward()
    assert score.isfinite().all()
    assert (features.grad > 0).all()


def test_one_sample_needs_a_bandwidth():
    train, y = draw(K, 0)
    assert KDE(bandwidth=1.0).fit(train, y).score(train).isfinite().all()
    with pytest.raises(
        ValueError,
        match="expected the training features of class 0 to differ, got 1 copies of one; give a bandwidth",
    ):
        KDE().fit(train, y)


@pytest.mark.parametrize("bandwidth", [0.0, -1.0, float("inf"), float("nan")])
def test_bandwidth_is_positive(bandwidth):
    with pytest.raises(ValueError, match=f"expected bandwidth to be > 0 and finite, got {bandwidth}"):
        KDE(bandwidth=bandwidth)


def test_samples_is_positive():
    with pytest.raises(ValueError, match="expected samples to be at least 1, got 0"):
        KDE(samples=0)
