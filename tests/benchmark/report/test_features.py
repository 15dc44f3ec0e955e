"""What a plan's models say of images: gathered from the models and the store, attacking nothing."""

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
import torch
from torch import nn

from gmbench.benchmark.data.image_set import ImageSet
from gmbench.benchmark.engine.cell import run_cell
from gmbench.benchmark.engine.defense import Entrant
from gmbench.benchmark.engine.plan import Job, Plan
from gmbench.benchmark.engine.scoring import Fitting, detectors_for
from gmbench.benchmark.engine.store import Store
from gmbench.benchmark.engine.suite import Suite, plan_cells
from gmbench.benchmark.report import writer as report
from gmbench.benchmark.report.features import gather
from gmbench.benchmark.report.publish import is_published, publish
from gmbench.models import HEADS, Classifier

from ..filled import fill_scores

EPS = 0.1


class TwoPixels(nn.Module):
    """Features are the first pixels of an image, as many as ``dimensions``, times 10."""

    def __init__(self, dimensions):
        super().__init__()
        self.dimensions = dimensions

    def forward(self, x):
        return 10 * x.flatten(1)[:, : self.dimensions]


def make_images(split, n, first):
    """Make three classes of 2 x 2 images, apart from each other by .3 in the first two pixels."""
    rng = np.random.default_rng(first)
    y = np.arange(n) % 3
    corners = np.array([[60, 60], [140, 60], [60, 140]])
    x = np.full((n, 1, 2, 2), 128)
    x.reshape(n, 4)[:, :2] = corners[y] + rng.integers(-5, 6, (n, 2))
    return ImageSet.of(
        "pixels",
        split,
        torch.tensor(x, dtype=torch.uint8),
        torch.tensor(y),
        torch.arange(first, first + n),
        3,
    )


def entrant(loss, dimensions, data):
    head = HEADS.build(loss, features=dimensions, classes=3)
    means = torch.stack([10 * data.images().flatten(1)[data.y == k].mean(0)[:dimensions] for k in range(3)])
    with torch.no_grad():
        if loss == "softmax":  # the same decisions as by the nearest mean
            head.linear.weight.copy_(means)
            head.linear.bias.copy_(-means.square().sum(1) / 2)
        else:
            head.means.copy_(means)
    return Entrant(
        f"{loss}-{dimensions}d",
        loss,
        int((loss, dimensions) != ("lgm", 2)),
        f"{loss}{dimensions}",
        Classifier(TwoPixels(dimensions), head).eval(),
        of_suite=True,
    )


@pytest.fixture(scope="module")
def plan():
    data = {
        "train": make_images("train", 60, 0),
        "validation": make_images("validation", 9, 100),
        "test": make_images("test", 30, 200),
    }
    attacks = (
        {"label": "fgsm", "attack": "fgsm", "eps": (EPS, 0.4)},
        {"label": "blind", "attack": "pgd", "eps": (EPS,), "access": "transfer", "options": {"steps": 2}},
        {"label": "weak", "attack": "pgd", "eps": (EPS,), "options": {"steps": 1}, "seeds": (0,)},
    )
    suite = Suite(
        name="pixels-v1", data="pixels", samples=24, batch=10, models=(), detectors=("msp",), attacks=attacks
    )
    entrants = [
        entrant("lgm", 2, data["train"]),
        entrant("softmax", 2, data["train"]),
        entrant("lgm", 4, data["train"]),
    ]
    jobs = tuple(
        Job(
            one,
            plan_cells(suite, one, entrants[0], data["test"], data["validation"], "cpu"),
            detectors_for(suite.detectors, one, data["test"]),
        )
        for one in entrants
    )
    return Plan(suite, "cpu", entrants[0], MappingProxyType(data), jobs)


def job_of(plan, name):
    return next(job for job in plan.jobs if job.entrant.name == name)


@pytest.fixture(scope="module")
def store(plan, tmp_path_factory):
    place = Store(tmp_path_factory.mktemp("store"))
    for job in plan.jobs:
        for cell in job.cells:
            place.write(run_cell(cell, job.entrant, plan.surrogate, plan.data[cell.split]))
        fill_scores(Fitting(job.entrant, job.detectors, plan.data["train"]), job.cells, place, plan.data)
    return place


@pytest.fixture(scope="module")
def gathered(plan, store):
    return {model.name: model for model in gather(plan, store, {"Linf": EPS})[0]}


def test_models_of_two_dimensions_have_a_picture(gathered):
    assert [name for name, model in gathered.items() if model.plane] == ["lgm-2d", "softmax-2d"]
    assert gathered["lgm-2d"].plane.title == "L-GM, alpha = 1"
    assert gathered["softmax-2d"].plane.title == "softmax"


def test_the_picture_holds_the_training_features_and_their_means(plan, gathered):
    plane, train = gathered["lgm-2d"].plane, plan.data["train"]
    expected = 10 * train.images().flatten(1)[:, :2].numpy()
    np.testing.assert_allclose(plane.features, expected)
    assert plane.labels.tolist() == train.y.tolist()
    for label, mean in enumerate(plane.means):
        np.testing.assert_allclose(mean, expected[plane.labels == label].mean(0), rtol=1e-6)


def test_the_picture_holds_the_stored_images_of_the_attack_that_all_met(plan, store, gathered):
    """PGD is preferred, but only one model of two dimensions met it as a white-box attack.

    FGSM, and at the middle eps.
    """
    for name in ("lgm-2d", "softmax-2d"):
        plane = gathered[name].plane
        assert plane.attack == "fgsm, ε = 0.1"
        (cell,) = [
            cell for cell in job_of(plan, name).cells if cell.label == "fgsm" and cell.threat.eps == EPS
        ]
        entry = store.read(cell.description)
        np.testing.assert_allclose(plane.adversarial, 10 * entry.images.flatten(1)[:, :2].numpy())
        assert plane.adversarial_labels.tolist() == entry.table["label"].tolist()  # all are right when clean
        assert plane.fooled.tolist() == entry.table["success"].tolist()
        assert len(plane.adversarial) == 24


def test_the_landscape_is_the_models_own(gathered):
    for name, kind in (("lgm-2d", "likelihood"), ("softmax-2d", "softmax")):
        plane = gathered[name].plane
        left, right, bottom, top = plane.landscape.window
        rows, columns = plane.landscape.values.shape
        row, column = 17, 203
        place = np.array(
            [left + (right - left) * (column + 0.5) / columns, bottom + (top - bottom) * (row + 0.5) / rows]
        )
        likelihoods = -((place - plane.means) ** 2).sum(1) / 2
        expected = (
            likelihoods.max()
            if kind == "likelihood"
            else np.exp(likelihoods.max()) / np.exp(likelihoods).sum()
        )
        assert plane.landscape.kind == kind
        assert plane.landscape.values[row, column] == pytest.approx(expected, rel=1e-3)
        every = np.concatenate([plane.features, plane.adversarial])
        assert ((every > [left, bottom]) & (every < [right, top])).all()


def test_distances_are_in_units_of_the_classes_width(plan, gathered):
    features = 10 * plan.data["train"].images().flatten(1).numpy()
    y = plan.data["train"].y.numpy()
    means = np.stack([features[y == k].mean(0) for k in range(3)])
    within = np.linalg.norm(features - means[y], axis=1).mean()
    found = gathered["lgm-4d"].symmetry
    assert found.ratios == pytest.approx(
        [np.linalg.norm(means[a] - means[b]) / within for a, b in ((0, 1), (0, 2), (1, 2))]
    )
    assert found.dimensions == 4


def test_spread_is_over_test_images_that_are_right(plan, gathered):
    """By hand: the variance of the two non-true values a and b is (a - b)^2 / 4."""
    model, test = plan.jobs[1].entrant.classifier, plan.data["test"].head(24)
    values = model(test.images()).double().softmax(1).detach().numpy()
    terms = []
    for row, y in zip(values, test.y.tolist(), strict=True):
        if row.argmax() == y:
            a, b = np.delete(row, y)
            terms.append((a - b) ** 2 / 4)
    assert gathered["softmax-2d"].spread == pytest.approx(np.mean(terms), rel=1e-4)


@pytest.mark.stored
def test_images_that_are_wrong_have_no_part_in_the_spread(plan, store):
    swapped = ImageSet.of(
        "pixels", "test", plan.data["test"].x, 2 - plan.data["test"].y, plan.data["test"].ids, 3
    )
    job = plan.jobs[1]
    model = job.entrant.classifier
    right = swapped.y[:24] == 1  # classes 0 and 2 have changed places
    a, b = (model(swapped.images()[:24][right]).double().softmax(1).detach().numpy()[:, k] for k in (0, 2))
    other = replace(plan, data={**plan.data, "test": swapped}, jobs=(replace(job, cells=()),))
    ((found,), _) = gather(other, store, {"Linf": EPS})
    assert found.spread == pytest.approx(((a - b) ** 2 / 4).mean(), rel=1e-4)
    assert found.plane.attack == ""


def test_a_model_whose_features_are_not_finite_or_a_missing_class_stops_nothing(plan, store):
    class Broken(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :2] / 0

    broken = Entrant(
        "broken", "lgm", 0, "b", Classifier(Broken(), HEADS.build("lgm", features=2, classes=3)).eval()
    )
    few = plan.data["train"].head(2)
    for one, train in ((broken, plan.data["train"]), (plan.jobs[0].entrant, few)):
        other = replace(plan, data={**plan.data, "train": train}, jobs=(Job(one, (), {}),))
        ((found,), _) = gather(other, store, {})
        assert (found.symmetry, found.plane) == (None, None)
    assert np.isnan(gather(replace(plan, jobs=(Job(broken, (), {}),)), store, {})[0][0].spread)


def test_a_report_without_the_feature_space_is_no_whole_one(plan, store, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "_figures", lambda *_: iter(()))  # the other figures take seconds
    folder = tmp_path / "pixels-v1"
    publish(plan, store, folder, resamples=3, features=False)
    assert not is_published(plan, store, folder)  # the next run draws them
    assert not (folder / "figures" / "means.png").exists()
    publish(plan, store, folder, resamples=3)
    assert is_published(plan, store, folder)
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "## Feature space" in text
    for name in ("features", "means"):
        assert f"(figures/{name}.png)" in text
        assert (folder / "figures" / f"{name}.svg").exists()
    assert not (folder / "figures" / "spread.png").exists()  # three models
    *others, last = plan.jobs
    retrained = replace(last, entrant=replace(last.entrant, fingerprint="retrained"))
    other = replace(plan, jobs=(*others, retrained))
    assert not is_published(other, store, folder)
