"""Small Gaussian-mixture classifiers on which every attack is tried, in float64, with known exact answers."""

import math

import torch
from torch import Tensor, nn

from ...models.classifier import Classifier
from ...models.heads.lgm import LGM

__all__ = ["Changed", "build_conv", "build_linear", "changed"]

CLASSES = 4


class Scaled(nn.Module):
    """The pixels times a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) * self.factor


class AnyShape(Classifier):
    """Images of any rank: the normalisation layer is for (B, C, H, W) alone."""

    def features(self, x: Tensor) -> Tensor:
        """Skip the normalisation."""
        features: Tensor = self.net(x)
        return features


def build_linear(
    batch: int, shape: tuple[int, ...], norm: str, distance: float, margin: float = 10.0
) -> tuple[Classifier, Tensor, Tensor]:
    """A mixture whose means lie on orthogonal axes around mid-grey.

    z_y - z_k = s^2 (x - 1/2) (d_y - d_k), exactly linear.

    The axes are Hadamard's, in an order of the pixels drawn at random: every two classes are equally far
    apart, in Linf as in L2, so that the class with the next highest logit is the nearest.

    Args:
        batch: Number of images.
        shape: Of one image.
        norm: In which the distance is measured.
        distance: From each image to the nearest boundary.
        margin: Scales the logits until the margin is about this.
    """
    generator = torch.Generator().manual_seed(7)
    pixels = math.prod(shape)
    hadamard = torch.tensor(
        [[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]], dtype=torch.float64
    )
    axes = hadamard.repeat(1, pixels // 4)[:, torch.randperm(pixels, generator=generator)] / pixels**0.5
    y = torch.arange(batch) % CLASSES
    noise = torch.randn(batch, pixels, generator=generator, dtype=torch.float64) / pixels**0.5
    offsets = axes[y] + 0.3 * noise
    normals = axes[y].unsqueeze(1) - axes
    lengths = normals.norm(p=1 if norm == "Linf" else 2, dim=2)
    distances = (offsets.unsqueeze(1) * normals).sum(2) / lengths
    nearest = distances.scatter(1, y.unsqueeze(1), torch.inf).amin(1, keepdim=True)
    x = 0.5 + offsets * distance / nearest
    scale = (margin / (distance * float(lengths.amax()))) ** 0.5
    head = LGM(pixels, CLASSES).double()
    with torch.no_grad():
        head.means.copy_(scale * (0.5 + axes))
    classifier = AnyShape(Scaled(scale), head).eval()
    x = x.view(batch, *shape)
    assert torch.equal(classifier(x).argmax(1), y)
    assert x.amin() > 0.2
    assert x.amax() < 0.8
    return classifier, x, y


def build_conv(
    batch: int, channels: int = 1, margin: float = 300.0, binary: bool = False
) -> tuple[Classifier, Tensor, Tensor]:
    """A mixture whose means are the features of four random images; the images to attack lie near these.

    Args:
        batch: Number of images.
        channels: C.
        margin: Smallest lead of the true logit over the next at the four images.
        binary: Whether every pixel is 0 or 1, so that nothing is fooled unless such pixels move.
    """
    with torch.random.fork_rng():
        torch.manual_seed(11)
        last = nn.Linear(8 * 36, 8)
        net = nn.Sequential(
            nn.Conv2d(channels, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.Tanh(),
            nn.Dropout(0.5),
            nn.Flatten(),
            last,
        )
        prototypes = (torch.rand(CLASSES, channels, 6, 6, dtype=torch.float64) * 2 - 0.5).clamp(0, 1)
        prototypes = prototypes.round() if binary else prototypes
        noise = 0.02 * torch.randn(batch, channels, 6, 6, dtype=torch.float64)
        head = LGM(8, CLASSES)
        classifier = Classifier(net, head).double().eval()
    y = torch.arange(batch) % CLASSES
    grey = (prototypes > 0) & (prototypes < 1)
    x = (prototypes[y] + noise * grey[y]).clamp(0, 1)
    with torch.no_grad():
        distances = torch.pdist(classifier.features(prototypes)).square() / 2
        last.weight.mul_((margin / distances.amin()).sqrt())
        last.bias.zero_()
        head.means.copy_(classifier.features(prototypes))
    assert torch.equal(classifier(x).argmax(1), y)
    return classifier, x, y


class Changed(nn.Module):
    """Another head, its logits and its likelihood scaled and shifted alike.

    It can count its calls and fail at one of them.
    """

    def __init__(self, head: nn.Module, scale: float, shift: float) -> None:
        super().__init__()
        self.head = head
        self.scale, self.shift = scale, shift
        self.calls = self.fail_at = 0

    def forward(self, features: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == self.fail_at:
            raise RuntimeError("power cut")
        logits: Tensor = self.head(features)
        return logits * self.scale + self.shift

    def log_likelihood(self, features: Tensor) -> Tensor:
        logits: Tensor = self.head(features)
        return logits * self.scale + self.shift


def changed(classifier: Classifier, scale: float = 1.0, shift: float = 0.0) -> Classifier:
    """Give the classifier another head, see `Changed`."""
    return Classifier(classifier.net, Changed(classifier.head, scale, shift)).eval()
