"""Feature networks: images in, features out. The normalisation and the head are not theirs.

Each names the layers whose features it offers, see `Classifier`.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .registry import Registry

__all__ = ["NETS"]

NETS: Registry[nn.Module] = Registry("net", group="gmbench.nets")
"""Every network by name; a factory takes ``features`` (D)."""


@NETS.register("mnist-conv6")
def mnist_conv6(features: int = 100) -> nn.Module:
    """Build the MNIST net of the GM-loss code.

    Six 5x5 convolutions (32, 32, 64, 64, 128, 128), PReLU, one linear layer.

    Wan et al., TPAMI 2023, arXiv 2011.09066. No activation on the features. (B, 1, 28, 28) -> (B, D)
    """
    net = nn.Sequential(
        *_stage(1, 32, kernel=5),
        *_stage(32, 64, kernel=5),
        *_stage(64, 128, kernel=5),
        nn.Flatten(),
        nn.Linear(128 * 3 * 3, features),
    )
    return _offering(net, stage1="4", stage2="9", stage3="14")


@NETS.register("mnist-conv3")
def mnist_conv3(features: int = 64) -> nn.Module:
    """Build a smaller, differently shaped net for MNIST.

    Three strided 3x3 convolutions with batch norm and ReLU.

    The surrogate of the transfer attacks: nothing of the victims' architecture. (B, 1, 28, 28) -> (B, D)
    """
    layers: list[nn.Module] = []
    for inputs, width in ((1, 32), (32, 64), (64, 128)):
        layers += [
            nn.Conv2d(inputs, width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 4 * 4, features))
    return _offering(net, stage1="2", stage2="5", stage3="8")


@NETS.register("digits-conv4")
def digits_conv4(features: int = 32) -> nn.Module:
    """Build a small net for scikit-learn's digits, the MNIST net's plan in small. (B, 1, 8, 8) -> (B, D)."""
    net = nn.Sequential(
        *_stage(1, 16, kernel=3), *_stage(16, 32, kernel=3), nn.Flatten(), nn.Linear(32 * 2 * 2, features)
    )
    return _offering(net, stage1="4", stage2="9")


@NETS.register("digits-mlp")
def digits_mlp(features: int = 64) -> nn.Module:
    """Build a perceptron for scikit-learn's digits: the surrogate of the transfer attacks.

    (B, 1, 8, 8) -> (B, D).
    """
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, features), nn.ReLU())
    return _offering(net, hidden="2")


@NETS.register("cifar-resnet20")
def cifar_resnet20(features: int = 64) -> nn.Module:
    """Build ResNet-20 for CIFAR-10 with shortcuts that need no weights (option A), up to its average pooling.

    He, Zhang, Ren, Sun, CVPR 2016, arXiv 1512.03385, section 4.2; the GM-loss code takes its 64 pooled values
    as features. Initialised as there (Kaiming, fan in). (B, 3, 32, 32) -> (B, 64)

    Raises:
        ValueError: Other than 64 features; "cifar-resnet20-fc" has any number.
    """
    if features != 64:
        raise ValueError(
            f"expected features of cifar-resnet20 to be 64, got {features}; cifar-resnet20-fc has any number"
        )
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    for inputs, width, stride in ((16, 16, 1), (16, 32, 2), (32, 64, 2)):
        layers += [Block(inputs, width, stride), Block(width, width, 1), Block(width, width, 1)]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
    return _offering(net, stem="2", stage1="5", stage2="8", stage3="11")


@NETS.register("cifar-resnet20-fc")
def cifar_resnet20_fc(features: int = 10) -> nn.Module:
    """Build ResNet-20 with one more linear layer, for losses that fix the number of features.

    (B, 3, 32, 32) -> (B, D).
    """
    net = nn.Sequential(cifar_resnet20(), nn.Linear(64, features))
    return _offering(net, stem="0.2", stage1="0.5", stage2="0.8", stage3="0.11")


@NETS.register("cifar-conv6")
def cifar_conv6(features: int = 128) -> nn.Module:
    """Build a plain net for CIFAR-10: six 3x3 convolutions with batch norm, no shortcut.

    The surrogate of the transfer attacks: nothing of the victims' architecture. (B, 3, 32, 32) -> (B, D)
    """
    layers: list[nn.Module] = []
    for inputs, width in ((3, 32), (32, 64), (64, 128)):
        for before in (inputs, width):
            layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 4 * 4, features))
    return _offering(net, stage1="6", stage2="13", stage3="20")


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut that drops pixels and adds channels of zeros.

    He et al., CVPR 2016, option A.

    (B, C, H, W) -> (B, width, H / stride, W / stride)
    """

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.stride, self.added = stride, width - inputs

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x)))))
        shortcut = (
            functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added))
            if self.added
            else x
        )
        return functional.relu(out + shortcut)


class PReLU(nn.PReLU):
    """PReLU with one slope. On a CPU it takes the kernel of leaky_relu.

    Which gives the same bits, and its own gradient of the slope.

    torch's PReLU differentiates by the slope one pixel at a time, also where it is frozen, which is slow.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.is_cuda:
            return super().forward(x)
        if not self.weight.requires_grad:
            return functional.leaky_relu(x, float(self.weight))
        return cast(Tensor, _Rectify.apply(x, self.weight))


class _Rectify(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(x, slope)
        return functional.leaky_relu(x, float(slope))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        (x, slope), (gradient,) = ctx.saved_tensors, gradients
        by_slope = (gradient * x.clamp(max=0)).sum(dtype=slope.dtype)
        by_x = torch.ops.aten.leaky_relu_backward(gradient, x, float(slope), False)
        return by_x, by_slope.view_as(slope)


def _offering(net: nn.Module, **layers: str) -> nn.Module:
    """Name the layers that the net offers, {name: path of the submodule}."""
    net.layers = layers  # type: ignore[assignment]  # torch knows modules and tensors alone
    return net


def _stage(inputs: int, width: int, kernel: int) -> list[nn.Module]:
    """Two convolutions with PReLU, then a pooling that halves the sides, rounding down."""
    return [
        nn.Conv2d(inputs, width, kernel, padding=kernel // 2),
        PReLU(),
        nn.Conv2d(width, width, kernel, padding=kernel // 2),
        PReLU(),
        nn.MaxPool2d(2),
    ]
