"""What a notebook loads and wraps, and what it says of it."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import gmbench as gm
from gmbench.benchmark.api.model import as_images, as_model
from gmbench.benchmark.api.shown import frame_of, table_of


def mine() -> nn.Module:
    """A linear classifier of the digits, by least squares; whole numbers in, no randomness."""
    x, y = gm.load_data("digits", "train")
    inputs = torch.cat([x.flatten(1), torch.ones(len(x), 1)], 1)
    weights = torch.linalg.lstsq(inputs, nn.functional.one_hot(y).float()).solution
    layer = nn.Linear(64, 10)
    with torch.no_grad():
        layer.weight.copy_(10 * weights[:64].T)
        layer.bias.copy_(10 * weights[64])
    return nn.Sequential(nn.Flatten(), layer)


def test_a_checkpoint_is_loaded_with_what_its_card_says() -> None:
    model = gm.load("digits-lgm-s0")
    assert (model.name, model.data) == ("digits-lgm-s0", "digits")
    assert not model.classifier.training
    assert "digits-lgm-s0" in model._repr_html_()


def test_a_wrapped_module_says_what_it_found() -> None:
    module = mine()
    model = gm.wrap(module, name="mine", data="digits")
    x, y = gm.load_data("digits", "test", samples=200)
    right = sum(int(module(image[None]).argmax()) == int(label) for image, label in zip(x, y, strict=True))
    assert (model.clean_accuracy, model.tried) == (pytest.approx(right / 200), 200)
    assert model.found["features"] == "64"
    assert model.found["classes"] == "10"
    assert "Linear(in_features=64, out_features=10" in model._repr_html_()
    assert f"{right / 200:.1%} of 200 images" in repr(model)


def test_names_are_escaped_where_they_are_shown() -> None:
    html = table_of({"<b>": "<script>"}) + frame_of(pd.DataFrame({"a": ["<script>"]}))
    assert "<script>" not in html
    assert html.count("&lt;script&gt;") == 2
    assert "&lt;b&gt;" in html
    with pytest.raises(ValueError, match="expected the model's name to be a name of letters"):
        gm.wrap(mine(), name="<script>")


def test_wrong_images_for_a_wrapped_module_are_refused() -> None:
    x, y = gm.load_data("digits", "test", samples=8)
    with pytest.raises(ValueError, match="expected x and y together"):
        gm.wrap(mine(), x=x)
    with pytest.raises(ValueError, match="expected y to be below the 10 classes of 'mine', got 12"):
        gm.wrap(mine(), x=x, y=y * 0 + 12)


def test_whatever_can_be_attacked_becomes_a_model() -> None:
    classifier, _ = gm.load_checkpoint("digits-lgm-s0")
    defense = gm.Defense("ring", classifier)
    names = [as_model(one).name for one in ("digits-lgm-s0", classifier, defense, mine(), as_model(defense))]
    assert names == ["digits-lgm-s0", "mine", "ring", "mine", "ring"]
    with pytest.raises(TypeError, match=r"expected a model, a name, .* got int"):
        as_model(3)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_arrays_are_as_good_as_tensors(kind: type) -> None:
    x, y = gm.load_data("digits", "test", samples=5)
    images, labels = as_images(x.numpy().astype(kind), y.numpy().astype(np.int32))
    assert torch.equal(images, x)
    assert torch.equal(labels, y)


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        (
            torch.zeros(2, 1, 8, 8, dtype=torch.uint8),
            torch.zeros(2, dtype=torch.long),
            TypeError,
            "floats in",
        ),
        (
            torch.full((2, 1, 8, 8), 1.5),
            torch.zeros(2, dtype=torch.long),
            ValueError,
            r"got \[1.5, 1.5\]; norm",
        ),
        (
            torch.full((2, 1, 8, 8), torch.nan),
            torch.zeros(2, dtype=torch.long),
            ValueError,
            r"lie in \[0, 1\]",
        ),
        (torch.zeros(2, 1, 8, 8), torch.zeros(3, dtype=torch.long), ValueError, "one class each"),
        (torch.zeros(0, 1, 8, 8), torch.zeros(0, dtype=torch.long), ValueError, r"got \(0, 1, 8, 8\)"),
        (torch.zeros(2, 1, 8, 8), torch.zeros(2), TypeError, "expected y to be integers, got torch.float32"),
    ],
)
def test_what_are_no_images_with_classes_is_refused(x, y, error, message) -> None:
    with pytest.raises(error, match=message):
        as_images(x, y)
