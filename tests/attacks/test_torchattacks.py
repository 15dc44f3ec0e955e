"""The second engine: what its traps do bare, and that the adapter closes them."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gmbench.attacks import ATTACKS, SampleRandom, ThreatModel, Victim
from gmbench.attacks.torchattacks_adapter import _settle
from gmbench.models import Classifier

Build = Callable[..., tuple[Classifier, Tensor, Tensor]]

ENGINE = [name for name in ATTACKS if name.startswith("torchattacks-")]


@pytest.fixture
def torchattacks() -> Any:
    return pytest.importorskip(
        "torchattacks", reason="needs torchattacks: pip install 'gmbench[torchattacks]'"
    )


def attack(
    name: str,
    classifier: Classifier,
    x: Tensor,
    y: Tensor,
    norm: str,
    eps: float,
    use: str = "",
    **options: Any,
) -> Tensor:
    built = ATTACKS.build(name, **options)
    with Victim(classifier, len(x)) as victim:
        x_adv = built(victim, x, y, ThreatModel(norm, eps), random=SampleRandom.of(use, torch.arange(len(x))))
        assert not any(module.training for module in classifier.modules())
    return x_adv


def accuracy(classifier: Classifier, x: Tensor, y: Tensor) -> float:
    return float((classifier(x).argmax(1) == y).double().mean())


@pytest.mark.parametrize("name", ENGINE)
def test_missing_library_gets_one_clear_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchattacks", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        ATTACKS.build(name)
    assert str(caught.value) == "torchattacks is not installed; pip install 'gmbench[torchattacks]'"


def test_all_four_are_there() -> None:
    assert ENGINE == ["torchattacks-cw", "torchattacks-fgsm", "torchattacks-pgd", "torchattacks-square"]


def test_cw_sees_negative_logits(torchattacks: Any, conv: Build) -> None:
    classifier, x, y = conv(8)
    bare = torchattacks.CW(classifier.requires_grad_(False), c=1, steps=100, lr=0.1)(x, y)
    assert torch.equal(bare, x)  # the masked maximum: every logit of a mixture is negative
    x_adv = attack("torchattacks-cw", classifier, x, y, "L2", 4.0)
    assert accuracy(classifier, x_adv, y) == 0


def test_cw_moves_pixels_at_0_and_1(torchattacks: Any, conv: Build) -> None:
    classifier, x, y = conv(4, margin=10, binary=True)
    shifted = Classifier(classifier.net, _Shifted(classifier.head)).eval()
    bare = torchattacks.CW(shifted.requires_grad_(False), c=1, steps=100, lr=0.1)(x, y)
    assert torch.equal(bare, x)  # their w is infinite
    assert accuracy(classifier, attack("torchattacks-cw", classifier, x, y, "L2", 4.0), y) == 0


class _Shifted(nn.Module):
    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.head(features)
        return logits + 1e5


@pytest.mark.usefixtures("torchattacks")
def test_cw_outside_the_ball_is_projected_onto_it(conv: Build) -> None:
    classifier, x, y = conv(8)
    free = attack("torchattacks-cw", classifier, x, y, "L2", float("inf"))
    needed = (free - x).flatten(1).norm(dim=1)
    assert accuracy(classifier, free, y) == 0
    x_adv = attack("torchattacks-cw", classifier, x, y, "L2", 0.5 * float(needed.amin()))
    torch.testing.assert_close(
        (x_adv - x).flatten(1).norm(dim=1), torch.full_like(needed, 0.5 * float(needed.amin()))
    )


def test_pgd_in_l2_climbs_gradients_below_its_own_constant(torchattacks: Any, conv: Build) -> None:
    classifier, x, y = conv(6)
    bare = torchattacks.PGDL2(
        classifier.requires_grad_(False), eps=3.0, alpha=0.5, steps=20, random_start=False
    )(x, y)
    torch.testing.assert_close(bare, x)  # adds 1e-10 to a gradient of e-100
    assert accuracy(classifier, attack("torchattacks-pgd", classifier, x, y, "L2", 3.0, steps=20), y) == 0


@pytest.mark.usefixtures("torchattacks")
def test_fgsm_is_fgsm(conv: Build) -> None:
    classifier, x, y = conv(6, margin=20)
    ours, theirs = (attack(name, classifier, x, y, "Linf", 0.1) for name in ("fgsm", "torchattacks-fgsm"))
    torch.testing.assert_close(theirs, ours)


def test_pgd_is_their_loop(torchattacks: Any, conv: Build) -> None:
    classifier, x, y = conv(6, margin=20)
    bare = torchattacks.PGD(
        classifier.requires_grad_(False), eps=0.1, alpha=0.02, steps=7, random_start=False
    )(x, y)
    mended = attack("torchattacks-pgd", classifier, x, y, "Linf", 0.1, steps=7, step=0.2, random_start=False)
    torch.testing.assert_close(mended, bare)


@pytest.mark.usefixtures("torchattacks")
@pytest.mark.parametrize(
    ("name", "options"), [("torchattacks-pgd", {"steps": 1}), ("torchattacks-square", {"queries": 50})]
)
def test_seed_comes_from_the_streams(name: str, options: dict[str, Any], conv: Build) -> None:
    classifier, x, y = conv(4)
    first, again, other = (
        attack(name, classifier, x, y, "Linf", 0.4, use, **options) for use in ("a", "a", "b")
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.usefixtures("torchattacks")
@pytest.mark.parametrize("name", ENGINE)
def test_nothing_is_printed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    classifier = Classifier(nn.Flatten(), nn.Identity()).eval()  # no parameter to read a device from
    x = torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    attack(name, classifier, x, classifier(x).argmax(1), "L2" if name == "torchattacks-cw" else "Linf", 0.2)
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("torchattacks")
def test_passes_are_counted(conv: Build) -> None:
    classifier, x, y = conv(4)
    with Victim(classifier, 4) as victim:
        ATTACKS.build("torchattacks-pgd", steps=7)(
            victim, x, y, ThreatModel("Linf", 0.1), random=SampleRandom.of("", torch.arange(4))
        )
    assert victim.forwards.tolist() == victim.backwards.tolist() == [7] * 4


@pytest.mark.parametrize(("norm", "unit"), [("Linf", 1.0), ("L2", 1 / 6)])
def test_only_rounding_is_settled(norm: str, unit: float) -> None:
    x = torch.full((4, 1, 6, 6), 0.5, dtype=torch.float64)
    sizes = torch.tensor([0.1, 0.1 + 1e-8, 0.1 + 1e-4, torch.nan], dtype=torch.float64)
    x_adv = x + unit * sizes.view(-1, 1, 1, 1)
    settled = _settle(x, x_adv, ThreatModel(norm, 0.1))
    torch.testing.assert_close(settled[:2] - x[:2], torch.full_like(x[:2], 0.1 * unit), rtol=0, atol=1e-15)
    assert torch.equal(settled[2], x_adv[2])  # a cheat is for the judge to see
    assert settled[3].isnan().all()
