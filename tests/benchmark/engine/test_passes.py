"""A look at images is the classifier's own outputs, whatever the number of images in a pass."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from gmbench.benchmark.data.datasets import load_data
from gmbench.benchmark.engine.passes import outputs_of, outputs_of_all
from gmbench.models import HEADS, Classifier, load_checkpoint


@pytest.mark.parametrize("name", ["digits-lgm-s0", "digits-softmax-s0"])  # with a likelihood, and without
def test_a_split_in_batches_is_every_image_once_and_in_order(name: str) -> None:
    classifier, _ = load_checkpoint(name)
    images = load_data("digits", "test").head(25)
    told: list[int] = []
    found = outputs_of_all(classifier, images, 10, "cpu", told.append)
    assert told == [10, 10, 5]
    assert found.x.shape == (25, 0)
    expected = classifier.outputs(images.images())
    for part in ("features", "logits", "log_likelihood"):
        torch.testing.assert_close(getattr(found, part), getattr(expected, part), rtol=1e-5, atol=1e-5)


def test_each_batch_has_the_bits_of_its_own_pass() -> None:
    classifier, _ = load_checkpoint("digits-lgm-s0")
    images = load_data("digits", "test").head(25)
    found = outputs_of_all(classifier, images, 10, "cpu")
    for rows in (slice(0, 10), slice(10, 20), slice(20, 25)):
        alone = outputs_of(classifier, images.images(rows), "cpu")
        assert torch.equal(alone.x, images.images(rows))
        assert torch.equal(found.logits[rows], alone.logits)


class Stubborn(Classifier):
    """Switches gradients on, as a defense with gradients inside does."""

    def features(self, x: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            return super().features(x)


def test_no_graph_is_kept() -> None:
    x = torch.rand(3, 1, 2, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    outputs = outputs_of(Stubborn(nn.Flatten(), HEADS.build("lgm", features=4, classes=3)), x, "cpu")
    for part in (outputs.x, outputs.features, outputs.logits, outputs.log_likelihood):
        assert part is not None
        assert not part.requires_grad
    moved = replace(outputs, log_likelihood=None).cpu()
    assert moved.log_likelihood is None
    assert torch.equal(moved.logits, outputs.logits)
