"""How the victim runs its passes; what it enforces and counts is part of the contract of every attack."""

import torch
from torch import Tensor, nn

from gmbench.attacks import Victim
from gmbench.attacks.core import victim
from gmbench.attacks.core.losses import objective
from gmbench.models import HEADS, NETS, Classifier, Outputs


class Watched(nn.Module):
    """Passes images on and notes how many came at once."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.batches.append(len(x))
        return x


def test_pieces_change_no_bit(monkeypatch) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        watched = Watched()
        classifier = Classifier(
            nn.Sequential(watched, NETS.build("digits-conv4", features=16)),
            HEADS.build("lgm", features=16, classes=10),
        )
        x, y = torch.rand(50, 1, 8, 8), torch.randint(10, (50,))

    def run(pixels: int) -> tuple[Tensor, Tensor, Outputs]:
        monkeypatch.setattr(victim, "PIECE", pixels)
        watched.batches.clear()
        with Victim(classifier, samples=50) as attacked:
            value, gradient, outputs = attacked.gradient(x, objective("margin", y, None))
            torch.testing.assert_close(attacked.outputs(x).features, outputs.features, rtol=0, atol=0)
        return value, gradient, outputs

    whole = run(50 * 64)
    assert watched.batches == [50, 50]
    pieces = run(20 * 64)
    assert watched.batches == [17, 17, 16] * 2
    for one, other in zip(whole[:2], pieces[:2], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    for name in ("x", "features", "logits", "log_likelihood"):
        torch.testing.assert_close(getattr(whole[2], name), getattr(pieces[2], name), rtol=0, atol=0)


def test_vectors_and_single_images_are_never_split(monkeypatch) -> None:
    monkeypatch.setattr(victim, "PIECE", 1)
    watched = Watched()
    classifier = Classifier(
        nn.Sequential(watched, nn.Flatten()), HEADS.build("softmax", features=4, classes=3)
    )
    classifier.normalise = nn.Identity()
    for x in (torch.rand(40, 4), torch.rand(1, 1, 2, 2)):
        watched.batches.clear()
        with Victim(classifier, samples=len(x)) as attacked:
            attacked.outputs(x)
        assert watched.batches == [len(x)]
