"""The energy against SciPy, and against the mixture where they are the same."""

import numpy as np
import torch
from scipy.special import logsumexp
from torch import nn

from gmbench.detectors.energy import Energy
from gmbench.detectors.likelihood import Mixture
from gmbench.models import HEADS, Classifier
from gmbench.models.classifier import Outputs


def test_agrees_with_scipy():
    logits = 5 * torch.randn(30, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 2e4
    outputs = Outputs(torch.zeros(30, 0), torch.zeros(30, 1), logits)
    np.testing.assert_allclose(
        Energy().score(outputs).numpy(), -logsumexp(logits.numpy(), axis=1), rtol=1e-14
    )


def test_is_the_mixture_of_lgm():
    torch.manual_seed(0)
    model = Classifier(nn.Flatten(), HEADS.build("lgm", features=6, classes=3))
    outputs = model.outputs(torch.rand(10, 1, 2, 3))
    assert torch.equal(Energy().score(outputs), Mixture().score(outputs))
