"""FMN against the linear model's exact answer, and beside adv-lib's FMN on the zoo's models."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gmbench.attacks import ATTACKS, SampleRandom, ThreatModel, Victim
from gmbench.attacks.fmn import FMN
from gmbench.models import Classifier

from .peers import Minimal, attack, measured

Build = Callable[..., tuple[Classifier, Tensor, Tensor]]
EACH = pytest.mark.parametrize("norm", ["Linf", "L2"])
DISTANCE = {"Linf": 0.04, "L2": 0.2}


@EACH
@pytest.mark.parametrize("margin", [1e-2, 10.0, 1e4])
@pytest.mark.parametrize("batch", [1, 5])
def test_finds_the_nearest_boundary_of_a_linear_model(
    norm: str, batch: int, margin: float, linear: Build
) -> None:
    exact = DISTANCE[norm]
    classifier, x, y = linear(batch, (1, 12, 12), norm, exact, margin)
    found = measured(classifier, x, y, attack(FMN(), classifier, x, y, norm), norm)
    assert found.left == 0
    assert (found.size >= exact).all()
    assert (found.size <= 1.01 * exact).all()


@EACH
def test_all_targets_together_find_the_nearest_boundary(norm: str, linear: Build) -> None:
    exact = DISTANCE[norm]
    classifier, x, y = linear(5, (1, 12, 12), norm, exact)
    for targets in (1, 3):  # the likeliest wrong class of this model is the nearest
        x_adv = attack(FMN(targets=targets), classifier, x, y, norm)
        assert (measured(classifier, x, y, x_adv, norm).size <= 1.01 * exact).all()


@EACH
def test_wrong_images_cost_one_pass_and_the_rest_what_is_promised(norm: str, linear: Build) -> None:
    classifier, x, y = linear(4, (1, 6, 6), norm, DISTANCE[norm])
    y[0] = (y[0] + 1) % 4
    for built in (FMN(steps=20), FMN(steps=20, targets=2)):
        with Victim(classifier, 4) as victim:
            threat, random = ThreatModel(norm, math.inf), SampleRandom.of("t", torch.arange(4))
            x_adv = built(victim, x, y, threat, random=random)
        assert torch.equal(x_adv[0], x[0])
        assert (victim.forwards[0], victim.backwards[0]) == (1, 0)
        assert {(int(f), int(b)) for f, b in zip(victim.forwards[1:], victim.backwards[1:], strict=True)} == {
            built.passes()
        }


@EACH
def test_what_is_longer_than_eps_comes_back_clean(norm: str, linear: Build) -> None:
    classifier, x, y = linear(5, (1, 6, 6), norm, DISTANCE[norm])
    free = attack(FMN(), classifier, x, y, norm)
    assert torch.equal(attack(FMN(), classifier, x, y, norm, 0.95 * DISTANCE[norm]), x)
    assert torch.equal(attack(FMN(), classifier, x, y, norm, 1.5 * DISTANCE[norm]), free)


def test_a_model_without_gradients_gives_back_the_clean_image(conv: Build) -> None:
    classifier, x, y = conv(4)
    for parameter in classifier.parameters():
        parameter.data.zero_()
    y[:] = classifier.outputs(x).predicted
    assert torch.equal(attack(FMN(steps=5), classifier, x, y, "Linf"), x)


def beside_adv_lib(classifier: Classifier, x: Tensor, y: Tensor, norm: str, steps: int) -> list[Minimal]:
    theirs = pytest.importorskip("adv_lib.attacks", reason="needs adv-lib: pip install 'gmbench[perf]'")
    proposals = (
        attack(FMN(steps=steps), classifier, x, y, norm),
        theirs.fmn(classifier, x, y, float(norm.removeprefix("L")), steps=steps),
    )
    return [measured(classifier, x, y, x_adv, norm) for x_adv in proposals]


def assert_as_strong(ours: Minimal, other: Minimal) -> None:
    """It leaves no more images, and is as near on those that both fooled."""
    assert ours.left <= other.left
    both = ours.size.isfinite() & other.size.isfinite()
    assert ours.size[both].mean() <= 1.02 * other.size[both].mean()


@EACH
@pytest.mark.parametrize("name", ["digits-lgm-s0", "digits-softmax-s0"])
def test_perturbations_are_as_short_as_those_of_adv_lib(name: str, norm: str, zoo: Build) -> None:
    classifier, x, y = zoo(name, 64)
    ours, other = beside_adv_lib(classifier, x, y, norm, 50)
    assert ours.left == 0  # adv-lib's leaves some in L2: see the module's docstring
    assert_as_strong(ours, other)


@EACH
@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist-softmax-s0", "mnist-lgm-s0"])
def test_it_is_as_strong_as_that_of_adv_lib_on_mnist(name: str, norm: str, zoo: Build) -> None:
    classifier, x, y = zoo(name, 40)
    assert_as_strong(*beside_adv_lib(classifier, x, y, norm, 100))


@pytest.mark.parametrize(
    ("field", "value"),
    [("steps", 0), ("step", 0.0), ("last_step", 2.0), ("gamma", 1.0), ("last_gamma", 0.0), ("targets", -1)],
)
def test_a_field_out_of_range_is_named(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"expected {field} to be .*, got {value}"):
        ATTACKS.build("fmn", **{field: value})
