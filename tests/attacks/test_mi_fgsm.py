"""MI-FGSM goes where torchattacks' goes, and its momentum helps where it is meant to."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gmbench.attacks import SampleRandom, ThreatModel, Victim
from gmbench.attacks.core.norms import size_one
from gmbench.attacks.mi_fgsm import MIFGSM
from gmbench.models import Classifier, Outputs


def seen_by(classifier: nn.Module, run: Callable[[], object]) -> list[Tensor]:
    """Record the images that a classifier is asked about."""
    images: list[Tensor] = []
    net = classifier.get_submodule("net")
    hook = net.register_forward_pre_hook(lambda _, inputs: images.append(inputs[0].detach().clone()))
    run()
    hook.remove()
    return images


class Wavy(nn.Module):
    """Its gradients turn and change their size from step to step."""

    def forward(self, x: Tensor) -> Tensor:
        return (8 * x.flatten(1)).sin()


@pytest.mark.parametrize(("momentum", "step"), [(0.0, 0.5), (0.5, 0.5), (1.0, 0.5), (1.0, None)])
def test_every_iterate_is_torchattacks(momentum: float, step: float | None) -> None:
    torchattacks = pytest.importorskip(
        "torchattacks", reason="needs torchattacks: pip install 'gmbench[torchattacks]'"
    )
    generator = torch.Generator().manual_seed(0)
    head = nn.Linear(12, 4, dtype=torch.float64)
    nn.init.normal_(head.weight, generator=generator)
    classifier = Classifier(Wavy(), head).eval()
    x = torch.rand(6, 3, 2, 2, dtype=torch.float64, generator=generator)
    y = torch.arange(6) % 4
    eps, steps = 0.4, 12
    ours = MIFGSM(loss="ce", steps=steps, step=step, momentum=momentum)

    def run() -> None:
        with Victim(classifier, len(x)) as victim:
            ours(victim, x, y, ThreatModel("Linf", eps), random=SampleRandom.of("t", torch.arange(len(x))))

    # Another library's, and its last image, about which it does not ask.
    theirs = torchattacks.MIFGSM(
        classifier.requires_grad_(False),
        eps=eps,
        alpha=(step or 1 / steps) * eps,
        steps=steps,
        decay=momentum,
    )
    last: list[Tensor] = []
    expected = seen_by(classifier, lambda: last.append(theirs(x, y))) + last
    found = seen_by(classifier, run)
    assert len(found) == steps + 1
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", [1e-20, 1e-40])
def test_directions_count_alike_whatever_the_size_of_their_gradients(size: float) -> None:
    """Sums of such entries underflow in float32; of a zero gradient there is no direction, and no NaN."""
    gradient = size * torch.tensor([[[[1.0, -3.0], [0.0, 4.0]]], [[[0.0, 0.0], [0.0, 0.0]]]])
    directions = size_one(gradient)
    torch.testing.assert_close(
        directions[0].flatten(), torch.tensor([1.0, -3.0, 0.0, 4.0]) / 8, rtol=1e-4, atol=0
    )
    assert not directions[1].any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 1.5}, r"expected momentum to be in \[0, 1\], got 1.5"),
        ({"momentum": float("nan")}, "expected momentum"),
        ({"steps": 0}, "expected steps to be at least 1, got 0"),
        ({"restarts": 0}, "expected restarts to be at least 1, got 0"),
        ({"step": 0.0}, "expected step to be > 0, got 0.0"),
        ({"targets": -1}, "expected targets to be at least 0, got -1"),
        ({"loss": "margn"}, "did you mean 'margin'"),
    ],
)
def test_bad_options(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MIFGSM(**options)  # type: ignore[arg-type]


def test_momentum_climbs_along_a_narrow_ridge() -> None:
    """On -(100 (a - b)^2 + (a + b - 2)^2) plain steps of L2 bounce across the ridge.

    With momentum they get up it.
    """

    class Ridge(nn.Module):
        def forward(self, features: Tensor) -> Tensor:
            a, b = features[:, 0], features[:, 1]
            return torch.stack([100 * (a - b) ** 2 + (a + b - 2) ** 2, torch.zeros_like(a)], 1)

    classifier = Classifier(nn.Flatten(), Ridge()).double().eval()
    x, y = torch.tensor([[[[0.05, 0.1]]]], dtype=torch.float64), torch.tensor([0])

    def height(momentum: float) -> float:
        with Victim(classifier, 1) as victim:
            attack = MIFGSM(steps=40, step=0.05, momentum=momentum)
            x_adv = attack(victim, x, y, ThreatModel("L2", 2.0), random=SampleRandom.of("t", torch.arange(1)))
        outputs: Outputs = classifier.outputs(x_adv)
        return float(-outputs.logits[0, 0])

    assert height(0.75) > height(0.0) / 2  # heights are negative, the summit is 0
