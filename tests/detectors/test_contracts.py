"""What every registered detector promises, on features whose classes are known Gaussians."""

import dataclasses

import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score

from gmbench.detectors import DETECTORS, Detector
from gmbench.models.classifier import Outputs

NAMES = list(DETECTORS)
D = 5


class World:
    """K unit Gaussians in D dimensions, all pairs equally far apart, and the classifier that knows them."""

    def __init__(self, classes=3, dtype=torch.float64, shift=0.0):
        self.classes, self.dtype, self.shift = classes, dtype, shift
        self.means = 8 * torch.eye(classes, D, dtype=dtype)

    def outputs(self, features):
        """Compute the Gaussian mixture's outputs; images are not needed."""
        log_likelihood = -(features.unsqueeze(1) - self.means).square().sum(2) / 2 + self.shift
        return Outputs(features.new_zeros(len(features), 0), features, log_likelihood, log_likelihood)

    def clean(self, count, seed):
        generator = torch.Generator().manual_seed(seed)
        y = torch.arange(count) % self.classes
        noise = torch.randn(count, D, generator=generator, dtype=torch.float64).to(self.dtype)
        return self.outputs(self.means[y] + noise), y

    def ray(self, lengths, source=0, target=1):
        """Leave a class's mean, at 0, for the border to another, at 1, and out of the space of the means."""
        away = 0.45 * (self.means[target] - self.means[source])
        away[-1] += 6
        return self.outputs(
            self.means[source] + torch.as_tensor(lengths, dtype=self.dtype).unsqueeze(1) * away
        )

    def fitted(self, name):
        return DETECTORS.build(name).fit(*self.clean(60 * self.classes, seed=0))


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


def learns(name):
    return type(DETECTORS.build(name)).learn is not Detector.learn


LEARNERS = [name for name in NAMES if learns(name)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("shift", [0.0, -2e4])
def test_suspicious_features_score_higher(name, classes, dtype, shift):
    world = World(classes, dtype, shift)
    detector = world.fitted(name)
    clean = detector.score(world.clean(100, seed=1)[0])
    far = detector.score(world.ray(torch.linspace(0.7, 1, 50)))
    assert clean.shape == (100,)
    assert far.shape == (50,)
    assert clean.dtype == far.dtype == dtype
    assert clean.isfinite().all()
    assert far.isfinite().all()
    labels = [0] * 100 + [1] * 50
    assert roc_auc_score(labels, torch.cat([clean, far]).numpy()) > 0.9


def test_score_grows_along_a_ray_away_from_the_class(name):
    world = World()
    scores = world.fitted(name).score(world.ray(torch.linspace(0.3, 1, 15)))
    assert (scores.diff() > 0).all()


def test_fit_returns_the_detector_and_leaves_its_configuration(name):
    world = World()
    detector = DETECTORS.build(name)
    before = detector.configuration()
    assert detector.fit(*world.clean(60, seed=0)) is detector
    assert detector.configuration() == before
    assert detector == DETECTORS.build(name, **before)
    assert repr(detector) == repr(DETECTORS.build(name))


def test_configuration_holds_nothing_learned(name):
    detector = DETECTORS.build(name)
    for field in dataclasses.fields(detector):
        assert field.init == (not field.name.endswith("_"))
        assert field.init or not (field.repr or field.compare)
    assert set(detector.configuration()) == {
        field.name for field in dataclasses.fields(detector) if field.init
    }


def test_sample_is_scored_by_itself(name):
    world = World()
    detector = world.fitted(name)
    outputs, _ = world.clean(30, seed=2)
    together = detector.score(outputs)
    alone = torch.cat([detector.score(outputs[i : i + 1]) for i in range(30)])
    halves = torch.cat([detector.score(outputs[:17]), detector.score(outputs[17:])])
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(alone, together, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(halves, together, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(detector.score(outputs[order]), together[order], rtol=1e-12, atol=1e-12)


def test_empty_batch_has_no_scores(name):
    world = World()
    outputs, _ = world.clean(3, seed=2)
    assert world.fitted(name).score(outputs[:0]).shape == (0,)


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


def test_second_fit_forgets_the_first_and_draws_nothing(name):
    world, other = World(), World()
    other.means = world.means * 3
    outputs, _ = world.clean(40, seed=1)
    detector = DETECTORS.build(name).fit(*other.clean(120, seed=3))
    state = torch.random.get_rng_state()
    scores = detector.fit(*world.clean(180, seed=0)).score(outputs)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(scores, world.fitted(name).score(outputs))
    assert torch.equal(scores, detector.score(outputs))


def test_float32_outputs_score_as_float64_ones(name):
    single, double = World(dtype=torch.float32), World()
    outputs = single.clean(50, seed=1)[0]
    exact = double.fitted(name).score(double.outputs(outputs.features.double()))
    torch.testing.assert_close(single.fitted(name).score(outputs).double(), exact, rtol=2e-5, atol=2e-5)


def test_differentiable_says_the_truth(name):
    world = World()
    detector = world.fitted(name)
    mixing = torch.randn(7, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    features = world.clean(6, seed=1)[0].features
    x = (features @ torch.linalg.pinv(mixing)).requires_grad_()
    score = lambda x: detector.score(world.outputs(x @ mixing))  # noqa: E731
    if not detector.differentiable:
        assert not score(x).requires_grad
        return
    assert torch.autograd.gradcheck(score, x)
    [gradient] = torch.autograd.grad(score(x).sum(), x)
    assert (gradient.norm(dim=1) > 0).all()


def test_fit_keeps_no_graph(name):
    world = World()
    train, y = world.clean(60, seed=0)
    features = train.features.requires_grad_()
    detector = DETECTORS.build(name).fit(world.outputs(features), y)
    assert not detector.score(world.clean(5, seed=1)[0]).requires_grad


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
def test_score_before_fit_says_so(learner):
    outputs, _ = World().clean(5, seed=1)
    with pytest.raises(
        NotFittedError,
        match=r"^expected .* to be fitted; call fit\(outputs, y\) with the training split first$",
    ):
        DETECTORS.build(learner).score(outputs)


@pytest.mark.parametrize("learner", LEARNERS)
def test_score_after_a_failed_fit_says_so(learner):
    world = World()
    detector = world.fitted(learner)
    train, y = world.clean(60, seed=0)
    with pytest.raises(ValueError, match="finite"):
        detector.fit(dataclasses.replace(train, features=train.features * torch.nan), y)
    with pytest.raises(NotFittedError):
        detector.score(train)


@pytest.mark.parametrize("learner", LEARNERS)
def test_other_classifier_than_in_fit_is_refused(learner):
    detector = World(3).fitted(learner)
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
    detector = world.fitted(name)
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
