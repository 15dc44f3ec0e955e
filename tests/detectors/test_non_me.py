"""Non-ME against SciPy's entropy, and where that is 0 in floats."""

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from gmbench.detectors.non_me import NonME
from gmbench.models.classifier import Outputs


def outputs_of(logits: torch.Tensor) -> Outputs:
    return Outputs(torch.zeros(len(logits), 0), torch.zeros(len(logits), 1, dtype=torch.float64), logits)


def test_agrees_with_scipy() -> None:
    logits = 3 * torch.randn(30, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p = logits.softmax(1).numpy()
    others = [np.delete(row, row.argmax()) for row in p]  # entropy makes them sum to 1
    expected = [-np.log(entropy(row)) for row in others]
    np.testing.assert_allclose(NonME().score(outputs_of(logits)).numpy(), expected, rtol=1e-10)


def test_equally_likely_others_are_least_suspicious() -> None:
    logits = torch.tensor([[9.0, 1, 1, 1], [9, 2, 1, 1], [9, 5, 1, 1], [9, 8, -400, -400]])
    scores = NonME().score(outputs_of(logits.double()))
    assert (scores.diff() > 0).all()
    assert float(scores[0]) == pytest.approx(-np.log(np.log(3)))


def test_beyond_floats_it_stays_finite() -> None:
    scores = NonME().score(outputs_of(torch.tensor([[1e4, 0.0, -1e4], [0.0, 0, 0]]).double()))
    assert scores.isfinite().all()
    assert scores[0] > scores[1]


def test_two_classes_leave_one_other_whose_entropy_says_nothing() -> None:
    outputs = outputs_of(torch.zeros(3, 2))
    assert not NonME().applies(outputs)
    with pytest.raises(ValueError, match="expected at least 3 classes for non-me, got 2"):
        NonME().score(outputs)
