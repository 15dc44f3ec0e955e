"""HopSkipJump against the linear model's exact answer, its budget, and beside foolbox's on the zoo."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gmbench.attacks import ATTACKS, SampleRandom, ThreatModel, Victim
from gmbench.attacks.core.examples import Examples
from gmbench.attacks.core.norms import NORMS
from gmbench.attacks.hopskipjump import HopSkipJump
from gmbench.models import Classifier

from .peers import Minimal, attack, measured

Build = Callable[..., tuple[Classifier, Tensor, Tensor]]
EACH = pytest.mark.parametrize("norm", ["Linf", "L2"])
DISTANCE = {"Linf": 0.04, "L2": 0.2}


def distance_to_its_boundary(
    classifier: Classifier, x: Tensor, y: Tensor, x_adv: Tensor, norm: str
) -> Tensor:
    """Give a linear model's exact distance from x to the boundary of the class that each x_adv is, (B,)."""
    other = classifier.outputs(x_adv).predicted
    x = x.clone().requires_grad_()
    logits = classifier(x)
    lead = (logits.gather(1, y.unsqueeze(1)) - logits.gather(1, other.unsqueeze(1))).squeeze(1)
    (normal,) = torch.autograd.grad(lead.sum(), x)
    return lead.detach() / NORMS[norm].slope(normal)


@EACH
@pytest.mark.parametrize("margin", [1e-2, 1e4])
def test_finds_the_nearest_point_of_a_linear_models_boundary(norm: str, margin: float, linear: Build) -> None:
    """A walk ends at the boundary where it began, which is not that of the nearest class for all."""
    classifier, x, y = linear(5, (1, 6, 6), norm, DISTANCE[norm], margin)
    x_adv = attack(HopSkipJump(5000), classifier, x, y, norm)
    found = measured(classifier, x, y, x_adv, norm)
    assert found.left == 0
    exact = distance_to_its_boundary(classifier, x, y, x_adv, norm)
    assert (found.size >= exact * (1 - 1e-9)).all()
    assert (found.size <= 1.02 * exact).all()
    assert (found.size <= 1.25 * DISTANCE[norm]).all()


@EACH
@pytest.mark.parametrize("target", range(4))
def test_finds_the_nearest_point_of_the_target_class(norm: str, target: int, linear: Build) -> None:
    """Of a linear model whose classes' axes are orthogonal: no third class lies on the way to that point."""
    classifier, x, y = linear(8, (1, 6, 6), norm, DISTANCE[norm])
    true = (target + 1) % 4
    own = Examples(*(part[(y == target) | (y == true)] for part in (x, y)))
    x, y = x[y == true], y[y == true]
    x_adv = attack(HopSkipJump(4000, targets=9), classifier, x, y, norm, examples=own)
    assert (classifier.outputs(x_adv).predicted == target).all()
    exact = distance_to_its_boundary(classifier, x, y, x_adv, norm)
    size = NORMS[norm].size(x_adv - x)
    assert (size >= exact * (1 - 1e-9)).all()
    assert (size <= 1.02 * exact).all()


@EACH
def test_every_target_is_walked_to_and_the_nearest_counts(norm: str, linear: Build) -> None:
    classifier, x, y = linear(5, (1, 6, 6), norm, DISTANCE[norm])
    own = Examples(*linear(8, (1, 6, 6), norm, DISTANCE[norm])[1:])
    x_adv = attack(HopSkipJump(9000, targets=3), classifier, x, y, norm, examples=own)
    assert (NORMS[norm].size(x_adv - x) <= 1.02 * DISTANCE[norm]).all()


def test_targets_need_examples_of_two_classes(linear: Build) -> None:
    classifier, x, y = linear(4, (1, 6, 6), "L2", 0.2)
    for own in (None, Examples(x, torch.zeros_like(y))):
        with pytest.raises(ValueError, match="expected examples of two classes for HopSkipJump with targets"):
            attack(HopSkipJump(targets=1), classifier, x, y, "L2", examples=own)


@EACH
def test_more_queries_find_no_larger_perturbation(norm: str, conv: Build) -> None:
    classifier, x, y = conv(4)
    few, more = (
        measured(classifier, x, y, attack(HopSkipJump(queries), classifier, x, y, norm), norm).size
        for queries in (300, 3000)
    )
    assert (more <= few).all()
    assert (more < 0.9 * few).any()


@EACH
@pytest.mark.parametrize("targets", [0, 2])
@pytest.mark.parametrize("queries", [1, 2, 5, 20, 133, 700])
def test_no_image_is_asked_about_more_than_its_budget(
    norm: str, queries: int, targets: int, conv: Build
) -> None:
    classifier, x, y = conv(4)
    own = Examples(x.clone(), y.clone())
    y[0] = (y[0] + 1) % 4  # wrong as it is: one query, and nothing changed
    with Victim(classifier, 4, "decision", examples=own) as victim:
        threat = ThreatModel(norm, math.inf, "decision")
        random = SampleRandom.of("t", torch.arange(4))
        x_adv = HopSkipJump(queries, probes=50, targets=targets)(victim, x, y, threat, random=random)
    assert victim.forwards[0] == 1
    assert torch.equal(x_adv[0], x[0])
    assert (victim.forwards <= queries).all()
    changed = (x_adv != x).flatten(1).any(1)
    assert torch.equal(classifier.outputs(x_adv[changed]).predicted != y[changed], changed[changed])
    if queries > 100 * max(1, targets):
        assert changed[1:].all()
    if queries > 100 and not targets:
        assert (victim.forwards[1:] > queries - 50 * 4 - 20).all()


class Mean(nn.Module):
    """Class 1 where the mean pixel is between .4 and .6, as of even noise; class 2 above, 0 below."""

    def forward(self, x: Tensor) -> Tensor:
        mean = x.flatten(1).mean(1)
        return torch.stack([0.4 - mean, torch.zeros_like(mean), mean - 0.6], 1)


def test_images_of_the_class_of_even_noise_have_a_start() -> None:
    classifier = Classifier(Mean(), nn.Identity()).double().eval()
    x = torch.full((3, 1, 16, 16), 0.5, dtype=torch.float64)
    y = torch.ones(3, dtype=torch.int64)
    found = measured(classifier, x, y, attack(HopSkipJump(2000), classifier, x, y, "Linf"), "Linf")
    assert found.left == 0
    assert (found.size < 0.15).all()  # .1, where all pixels move alike


def test_what_is_longer_than_eps_comes_back_clean(linear: Build) -> None:
    classifier, x, y = linear(5, (1, 6, 6), "L2", 0.2)
    free = attack(HopSkipJump(1000), classifier, x, y, "L2")
    assert torch.equal(attack(HopSkipJump(1000), classifier, x, y, "L2", 0.19), x)
    assert torch.equal(attack(HopSkipJump(1000), classifier, x, y, "L2", 1.0), free)


def beside_foolbox(classifier: Classifier, x: Tensor, y: Tensor, norm: str) -> tuple[Minimal, Minimal]:
    """Give both at about a thousand queries an image, on the images that are right when clean."""
    foolbox = pytest.importorskip("foolbox", reason="needs foolbox: pip install 'gmbench[perf]'")
    with torch.no_grad():
        right = classifier.outputs(x).predicted == y
    x, y, asked = x[right], y[right], [0]

    class Counted(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            asked[0] += len(images)
            logits: Tensor = classifier(images)
            return logits

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002  foolbox draws from it
        model = foolbox.PyTorchModel(Counted().eval(), bounds=(0, 1), device="cpu")
        theirs = foolbox.attacks.HopSkipJumpAttack(steps=5, constraint=norm.lower())
        other = theirs(model, x, y, epsilons=None)[0]
    queries = asked[0] // len(x)
    ours = attack(HopSkipJump(queries), classifier, x, y, norm)
    return measured(classifier, x, y, ours, norm), measured(classifier, x, y, other, norm)


@EACH
@pytest.mark.parametrize("name", ["digits-lgm-s0", "digits-softmax-s0"])
def test_perturbations_are_as_short_as_those_of_foolbox(name: str, norm: str, zoo: Build) -> None:
    ours, other = beside_foolbox(*zoo(name, 24), norm)
    assert ours.left == 0
    assert ours.mean <= 1.02 * other.mean


@EACH
@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist-softmax-s0", "mnist-lgm-s0"])
def test_perturbations_are_as_short_as_those_of_foolbox_on_mnist(name: str, norm: str, zoo: Build) -> None:
    ours, other = beside_foolbox(*zoo(name, 20), norm)
    assert ours.left <= other.left
    assert ours.mean <= 1.02 * other.mean


@pytest.mark.parametrize(("field", "least"), [("queries", 1), ("probes", 1), ("targets", 0)])
def test_a_field_out_of_range_is_named(field: str, least: int) -> None:
    with pytest.raises(ValueError, match=f"expected {field} to be at least {least}, got {least - 1}"):
        ATTACKS.build("hopskipjump", **{field: least - 1})
