"""The distance against scikit-learn's class means."""

import numpy as np
import torch
from sklearn.neighbors import NearestCentroid

from gmbench.detectors.distance import Distance
from gmbench.models.classifier import Outputs


def draw(count, seed):
    generator = torch.Generator().manual_seed(seed)
    features = 100 + 3 * torch.randn(count, 6, generator=generator)
    return Outputs(torch.zeros(count, 0), features, torch.randn(count, 4, generator=generator))


def test_agrees_with_scikit_learn():
    train, outputs, y = draw(40, 0), draw(25, 1), torch.arange(40) % 4
    centroids = NearestCentroid().fit(train.features.double().numpy(), y.numpy()).centroids_
    expected = np.linalg.norm(
        outputs.features.double().numpy() - centroids[outputs.predicted.numpy()], axis=1
    )
    np.testing.assert_allclose(Distance().fit(train, y).score(outputs).numpy(), expected, rtol=1e-6)


def test_true_classes_make_the_means_and_predicted_ones_choose_them():
    features = torch.tensor([[0.0], [2.0], [10.0], [14.0]])
    logits = torch.tensor([[0.0, 1.0]] * 4)  # class 1 is predicted for all
    outputs = Outputs(torch.zeros(4, 0), features, logits)
    detector = Distance().fit(outputs, torch.tensor([0, 0, 1, 1]))
    assert detector.score(outputs).tolist() == [12, 10, 2, 2]


def test_gradient_at_the_mean_is_zero():
    features = torch.tensor([[1.0, 2.0]], requires_grad=True)
    outputs = Outputs(torch.zeros(1, 0), features, torch.zeros(1, 1))
    Distance().fit(outputs, torch.tensor([0])).score(outputs).sum().backward()
    assert features.grad.tolist() == [[0, 0]]
