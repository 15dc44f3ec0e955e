"""Likelihood and mixture against SciPy's Gaussians, through the heads that have a mixture."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from torch import nn

from gmbench.detectors.likelihood import Likelihood, Mixture
from gmbench.models import HEADS, Classifier

D, K = 6, 4


def classifier(loss, **options):
    torch.manual_seed(0)
    head = HEADS.build(loss, features=D, classes=K, **options).double()
    if loss == "center":
        head.centres = torch.randn(K, D, dtype=torch.float64)
    if options.get("covariance") == "diagonal":
        nn.init.normal_(head.log_variances)
    return Classifier(nn.Flatten(), head).eval()


def images(count=20):
    return torch.rand(count, 1, 2, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def log_densities(head, features):
    variances = np.exp(head.log_variances.detach().numpy())
    means = head.means.detach().numpy()
    return np.stack(
        [multivariate_normal(m, np.diag(v)).logpdf(features) for m, v in zip(means, variances, strict=True)],
        1,
    )


@pytest.mark.parametrize("options", [{}, {"covariance": "diagonal", "log_det": True}])
def test_scores_are_minus_log_densities_up_to_one_constant(options):
    model = classifier("lgm", **options)
    outputs = model.outputs(images()).detach()
    expected = log_densities(model.head, outputs.features.numpy())
    constant = D / 2 * np.log(2 * np.pi)
    predicted = expected[np.arange(len(expected)), expected.argmax(1)]
    np.testing.assert_allclose(Likelihood().score(outputs).numpy(), -predicted - constant, rtol=1e-10)
    np.testing.assert_allclose(
        Mixture().score(outputs).numpy(), -logsumexp(expected, 1) - constant, rtol=1e-10
    )


def test_center_loss_scores_by_the_predicted_class_not_the_closest():
    model = classifier("center")
    outputs = model.outputs(images()).detach()
    distances = (outputs.features - model.head.centres[outputs.predicted]).square().sum(1)
    torch.testing.assert_close(Likelihood().score(outputs), distances / 2)
    assert (outputs.log_likelihood.argmax(1) != outputs.predicted).any()


def test_softmax_has_none():
    outputs = classifier("softmax").outputs(images())
    assert not Likelihood().applies(outputs)
    assert not Mixture().applies(outputs)
    with pytest.raises(
        ValueError,
        match="expected a classifier with a mixture, got outputs without log_likelihood; 'gaussian' fits",
    ):
        Likelihood().score(outputs)
