"""Twenty honest nets on digits, trained in a second each: what no check may flag."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from gmbench.benchmark.data.datasets import load_data
from gmbench.models import Classifier

__all__ = ["NETS", "train"]

Loss = Callable[[Tensor, Tensor], Tensor]


class Distances(nn.Module):
    """Minus half the squared distances to learned class means, as Gaussian mixtures give."""

    def __init__(self, features: int, classes: int = 10, scale: float = 1.0) -> None:
        super().__init__()
        self.means = nn.Parameter(torch.randn(classes, features) * scale)

    def forward(self, x: Tensor) -> Tensor:
        return -0.5 * (x.unsqueeze(1) - self.means).square().sum(2)

    def log_likelihood(self, x: Tensor) -> Tensor:
        return self.forward(x)


class Cosine(nn.Module):
    """Cosines with learned directions, times a scale."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(10, features))

    def forward(self, x: Tensor) -> Tensor:
        return 16 * functional.normalize(x, dim=1) @ functional.normalize(self.weight, dim=1).T


class Residual(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


def mlp(width: int, activation: type[nn.Module], *more: nn.Module) -> nn.Module:
    layers = [nn.Flatten(), nn.Linear(64, width), activation(), *more]
    return nn.Sequential(*layers, nn.Linear(width, 32), activation())


def conv(
    activation: type[nn.Module], *, norm: bool = False, pool: type[nn.Module] = nn.MaxPool2d
) -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in ((1, 16), (16, 32)):
        layers += [nn.Conv2d(before, after, 3, padding=1), *([nn.BatchNorm2d(after)] if norm else [])]
        layers += [activation(), pool(2)]
    return nn.Sequential(*layers, nn.Flatten())


def hinge(logits: Tensor, true: Tensor) -> Tensor:
    return functional.multi_margin_loss(logits, true)


def squares(logits: Tensor, true: Tensor) -> Tensor:
    return (logits - functional.one_hot(true, 10)).square().sum(1).mean()


def smoothed(logits: Tensor, true: Tensor) -> Tensor:
    return functional.cross_entropy(logits, true, label_smoothing=0.1)


def focal(logits: Tensor, true: Tensor) -> Tensor:
    lost = functional.cross_entropy(logits, true, reduction="none")
    return ((1 - (-lost).exp()).square() * lost).mean()


@dataclass(frozen=True)
class Net:
    """How one is made.

    Args:
        net: Images to features.
        head: Features to logits.
        loss: That it is trained with.
        steps: Of Adam.
        rate: Its learning rate.
        adversarial: eps of the FGSM images that it is trained on; 0 for clean ones.
        noise: Standard deviation of noise on its training images.
    """

    net: Callable[[], nn.Module]
    head: Callable[[], nn.Module]
    loss: Loss = functional.cross_entropy
    steps: int = 200
    rate: float = 3e-3
    adversarial: float = 0.0
    noise: float = 0.0


CONV = 32 * 2 * 2

NETS = {
    "linear": Net(nn.Flatten, lambda: nn.Linear(64, 10)),
    "mlp-relu": Net(lambda: mlp(64, nn.ReLU), lambda: nn.Linear(32, 10)),
    "mlp-tanh": Net(lambda: mlp(64, nn.Tanh), lambda: nn.Linear(32, 10)),
    "mlp-gelu-layernorm": Net(lambda: mlp(64, nn.GELU, nn.LayerNorm(64)), lambda: nn.Linear(32, 10)),
    "mlp-sigmoid": Net(lambda: mlp(64, nn.Sigmoid), lambda: nn.Linear(32, 10), rate=1e-2),
    "mlp-dropout": Net(lambda: mlp(128, nn.ReLU, nn.Dropout(0.5)), lambda: nn.Linear(32, 10)),
    "mlp-residual": Net(
        lambda: mlp(64, nn.SiLU, Residual(nn.Sequential(nn.Linear(64, 64), nn.SiLU()))),
        lambda: nn.Linear(32, 10),
    ),
    "conv-relu": Net(lambda: conv(nn.ReLU), lambda: nn.Linear(CONV, 10)),
    "conv-batchnorm": Net(lambda: conv(nn.ReLU, norm=True), lambda: nn.Linear(CONV, 10)),
    "conv-elu-average": Net(lambda: conv(nn.ELU, pool=nn.AvgPool2d), lambda: nn.Linear(CONV, 10)),
    "conv-long": Net(lambda: conv(nn.ReLU), lambda: nn.Linear(CONV, 10), steps=600, rate=1e-2),
    "hinge": Net(lambda: conv(nn.ReLU), lambda: nn.Linear(CONV, 10), hinge),
    "squares": Net(lambda: mlp(64, nn.ReLU), lambda: nn.Linear(32, 10), squares),
    "label-smoothing": Net(lambda: conv(nn.ReLU), lambda: nn.Linear(CONV, 10), smoothed),
    "focal": Net(lambda: conv(nn.LeakyReLU), lambda: nn.Linear(CONV, 10), focal),
    "distances": Net(lambda: conv(nn.ReLU), lambda: Distances(CONV, scale=0.3)),
    "distances-far": Net(lambda: conv(nn.ReLU), lambda: Distances(CONV, scale=3.0), steps=400),
    "cosine": Net(lambda: conv(nn.ReLU, norm=True), lambda: Cosine(CONV)),
    "adversarial": Net(lambda: conv(nn.ReLU), lambda: nn.Linear(CONV, 10), steps=300, adversarial=0.15),
    "noisy": Net(lambda: conv(nn.ReLU), lambda: nn.Linear(CONV, 10), steps=300, noise=0.2),
}
"""By name."""


def train(name: str, seed: int = 0) -> Classifier:
    """Train one on digits, in evaluation mode."""
    asked, split = NETS[name], load_data("digits", "train")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Classifier(asked.net(), asked.head(), 0.3, 0.37)
        optimiser = torch.optim.Adam(model.parameters(), asked.rate)
        images = split.images()
        for _ in range(asked.steps):
            rows = torch.randint(len(split), (128,))
            x, true = images[rows], split.y[rows]
            if asked.noise:
                x = (x + asked.noise * torch.randn_like(x)).clamp(0, 1)
            if asked.adversarial:
                x = _fgsm(model, x, true, asked.adversarial)
            optimiser.zero_grad()
            asked.loss(model(x), true).backward()
            optimiser.step()
    return model.eval().requires_grad_(False)


def _fgsm(model: Classifier, x: Tensor, true: Tensor, eps: float) -> Tensor:
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(functional.cross_entropy(model(x), true), x)
    return (x + eps * gradient.sign()).clamp(0, 1).detach()
