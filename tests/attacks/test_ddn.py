"""DDN against the linear model's exact answer, and beside adv-lib's DDN and our CW on the zoo's models."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gmbench.attacks import ATTACKS, SampleRandom, ThreatModel, Victim
from gmbench.attacks.cw import CW
from gmbench.attacks.ddn import DDN
from gmbench.models import Classifier

from .peers import attack, measured

Build = Callable[..., tuple[Classifier, Tensor, Tensor]]


@pytest.mark.parametrize(
    ("loss", "margin"),
    # where the logits are all but equal, the log odds climb towards all other classes alike
    [("log-odds", 10.0), ("log-odds", 1e4), ("margin", 1e-2), ("margin", 1e4)],
)
@pytest.mark.parametrize("batch", [1, 5])
def test_finds_the_nearest_boundary_of_a_linear_model(
    batch: int, loss: str, margin: float, linear: Build
) -> None:
    classifier, x, y = linear(batch, (1, 12, 12), "L2", 0.2, margin)
    x_adv = attack(DDN(loss=loss, levels=0), classifier, x, y, "L2")
    found = measured(classifier, x, y, x_adv, "L2")
    assert found.left == 0
    assert (found.size >= 0.2).all()
    assert (found.size <= 1.01 * 0.2).all()


def test_proposals_lie_on_the_grid(linear: Build) -> None:
    classifier, x, y = linear(5, (1, 12, 12), "L2", 0.2)
    x = (x * 255).round() / 255
    for levels in (256, 16):
        x_adv = attack(DDN(levels=levels), classifier, x, y, "L2") * (levels - 1)
        assert (x_adv - x_adv.round()).abs().max() < 1e-9
    found = measured(classifier, x, y, attack(DDN(), classifier, x, y, "L2"), "L2")
    assert found.left == 0
    # 144 pixels that move alike: 4.25 grey levels each is the exact answer, 5 its next on the grid
    assert (found.size <= 5 / 255 * 12 + 1e-9).all()


def test_all_targets_together_find_the_nearest_boundary(linear: Build) -> None:
    """All boundaries of the linear model are planes; with three targets of four classes none is left out."""
    classifier, x, y = linear(5, (1, 12, 12), "L2", 0.2)
    free, all_of_them, likeliest = (
        measured(
            classifier, x, y, attack(DDN(levels=0, steps=100, targets=count), classifier, x, y, "L2"), "L2"
        ).size
        for count in (0, 3, 1)
    )
    torch.testing.assert_close(all_of_them, free, rtol=0.02, atol=0)
    torch.testing.assert_close(likeliest, free, rtol=0.02, atol=0)  # the likeliest wrong class is the nearest


def test_wrong_images_cost_one_pass_and_the_rest_what_is_promised(linear: Build) -> None:
    classifier, x, y = linear(4, (1, 6, 6), "L2", 0.2)
    y[0] = (y[0] + 1) % 4
    for built in (DDN(steps=20), DDN(steps=20, targets=2)):
        with Victim(classifier, 4) as victim:
            threat, random = ThreatModel("L2", math.inf), SampleRandom.of("t", torch.arange(4))
            x_adv = built(victim, x, y, threat, random=random)
        assert torch.equal(x_adv[0], x[0])
        assert (victim.forwards[0], victim.backwards[0]) == (1, 0)
        assert {(int(f), int(b)) for f, b in zip(victim.forwards[1:], victim.backwards[1:], strict=True)} == {
            built.passes()
        }


def test_what_is_longer_than_eps_comes_back_clean(linear: Build) -> None:
    classifier, x, y = linear(5, (1, 6, 6), "L2", 0.2)
    free = attack(DDN(), classifier, x, y, "L2")
    assert torch.equal(attack(DDN(), classifier, x, y, "L2", 0.19), x)
    assert torch.equal(attack(DDN(), classifier, x, y, "L2", 0.3), free)


def test_a_model_without_gradients_gives_back_the_clean_image(conv: Build) -> None:
    classifier, x, y = conv(4)
    for parameter in classifier.parameters():
        parameter.data.zero_()
    y[:] = classifier.outputs(x).predicted
    assert torch.equal(attack(DDN(steps=5), classifier, x, y, "L2"), x)


@pytest.mark.parametrize("loss", ["ce", "log-odds"])
@pytest.mark.parametrize("name", ["digits-lgm-s0", "digits-softmax-s0"])
def test_perturbations_are_as_short_as_those_of_adv_lib(name: str, loss: str, zoo: Build) -> None:
    """Cross-entropy and log odds point the same way, so that both go where adv-lib's goes."""
    theirs = pytest.importorskip("adv_lib.attacks", reason="needs adv-lib: pip install 'gmbench[perf]'")
    classifier, x, y = zoo(name, 64)
    ours = measured(classifier, x, y, attack(DDN(loss=loss, steps=50), classifier, x, y, "L2"), "L2")
    other = measured(classifier, x, y, theirs.ddn(classifier, x, y, steps=50), "L2")
    assert ours.left <= other.left
    assert ours.mean <= 1.01 * other.mean


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist-softmax-s0", "mnist-lgm-s0"])
def test_two_hundred_steps_beat_cw_on_mnist(name: str, zoo: Build) -> None:
    theirs = pytest.importorskip("adv_lib.attacks", reason="needs adv-lib: pip install 'gmbench[perf]'")
    classifier, x, y = zoo(name, 40)
    ours, cw = (
        measured(classifier, x, y, attack(built, classifier, x, y, "L2"), "L2") for built in (DDN(), CW())
    )
    other = measured(classifier, x, y, theirs.ddn(classifier, x, y, steps=200), "L2")
    assert ours.left <= min(other.left, cw.left)
    assert ours.mean <= 1.02 * other.mean
    assert ours.mean < 0.95 * cw.mean


@pytest.mark.parametrize(
    ("field", "value"),
    [("steps", 0), ("gamma", 1.0), ("init_norm", math.inf), ("levels", 1), ("targets", -1)],
)
def test_a_field_out_of_range_is_named(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"expected {field} to be .*, got {value}"):
        ATTACKS.build("ddn", **{field: value})


def test_a_loss_of_ones_own_is_told_no_target() -> None:
    with pytest.raises(ValueError, match="expected targets to be 0"):
        DDN(loss=lambda logits, _: logits[:, 0], targets=1)
