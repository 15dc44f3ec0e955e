"""The maximum softmax probability against SciPy's softmax, and where that saturates."""

import numpy as np
import pytest
import torch
from scipy.special import logit, softmax

from gmbench.detectors.msp import MSP
from gmbench.models.classifier import Outputs


def outputs(logits):
    return Outputs(torch.zeros(len(logits), 0), torch.zeros(len(logits), 1), logits)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_is_minus_the_logit_of_the_largest_probability(classes):
    logits = 3 * torch.randn(50, classes, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    largest = softmax(logits.numpy(), axis=1).max(1)
    np.testing.assert_allclose(MSP().score(outputs(logits)).numpy(), -logit(largest), rtol=1e-8)


def test_does_not_saturate_on_the_margins_of_a_mixture():
    margins = torch.tensor([1.0, 20.0, 120.0, 400.0, 800.0])
    logits = torch.stack([torch.zeros(5), -margins, -margins - 50], 1) - 2e4
    logits.requires_grad_()
    scores = MSP().score(outputs(logits))
    assert (scores.diff() < 0).all()
    torch.testing.assert_close(scores, -margins)
    scores.sum().backward()
    torch.testing.assert_close(logits.grad[:, :2], torch.tensor([[-1.0, 1.0]] * 5))
    # 1 - p would tie four of the five
    assert softmax(logits.detach().numpy(), axis=1).max(1).tolist().count(1) == 4


def test_tie_is_even_odds():
    assert MSP().score(outputs(torch.tensor([[7.0, 7.0]]))).tolist() == [0]
