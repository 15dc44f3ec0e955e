"""Somebody else's net offers the features of its layers, by tracing it or by hooks."""

from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

from gmbench.models.foreign.layers import find_layers
from gmbench.models.foreign.load import load_foreign

from .foreign_nets import NET, Net, images, made
from .test_file import write_python


class Branching(nn.Module):
    """Decides by a value, which no tracing can follow; its ReLU writes over what it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 3)
        self.relu = nn.ReLU(inplace=True)
        self.last = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.relu(self.first(x))
        return self.last(-hidden if hidden.sum() > 1e9 else hidden)  # type: ignore[no-any-return]


@torch.no_grad()
def test_traced_values_are_those_of_the_net() -> None:
    net = made(torchvision.models.resnet18)
    x = images(32)
    layers = find_layers(net, x)
    features, values = layers.extract(net, ["layer1.1.relu_1", "avgpool"], x)
    pooled = net.avgpool(
        net.layer4(net.layer3(net.layer2(net.layer1(net.maxpool(net.relu(net.bn1(net.conv1(x))))))))
    )
    assert features.equal(net(x))
    assert values["avgpool"].equal(pooled)
    assert values["layer1.1.relu_1"].equal(net.layer1(net.maxpool(net.relu(net.bn1(net.conv1(x))))))
    assert "layer1.1.bn1" not in layers.names  # its ReLU writes over it
    assert not {"x", "fc"} & set(layers.names)


@torch.no_grad()
def test_what_cannot_be_traced_is_hooked() -> None:
    net = made(Branching)
    x = torch.rand(3, 4, generator=torch.Generator().manual_seed(0))
    layers = find_layers(net, x)
    assert layers.names == ("relu",)
    features, values = layers.extract(net, ["relu"], x)
    assert features.equal(net(x))
    assert values["relu"].equal(net.first(x).relu())


def test_a_loaded_net_carries_its_layers(tmp_path: Path) -> None:
    model = made()
    classifier = load_foreign(write_python(tmp_path, model, NET))
    before = list(classifier.state_dict())
    assert classifier.layer_names == ("body.0", "body.1", "body.2", "body.3")  # then come the features
    x = images(8).requires_grad_()
    outputs = classifier.outputs(x, ["body.2"])
    assert outputs.layers["body.2"].equal(model.body[:3](x))
    assert outputs.features.equal(classifier.outputs(x).features)
    assert outputs.logits.equal(classifier.outputs(x).logits)
    assert outputs.layers["body.2"].requires_grad
    assert list(classifier.state_dict()) == before


def test_a_closed_program_offers_none(tmp_path: Path) -> None:
    with pytest.warns(FutureWarning, match="deprecated"):
        torch.jit.trace(made(Net), images(8)).save(tmp_path / "net.ts")
    classifier = load_foreign(str(tmp_path / "net.ts"))
    assert classifier.layer_names == ()
