"""The contracts let nothing broken pass, and say in one line what is broken."""

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import gmbench as gm
from gmbench.attacks.core.norms import NORMS
from gmbench.testing import check_attack, check_detector, check_loss, check_net


@dataclass(frozen=True)
class Sound(gm.PGD):
    """What the broken ones would be if they were not."""

    steps: int = 8


class Leaves(Sound):
    def __call__(self, victim, x, y, threat, /, *, random):
        x_adv = super().__call__(victim, x, y, threat, random=random)
        return x + 1.5 * (x_adv - x)


class Overwrites(Sound):
    def __call__(self, victim, x, y, threat, /, *, random):
        x_adv = super().__call__(victim, x, y, threat, random=random)
        x.copy_(x_adv)
        return x_adv


class Batched(Sound):
    def __call__(self, victim, x, y, threat, /, *, random):
        noise = threat.eps * 1e-3 * len(x) * torch.ones_like(x)
        x_adv = super().__call__(victim, x, y, threat, random=random)
        return NORMS[threat.norm].perturb(x, x_adv - x - noise, threat.eps)


class Draws(Sound):
    def __call__(self, victim, x, y, threat, /, *, random):
        start = NORMS[threat.norm].perturb(x, 0.1 * threat.eps * torch.rand_like(x), threat.eps)
        x_adv = super().__call__(victim, start, y, threat, random=random)
        return NORMS[threat.norm].perturb(x, x_adv - x, threat.eps)


class Weak(Sound):
    def __call__(self, victim, x, y, threat, /, *, random):
        x_adv = super().__call__(victim, x, y, threat, random=random)
        return x + 0.5 * (x_adv - x)


class Cheap(Sound):
    def passes(self):
        return 1, 1


class Greedy(Sound):
    access = "query"


@dataclass(frozen=True)
class Unchecked(Sound):
    factor: float = 1.0


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (Leaves, "left its Linf ball"),
        (Overwrites, "changed the images that it was given"),
        (Batched, "differs by .* in Linf between batches of 4 and of 1"),
        (Draws, "gave other images in Linf when it ran again"),
        (Weak, r"left \d+ of 1 images at 1.25 x the minimal Linf perturbation"),
        (Cheap, r"promises \(1, 1\) forward and backward passes an image and took"),
        (Greedy, "to work, got AccessError: expected access to be white-box"),
        (Unchecked, r"expected Unchecked\(factor=-1.0\) to raise ValueError, got no error"),
    ],
)
def test_a_broken_attack_is_caught(attack, message) -> None:
    with pytest.raises(AssertionError, match=message) as error:
        check_attack(attack())
    assert "\n" not in str(error.value)


def test_a_sound_attack_passes() -> None:
    check_attack(Sound())


@dataclass
class Turned(gm.Detector):
    def score(self, outputs: gm.Outputs) -> Tensor:
        return outputs.logits.logsumexp(1)


@dataclass
class Relative(gm.Detector):
    def score(self, outputs: gm.Outputs) -> Tensor:
        energy = -outputs.logits.logsumexp(1)
        return energy + 0.01 * energy.mean()


@dataclass
class Learned(gm.Detector):
    low: float = field(default=0.0)

    def learn(self, outputs: gm.Outputs, y: Tensor) -> None:
        self.low = float(outputs.logits.min())

    def score(self, outputs: gm.Outputs) -> Tensor:
        return -outputs.logits.logsumexp(1) + self.low


@dataclass
class Blind(gm.Detector):
    def score(self, outputs: gm.Outputs) -> Tensor:
        return -outputs.logits.detach().logsumexp(1)


@pytest.mark.parametrize(
    ("detector", "message"),
    [
        (Turned, "AUROC of 0.0.*Higher is more suspicious"),
        (Relative, "scores samples otherwise one by one"),
        (Learned, "fit changed the configuration of Learned"),
        (Blind, r"expected the gradient of Blind\(\), which says it is differentiable, to work"),
    ],
)
def test_a_broken_detector_is_caught(detector, message) -> None:
    with pytest.raises(AssertionError, match=message):
        check_detector(detector())


class Linear(gm.Head):
    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, classes)

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(features)

    def loss(self, features: Tensor, y: Tensor, progress: float) -> Tensor:
        return functional.cross_entropy(self(features), y)


class Exploding(Linear):
    def loss(self, features: Tensor, y: Tensor, progress: float) -> Tensor:
        return -self(features).exp().gather(1, y[:, None]).log().mean() + self(features).logsumexp(1).mean()


class Summed(Linear):
    def loss(self, features: Tensor, y: Tensor, progress: float) -> Tensor:
        return functional.cross_entropy(self(features), y, reduction="sum")


class Counting(Linear):
    def __init__(self, features: int, classes: int) -> None:
        super().__init__(features, classes)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(features)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (Exploding, "expected a finite loss|to be finite"),
        (Summed, "expected the mean over samples"),
        (Counting, "expected evaluation to change nothing, got other calls"),
    ],
)
def test_a_broken_loss_is_caught(head, message) -> None:
    check_loss(Linear)
    with pytest.raises(AssertionError, match=message):
        check_loss(head)


def test_a_broken_net_is_caught() -> None:
    class Normed(nn.Module):
        def __init__(self, features: int) -> None:
            super().__init__()
            self.linear = nn.Linear(int(np.prod((1, 8, 8))), features)

        def forward(self, x: Tensor) -> Tensor:
            flat = self.linear(x.flatten(1))
            return flat - flat.mean(0)

    with pytest.raises(AssertionError, match="its neighbours'"):
        check_net(Normed, (1, 8, 8))
