"""Feature squeezing: its median against SciPy's, its bits by hand, its score on a model that is known."""

import numpy as np
import pytest
import torch
from scipy.ndimage import median_filter
from torch import nn

from gmbench.detectors.squeezing import Squeezing, _fewer_bits, _median
from gmbench.models import Classifier


def images(channels: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.rand(5, channels, 6, 7, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("window", [1, 2, 3])
def test_the_median_is_scipys(window: int) -> None:
    x = images(2)
    expected = median_filter(x.numpy(), size=(1, 1, window, window), mode="reflect")
    np.testing.assert_array_equal(_median(x, window).numpy(), expected)


def test_bits_are_levels() -> None:
    x = torch.tensor([0.0, 0.2, 0.49, 0.51, 0.9, 1.0])
    assert _fewer_bits(x, 1).tolist() == [0, 0, 0, 1, 1, 1]
    assert len(_fewer_bits(torch.linspace(0, 1, 1000), 5).unique()) == 32
    grey = torch.arange(256) / 255
    assert torch.equal(_fewer_bits(grey, 8), grey)


@torch.no_grad()
def test_the_larger_l1_distance_of_the_softmax_counts() -> None:
    torch.manual_seed(0)
    classifier = Classifier(nn.Flatten(), nn.Linear(42, 4)).eval()
    x = images()
    p, rounded, smooth = (classifier(one).softmax(1).numpy() for one in (x, x.round(), _median(x, 2)))
    expected = np.maximum(np.abs(rounded - p).sum(1), np.abs(smooth - p).sum(1))
    scores = Squeezing().bind(classifier).score(classifier.outputs(x))
    np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-5)


@torch.no_grad()
def test_colour_keeps_five_bits() -> None:
    torch.manual_seed(0)
    classifier = Classifier(nn.Flatten(), nn.Linear(126, 4)).eval()
    outputs = classifier.outputs(images(3))
    chosen, five, one = (
        Squeezing(bits=bits, window=1).bind(classifier).score(outputs) for bits in (None, 5, 1)
    )
    assert torch.equal(chosen, five)
    assert not torch.equal(chosen, one)


@pytest.mark.parametrize("options", [{"bits": 0}, {"bits": 9}, {"window": 0}])
def test_wrong_options_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"expected {next(iter(options))} to be"):
        Squeezing(**options)
