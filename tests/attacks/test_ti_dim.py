"""TI-DIM beside torchattacks' MI-FGSM and TI-FGSM, and what its varied images are."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gmbench.attacks import ATTACKS, SampleRandom, ThreatModel, Victim
from gmbench.attacks.ti_dim import TIDIM
from gmbench.models import Classifier

Build = Callable[..., tuple[Classifier, Tensor, Tensor]]


class Wavy(nn.Module):
    """Its gradients turn and change their size from step to step."""

    def forward(self, x: Tensor) -> Tensor:
        return (8 * x.flatten(1)).sin()


def wavy() -> tuple[Classifier, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    head = nn.Linear(3 * 49, 4, dtype=torch.float64)
    nn.init.normal_(head.weight, generator=generator)
    x = torch.rand(6, 3, 7, 7, dtype=torch.float64, generator=generator)
    return Classifier(Wavy(), head).eval().requires_grad_(False), x, torch.arange(6) % 4


def attacked(attack: TIDIM, classifier: Classifier, x: Tensor, y: Tensor, eps: float) -> Tensor:
    with Victim(classifier, len(x)) as victim:
        random = SampleRandom.of("t", torch.arange(len(x)))
        return attack(victim, x, y, ThreatModel("Linf", eps), random=random)


@pytest.mark.parametrize(("kernel", "momentum"), [(1, 1.0), (3, 0.0), (5, 1.0)])
def test_the_result_is_torchattacks(kernel: int, momentum: float) -> None:
    torchattacks = pytest.importorskip(
        "torchattacks", reason="needs torchattacks: pip install 'gmbench[torchattacks]'"
    )
    classifier, x, y = wavy()
    ours = TIDIM(loss="ce", steps=8, momentum=momentum, diversity=0.0, kernel=kernel)
    settings = {"eps": 0.4, "alpha": 0.05, "steps": 8, "decay": momentum}
    theirs = torchattacks.MIFGSM(classifier, **settings)
    if kernel > 1:
        theirs = torchattacks.TIFGSM(classifier, **settings, len_kernel=kernel, diversity_prob=0.0)
        theirs.stacked_kernel = theirs.stacked_kernel.double()
    torch.testing.assert_close(attacked(ours, classifier, x, y, 0.4), theirs(x, y), rtol=0, atol=1e-6)


def test_varied_images_are_smaller_and_lie_on_black() -> None:
    x = torch.full((200, 1, 20, 20), 0.5, dtype=torch.float64)
    seen = TIDIM(diversity=0.5, smallest=0.6)._varied(x, SampleRandom.of("t", torch.arange(200)))
    same = (seen == x).flatten(1).all(1)
    assert 70 < same.sum() < 130
    varied = seen[~same]
    # 20 x 20 pixels of .5, times the square of a side between .6 and 1, and none of it outside the image
    light = varied.flatten(1).sum(1) / 200
    assert (light > 0.36 - 0.05).all()
    assert (light < 1).all()
    assert light.min() < 0.5 < 0.8 < light.max()
    assert (varied.flatten(1).amax(1) <= 0.5 + 1e-9).all()
    middles = torch.stack([(one[0].sum(0) * torch.arange(20)).sum() / one.sum() for one in varied])
    assert middles.min() < 8 < 11 < middles.max()


def test_the_gradient_is_by_the_image_and_not_by_what_the_net_saw() -> None:
    """On a linear model it is the weights, resized and moved: against finite differences."""
    generator = torch.Generator().manual_seed(0)
    attack = TIDIM(diversity=1.0, smallest=0.6)
    x = torch.rand(1, 1, 6, 6, generator=generator, dtype=torch.float64)

    def seen(image: Tensor) -> Tensor:
        return attack._varied(image, SampleRandom.of("t", torch.arange(1)))

    assert torch.autograd.gradcheck(seen, x.requires_grad_())


def test_smoothing_keeps_the_sum_and_spreads_a_point() -> None:
    point = torch.zeros(1, 2, 9, 9, dtype=torch.float64)
    point[0, 0, 4, 4] = 1
    smooth = TIDIM(kernel=5)._smoothed(point)
    assert float(smooth[0, 0].sum()) == pytest.approx(1)
    assert not smooth[0, 1].any()
    assert (smooth[0, 0] > 0).sum() == 25
    torch.testing.assert_close(smooth[0, 0], smooth[0, 0].T)
    assert smooth[0, 0, 4, 4] == smooth.max()


def test_flat_images_are_refused(linear: Build) -> None:
    classifier, x, y = linear(2, (36,), "Linf", 0.04)
    with pytest.raises(ValueError, match=r"expected images to be \(B, C, H, W\) for ti-dim, got \(2, 36\)"):
        attacked(TIDIM(), classifier, x, y, 0.1)


@pytest.mark.parametrize(
    ("field", "value"),
    [("steps", 0), ("momentum", 1.5), ("diversity", -0.1), ("smallest", 0.0), ("kernel", 4), ("kernel", 0)],
)
def test_a_field_out_of_range_is_named(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"expected {field} to be .*, got {value}"):
        ATTACKS.build("ti-dim", **{field: value})
