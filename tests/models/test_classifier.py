"""Features, logits and likelihood out of one pass."""

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor, nn

from gmbench.models import Classifier, Outputs
from gmbench.models.classifier import normalisation


class Mixture(nn.Module):
    """Logits and likelihood that cannot be taken for each other."""

    def forward(self, features: Tensor) -> Tensor:
        return 2 * features[:, :3]

    def log_likelihood(self, features: Tensor) -> Tensor:
        return -features[:, :3].square()


def images(count: int = 5, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(count, 1, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_outputs_come_out_of_one_pass() -> None:
    passes: list[Tensor] = []
    net = nn.Flatten()
    net.register_forward_hook(lambda _net, _inputs, result: passes.append(result))
    x = images()
    outputs = Classifier(net, Mixture(), mean=0.5, std=0.25).outputs(x)
    [features] = passes
    assert outputs.x is x
    torch.testing.assert_close(features, (x.flatten(1) - 0.5) / 0.25)
    assert outputs.features.equal(features)
    assert outputs.logits.equal(2 * features[:, :3])
    assert outputs.log_likelihood is not None
    assert outputs.log_likelihood.equal(-features[:, :3].square())
    assert outputs.predicted.equal(features[:, :3].argmax(1))


def test_forward_and_features_agree_with_outputs() -> None:
    classifier, x = Classifier(nn.Flatten(), Mixture(), mean=0.1), images()
    outputs = classifier.outputs(x)
    assert classifier(x).equal(outputs.logits)
    assert classifier.features(x).equal(outputs.features)


def test_head_without_likelihood_gives_none() -> None:
    outputs = Classifier(nn.Flatten(), nn.Linear(4, 3)).outputs(images())
    assert outputs.log_likelihood is None
    assert outputs.detach().log_likelihood is None
    assert outputs[:2].log_likelihood is None
    assert Outputs.cat([outputs, outputs]).log_likelihood is None


def test_a_subclass_may_override_features_and_head() -> None:
    class Own(Classifier):
        def __init__(self) -> None:
            nn.Module.__init__(self)

        def features(self, x: Tensor) -> Tensor:
            return x.flatten(1)

        def head(self, features: Tensor) -> Tensor:  # type: ignore[override]
            return -features

    x = images()
    outputs = Own().outputs(x)
    assert Own()(x).equal(-x.flatten(1))
    assert outputs.logits.equal(-x.flatten(1))
    assert outputs.log_likelihood is None


@pytest.fixture
def outputs() -> Outputs:
    outputs = Classifier(nn.Flatten(), Mixture()).outputs(images().requires_grad_())
    return replace(
        outputs,
        layers={"first": 3 * outputs.x, "second": outputs.features.sum(1)},
        score=outputs.features.amax(1),
    )


def tensors(outputs: Outputs) -> list[Tensor]:
    values = [getattr(outputs, field.name) for field in fields(outputs) if field.name != "layers"]
    return [*values, outputs.layers["first"], outputs.layers["second"]]


def test_detach_cuts_the_graph_and_keeps_the_values(outputs: Outputs) -> None:
    assert all(value.requires_grad for value in tensors(outputs))
    for value, cut in zip(tensors(outputs), tensors(outputs.detach()), strict=True):
        assert not cut.requires_grad
        assert cut.equal(value)


@pytest.mark.parametrize(
    "rows",
    [slice(1, 4), torch.tensor([3, 0, 0]), torch.tensor([True, False, False, True, True])],
    ids=["slice", "index", "mask"],
)
def test_rows_are_selected_everywhere(outputs: Outputs, rows: Tensor | slice) -> None:
    for value, part in zip(tensors(outputs), tensors(outputs[rows]), strict=True):
        assert part.equal(value[rows])


def test_cat_joins_what_was_cut(outputs: Outputs) -> None:
    joined = Outputs.cat([outputs[:2], outputs[2:3], outputs[3:]])
    for value, again in zip(tensors(outputs), tensors(joined), strict=True):
        assert again.equal(value)


def test_normalisation_is_per_channel() -> None:
    x = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    mean, std = [0.1, 0.2, 0.3], [0.5, 0.25, 2.0]
    found = normalisation(mean, std)(x)
    for channel in range(3):
        torch.testing.assert_close(found[:, channel], (x[:, channel] - mean[channel]) / std[channel])


def test_normalisation_by_numbers_is_the_same_for_all_channels() -> None:
    x = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(normalisation(0.3, 2)(x), (x - 0.3) / 2)
    assert normalisation(0, 1)(x).equal(x)


def test_normalisation_of_vectors_is_per_feature() -> None:
    x = torch.rand(5, 2, generator=torch.Generator().manual_seed(0))
    expected = (x - torch.tensor([0.1, 0.2])) / torch.tensor([0.5, 2.0])
    torch.testing.assert_close(normalisation((0.1, 0.2), (0.5, 2.0))(x), expected)
    assert normalisation(0, 1)(x).equal(x)


def test_normalisation_is_no_part_of_the_weights() -> None:
    assert list(Classifier(nn.Flatten(), nn.Linear(4, 3), mean=0.5).state_dict()) == [
        "head.weight",
        "head.bias",
    ]


def test_float64_flows_through() -> None:
    classifier = Classifier(
        nn.Linear(2, 4), nn.Sequential(nn.Flatten(), nn.Linear(8, 3)), mean=0.5, std=0.25
    ).double()
    outputs = classifier.outputs(images(dtype=torch.float64))
    assert outputs.features.dtype == outputs.logits.dtype == torch.float64


def test_features_of_less_precision_become_float32() -> None:
    class Half(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1).bfloat16()

    assert Classifier(Half(), Mixture()).outputs(images()).logits.dtype == torch.float32
