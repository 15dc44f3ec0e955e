"""An ensemble against the mean of its members, worked out apart."""

import pytest
import torch
from torch import nn

from gmbench.models import Classifier
from gmbench.models.ensemble import Ensemble


def member(classes: int = 3, scale: float = 1.0) -> Classifier:
    layer = nn.Linear(4, classes, dtype=torch.float64)
    nn.init.zeros_(layer.bias)
    nn.init.normal_(layer.weight, std=scale, generator=torch.Generator().manual_seed(classes))
    return Classifier(nn.Flatten(), layer).eval()


X = torch.rand(5, 1, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_probabilities_are_the_geometric_mean_of_the_members() -> None:
    members = member(), member(scale=30.0)
    product = torch.stack([one(X).softmax(1) for one in members]).prod(0).sqrt()
    found = Ensemble(members).outputs(X)
    torch.testing.assert_close(found.logits.exp(), product)
    assert found.features.shape == (5, 8)
    assert found.log_likelihood is None
    torch.testing.assert_close(Ensemble(members)(X), found.logits)


def test_a_shift_of_a_members_logits_changes_nothing() -> None:
    shifted = member()
    shifted.head.get_parameter("bias").data.add_(1000.0)
    other = member(scale=2.0)
    torch.testing.assert_close(Ensemble([shifted, other])(X), Ensemble([member(), other])(X))


def test_gradients_reach_every_member() -> None:
    members = member(), member(scale=2.0)
    x = X.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(Ensemble(members).outputs(x).logits[:, 0].sum(), x)
    parts = [torch.autograd.grad(one(x).log_softmax(1)[:, 0].sum(), x)[0] for one in members]
    torch.testing.assert_close(gradient, (parts[0] + parts[1]) / 2)


def test_what_is_no_ensemble_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two members, got 1"):
        Ensemble([member()])
    with pytest.raises(ValueError, match=r"same classes, got \[3, 4\]"):
        Ensemble([member(), member(4)])(X)
    with pytest.raises(ValueError, match="expected no layers of an ensemble, got conv"):
        Ensemble([member(), member()]).outputs(X, ["conv"])
