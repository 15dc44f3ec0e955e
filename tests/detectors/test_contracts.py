"""What every registered detector promises, on features whose classes are known Gaussians."""

import dataclasses

import pytest
import torch

from gmbench.benchmark.contracts.detector import (
    World,
    check_alone,
    check_configuration,
    check_fit,
    check_gradients,
    check_restored,
    check_unfitted,
    check_world,
    fitted,
    learns,
)
from gmbench.detectors import DETECTORS

# What is told from features and logits alone. Those that ask for layers or for the model have tests of their
# own, as has non-me, which says nothing about two classes and trusts in a net that was trained for it.
NAMES = [
    name
    for name, kind in ((name, type(DETECTORS.build(name))) for name in DETECTORS)
    if not kind.layers and not kind.needs_model and name != "non-me" and not name.startswith("ood:")
]


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


LEARNERS = [name for name in NAMES if learns(DETECTORS.build(name))]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("shift", [0.0, -2e4])
def test_suspicious_features_score_higher(name, classes, dtype, shift):
    check_world(DETECTORS.build(name), classes, dtype, shift)


def test_score_grows_along_a_ray_away_from_the_class(name):
    world = World()
    scores = fitted(DETECTORS.build(name), world).score(world.ray(torch.linspace(0.3, 1, 15)))
    assert (scores.diff() > 0).all()


def test_repr_is_that_of_the_configuration(name):
    detector = DETECTORS.build(name)
    before = repr(detector)
    detector.fit(*World().clean(60, seed=0))
    assert repr(detector) == before


def test_configuration_builds_it_again_and_holds_nothing_learned(name):
    check_configuration(DETECTORS.build(name))


def test_sample_is_scored_by_itself(name):
    check_alone(DETECTORS.build(name))


def test_names_of_classes_do_not_matter(name):
    world, other = World(), World()
    other.means = world.means[[2, 0, 1]]
    outputs, _ = world.clean(40, seed=1)
    renamed = other.outputs(outputs.features)
    train, y = world.clean(120, seed=0)
    detector = DETECTORS.build(name).fit(other.outputs(train.features), torch.tensor([1, 2, 0])[y])
    expected = DETECTORS.build(name).fit(train, y).score(outputs)
    torch.testing.assert_close(detector.score(renamed), expected, rtol=1e-9, atol=1e-9)


def test_order_of_training_samples_does_not_matter(name):
    world = World()
    train, y = world.clean(120, seed=0)
    outputs, _ = world.clean(40, seed=1)
    order = torch.randperm(120, generator=torch.Generator().manual_seed(0))
    shuffled = DETECTORS.build(name).fit(train[order], y[order]).score(outputs)
    torch.testing.assert_close(
        shuffled, DETECTORS.build(name).fit(train, y).score(outputs), rtol=1e-9, atol=1e-9
    )


def test_second_fit_forgets_the_first_and_fit_draws_nothing_and_keeps_no_graph(name):
    check_fit(DETECTORS.build(name))


def test_what_was_learned_scores_to_the_bit_as_the_fit_did(name):
    assert fitted(DETECTORS.build(name), World()).learned() is not None
    check_restored(DETECTORS.build(name))


def test_float32_outputs_score_as_float64_ones(name):
    single, double = World(dtype=torch.float32), World()
    outputs = single.clean(50, seed=1)[0]
    exact = fitted(DETECTORS.build(name), double).score(double.outputs(outputs.features.double()))
    torch.testing.assert_close(
        fitted(DETECTORS.build(name), single).score(outputs).double(), exact, rtol=2e-5, atol=2e-5
    )


def test_differentiable_says_the_truth(name):
    check_gradients(DETECTORS.build(name))


def test_gradients_pass_after_a_fit_on_inference_outputs(name):
    world = World(dtype=torch.float32)
    with torch.inference_mode():
        train, y = world.clean(60, seed=0)
    detector = DETECTORS.build(name).fit(train, y)
    x = world.clean(5, seed=1)[0].features.requires_grad_()
    if detector.differentiable:
        detector.score(world.outputs(x)).sum().backward()
        assert x.grad.isfinite().all()


def test_features_in_a_subspace_score_finite(name):
    world = World()
    train, y = world.clean(90, seed=0)
    flat = train.features * torch.tensor([1, 1, 1, 0, 0])
    detector = DETECTORS.build(name).fit(world.outputs(flat), y)
    scores = detector.score(world.clean(20, seed=1)[0])
    assert scores.isfinite().all()


@pytest.mark.parametrize("learner", LEARNERS)
def test_score_before_fit_and_after_a_failed_one_says_so(learner):
    check_unfitted(DETECTORS.build(learner))


@pytest.mark.parametrize("learner", LEARNERS)
def test_other_classifier_than_in_fit_is_refused(learner):
    detector = fitted(DETECTORS.build(learner), World(3))
    with pytest.raises(ValueError, match="expected 5 features and 3 classes as in fit, got 5 and 2"):
        detector.score(World(2).clean(5, seed=1)[0])


def test_missing_class_is_named_or_harmless(name):
    world = World()
    train, y = world.clean(90, seed=0)
    detector = DETECTORS.build(name)
    try:
        detector.fit(train[y != 1], y[y != 1])
    except ValueError as error:
        assert "got 0 of class 1" in str(error)  # noqa: PT017 - to raise is one of two right answers
    else:
        assert detector.score(world.ray([0.0], source=1, target=2)).isfinite().all()


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (
            torch.zeros(8, dtype=torch.long),
            ValueError,
            r"expected one true class for each of 9 features and 9 logits, got y of shape \(8,\)",
        ),
        (torch.zeros(9, 1, dtype=torch.long), ValueError, r"got y of shape \(9, 1\)"),
        (torch.zeros(9), TypeError, "expected y to be integers, got torch.float32"),
        (torch.full((9,), 3), ValueError, "expected y to be in 0 to 2, got 3 to 3"),
        (torch.full((9,), -1), ValueError, "expected y to be in 0 to 2, got -1 to -1"),
    ],
)
def test_classes_that_do_not_fit_are_refused(name, y, error, message):
    outputs, _ = World().clean(9, seed=0)
    with pytest.raises(error, match=message):
        DETECTORS.build(name).fit(outputs, y)


def test_applies_says_whether_score_works_without_a_mixture(name):
    world = World()
    outputs = dataclasses.replace(world.clean(10, seed=1)[0], log_likelihood=None)
    detector = fitted(DETECTORS.build(name), world)
    assert detector.applies(world.clean(10, seed=1)[0])
    if detector.applies(outputs):
        assert torch.equal(detector.score(outputs), detector.score(world.clean(10, seed=1)[0]))
    else:
        with pytest.raises(ValueError, match="expected a classifier with a mixture"):
            detector.score(outputs)


def test_three_samples_per_class_are_enough(name):
    world = World()
    detector = DETECTORS.build(name).fit(*world.clean(9, seed=0))
    assert detector.score(world.clean(20, seed=1)[0]).isfinite().all()
