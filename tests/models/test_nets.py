"""What the networks' sources say of them and the contract of all networks does not."""

import pytest
import torch
from torch import nn

from gmbench.models import NETS, Classifier
from gmbench.models.nets import Block, PReLU


def test_mnist_conv6_is_the_net_of_the_gm_loss_code() -> None:
    net = NETS.build("mnist-conv6", features=100)
    layers = list(net.children())
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [32, 32, 64, 64, 128, 128]
    assert {layer.kernel_size for layer in convolutions} == {(5, 5)}
    assert {layer.padding for layer in convolutions} == {(2, 2)}
    stage = ["Conv2d", "PReLU", "Conv2d", "PReLU", "MaxPool2d"]
    assert [type(layer).__name__ for layer in layers] == [*stage * 3, "Flatten", "Linear"]
    weights = 25 * (1 * 32 + 32 * 32 + 32 * 64 + 64 * 64 + 64 * 128 + 128 * 128) + 1152 * 100
    biases = 32 + 32 + 64 + 64 + 128 + 128 + 100
    slopes = 6
    assert sum(parameter.numel() for parameter in net.parameters()) == weights + biases + slopes


def test_the_surrogates_are_built_differently() -> None:
    victim, surrogate = (list(NETS.build(name).modules()) for name in ("mnist-conv6", "mnist-conv3"))
    for kind, net, other in ((nn.BatchNorm2d, surrogate, victim), (nn.PReLU, victim, surrogate)):
        assert any(isinstance(layer, kind) for layer in net)
        assert not any(isinstance(layer, kind) for layer in other)
    assert not any(isinstance(layer, nn.Conv2d) for layer in NETS.build("digits-mlp").modules())
    assert not any(isinstance(layer, Block) for layer in NETS.build("cifar-conv6").modules())


def test_cifar_resnet20_is_the_net_of_its_paper() -> None:
    # He et al., table 6: 0.27 million parameters; 19 convolutions, the last linear layer is the head's.
    net = NETS.build("cifar-resnet20", features=64)
    convolutions = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [16] * 7 + [32] * 6 + [64] * 6
    assert {layer.kernel_size for layer in convolutions} == {(3, 3)}
    weights = 9 * (3 * 16 + 6 * 16 * 16 + 16 * 32 + 5 * 32 * 32 + 32 * 64 + 5 * 64 * 64)
    norms = 2 * (7 * 16 + 6 * 32 + 6 * 64)
    assert sum(parameter.numel() for parameter in net.parameters()) == weights + norms == 269_072
    with pytest.raises(
        ValueError,
        match="expected features of cifar-resnet20 to be 64, got 10; cifar-resnet20-fc has any number",
    ):
        NETS.build("cifar-resnet20", features=10)


def test_shortcut_drops_pixels_and_adds_zero_channels() -> None:
    block = Block(2, 4, stride=2).eval()
    nn.init.zeros_(block.norm2.weight)  # what is left is the shortcut
    x = torch.rand(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    out = block(x)
    assert out[:, :2].equal(x[:, :, ::2, ::2])
    assert out[:, 2:].count_nonzero() == 0
    assert out.shape == (1, 4, 2, 2)


def test_features_of_the_victims_have_no_activation() -> None:
    generator = torch.Generator().manual_seed(0)
    for name, side in (("mnist-conv6", 28), ("digits-conv4", 8)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = NETS.build(name, features=50).eval()
        with torch.no_grad():
            features = net(torch.randn(2, 1, side, side, generator=generator))
        assert features.min() < 0 < features.max()


@pytest.mark.parametrize("slope", [0.25, -0.3, 0.0])
def test_prelu_gives_the_bits_of_torch(slope: float) -> None:
    values = torch.randn(4, 3, 9, generator=torch.Generator().manual_seed(0))
    x = torch.cat([values, torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan]).expand(4, 3, 5)], 2)
    for frozen in (True, False):
        results = []
        for layer in (PReLU(init=slope), nn.PReLU(init=slope)):
            layer.requires_grad_(not frozen)
            image = x.clone().requires_grad_()
            value = layer(image)
            results.append((value, *torch.autograd.grad((value * torch.arange(14)).sum(), image)))
        for ours, torchs in zip(*results, strict=True):
            torch.testing.assert_close(ours, torchs, rtol=0, atol=0, equal_nan=True)


def test_gradients_of_prelu_are_those_of_its_values() -> None:
    layer = PReLU().double()
    x = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    weight = torch.tensor([0.25], dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(
        lambda x, weight: torch.func.functional_call(layer, {"weight": weight}, (x,)), [x, weight]
    )


def test_prelu_takes_half_precision() -> None:
    layer, reference = PReLU(), nn.PReLU()
    x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    slopes = []
    for each in (layer, reference):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = each(x)
        assert value.dtype == torch.bfloat16
        value.float().sum().backward()
        slopes.append(each.weight.grad)
    torch.testing.assert_close(slopes[0], slopes[1], rtol=0.01, atol=0)
    assert slopes[0].dtype == torch.float32


SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "cifar": (3, 32, 32)}


@pytest.mark.parametrize("name", list(NETS))
@torch.no_grad()
def test_a_net_offers_layers_that_narrow_towards_the_features(name: str) -> None:
    net = NETS.build(name, **({"features": 64} if name == "cifar-resnet20" else {"features": 5})).eval()
    x = torch.rand(2, *SHAPES[name.partition("-")[0]], generator=torch.Generator().manual_seed(0))
    classifier = Classifier(net, nn.Identity())
    layers = list(classifier.outputs(x, classifier.layer_names).layers.values())
    assert layers
    assert all(len(layer) == 2 for layer in layers)
    sizes = [layer[0].numel() for layer in layers]
    assert sizes == sorted(sizes, reverse=True)
    # the rest of the net begins where the last stage ends, activation included
    assert name == "digits-mlp" or layers[-1].ndim == 4
