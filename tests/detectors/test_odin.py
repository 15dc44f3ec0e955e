"""ODIN on a linear model, whose gradient is known."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch import nn

from gmbench.detectors.odin import ODIN
from gmbench.models import Classifier

T, STEP = 10.0, 0.01


@pytest.fixture
def classifier() -> Classifier:
    torch.manual_seed(0)
    return Classifier(nn.Flatten(), nn.Linear(16, 3).double()).eval()


def test_agrees_with_the_gradient_by_hand(classifier: Classifier) -> None:
    x = 0.1 + 0.8 * torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weight, bias = (tensor.detach().numpy() for tensor in (classifier.head.weight, classifier.head.bias))
    flat = x.flatten(1).numpy()

    def log_p(flat: np.ndarray) -> np.ndarray:
        result: np.ndarray = log_softmax((flat @ weight.T + bias) / T, axis=1)
        return result

    p = np.exp(log_p(flat))
    top = p.argmax(1)
    gradient = (p @ weight - weight[top]) / T  # of -log p_top
    surer = flat - STEP * np.sign(gradient)
    expected = -log_p(surer).max(1)
    scores = ODIN(temperature=T, step=STEP).bind(classifier).score(classifier.outputs(x))
    np.testing.assert_allclose(scores.detach().numpy(), expected, rtol=1e-9)
    assert (scores < torch.from_numpy(-log_p(flat).max(1))).all()  # the step makes the prediction surer


def test_the_step_stays_in_the_box(classifier: Classifier) -> None:
    seen: list[torch.Tensor] = []
    classifier.net.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    x = torch.zeros(2, 1, 4, 4, dtype=torch.float64)
    ODIN(step=0.5).bind(classifier).score(classifier.outputs(x))
    assert float(seen[-1].min()) >= 0
    assert float(seen[-1].max()) > 0


def test_leaves_no_gradients_on_the_model(classifier: Classifier) -> None:
    ODIN().bind(classifier).score(classifier.outputs(torch.rand(2, 1, 4, 4, dtype=torch.float64)))
    assert all(parameter.grad is None for parameter in classifier.parameters())


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"step": -0.1}])
def test_wrong_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected temperature > 0 and step >= 0"):
        ODIN(**options)
