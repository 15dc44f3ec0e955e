"""A small net of somebody else, and what a `Classifier` made of it must give."""

import inspect
import os
from collections.abc import Callable
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from gmbench.models.foreign.load import Foreign

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)


class Net(nn.Module):
    def __init__(self, channels: int = 3, classes: int = 5) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(6, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.drop(self.body(x)))  # type: ignore[no-any-return]


NET = f"from torch import Tensor, nn\n\n{inspect.getsource(Net)}"


def images(side: int = 32, channels: int = 3, count: int = 3) -> Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(1))


def made(build: Callable[..., nn.Module] = Net, *arguments: Any) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build(*arguments).eval()


def normalised(x: Tensor, mean: tuple[float, ...] = MEAN, std: tuple[float, ...] = STD) -> Tensor:
    normal: Tensor = torchvision.transforms.functional.normalize(x, mean, std)
    return normal


def check(classifier: Foreign, x: Tensor, logits: Tensor, features: Tensor | None) -> None:
    """Hold a loaded model to the logits and features that its original gives.

    None for a model whose features are its logits.
    """
    assert not any(module.training for module in classifier.modules())
    x = x.clone().requires_grad_()
    outputs = classifier.outputs(x)
    torch.testing.assert_close(outputs.logits, logits, rtol=0, atol=0)
    torch.testing.assert_close(classifier(x), logits, rtol=0, atol=0)
    torch.testing.assert_close(outputs.features, logits if features is None else features, rtol=0, atol=0)
    torch.testing.assert_close(classifier.head(outputs.features), logits, rtol=0, atol=0)
    assert classifier.features_are_logits == (features is None)
    assert classifier.classes == logits.shape[1]
    assert outputs.log_likelihood is None
    torch.testing.assert_close(classifier(x[:1]), logits[:1], rtol=1e-4, atol=1e-5)  # any batch size
    (gradient,) = torch.autograd.grad(outputs.logits[:, 0].sum(), x)
    assert (gradient.flatten(1).abs().amax(1) > 0).all()


class Planted:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.putenv, ("PLANTED", "1")
