"""Every measurement against a closed form, a published value or a loop that does the same the slow way."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from gmbench.models.measurements import (
    Measurements,
    angles,
    calibration_error,
    class_means,
    mean_distances,
    measure,
    non_true_spread,
    wilson_interval,
)


def drawn(
    n: int = 60, features: int = 5, classes: int = 4, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % classes
    f = torch.randn(n, features, generator=generator, dtype=torch.float64)
    logits = 2 * torch.randn(n, classes, generator=generator, dtype=torch.float64)
    return f, logits, y, class_means(f, y, classes)


@pytest.mark.parametrize(
    ("right", "of", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_is_the_published_one(right: int, of: int, low: float, high: float) -> None:
    """Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17, 1998.

    Table I, method 3.
    """
    assert wilson_interval(right, of) == pytest.approx((low, high), abs=5e-5)
    assert wilson_interval(of - right, of) == pytest.approx((1 - high, 1 - low), abs=5e-5)


@pytest.mark.parametrize("right", [0, 1, 9970, 10_000])
def test_wilson_interval_solves_its_equation(right: int) -> None:
    z = 1.959963984540054
    for end in wilson_interval(right, 10_000):
        assert 0 <= end <= 1
        assert abs(right / 10_000 - end) == pytest.approx(z * math.sqrt(end * (1 - end) / 10_000), abs=1e-9)


@pytest.mark.parametrize(("right", "of"), [(1, 0), (3, 2), (-1, 2)])
def test_an_impossible_share_is_refused(right: int, of: int) -> None:
    with pytest.raises(ValueError, match=rf"got {right} of {of}"):
        wilson_interval(right, of)


def test_calibration_error_of_a_hand_example() -> None:
    """Two bins: (.5, 1] holds .9 right, .9 wrong, .6 wrong; (0, .5] holds .4 right."""
    p = torch.tensor(
        [[0.9, 0.05, 0.05], [0.9, 0.05, 0.05], [0.2, 0.6, 0.2], [0.3, 0.3, 0.4]], dtype=torch.float64
    )
    y = torch.tensor([0, 1, 0, 2])
    expected = (abs(1 - (0.9 + 0.9 + 0.6)) + abs(1 - 0.4)) / 4
    assert calibration_error(p.log(), y, bins=2) == pytest.approx(expected, abs=1e-12)
    assert calibration_error(p.log(), y, bins=1) == pytest.approx(abs(2 - 2.8) / 4, abs=1e-12)
    # a shift of the logits says nothing
    assert calibration_error(p.log() - 1e4, y, bins=2) == pytest.approx(expected, abs=1e-9)


def test_calibration_error_is_that_of_a_loop() -> None:
    _, logits, y, _ = drawn(500)
    confidence, predicted = logits.softmax(1).max(1)
    total = 0.0
    for place in range(15):
        inside = (confidence > place / 15) & (confidence <= (place + 1) / 15)
        if inside.any():
            gap = (predicted == y)[inside].double().mean() - confidence[inside].mean()
            total += float(inside.double().mean() * gap.abs())
    assert calibration_error(logits, y) == pytest.approx(total, abs=1e-12)


def test_calibration_error_of_certainty() -> None:
    logits = torch.tensor([[1e4, 0.0], [1e4, 0.0], [0.0, 1e4], [0.0, 1e4]])
    assert calibration_error(logits, torch.tensor([0, 0, 1, 1])) == 0
    assert calibration_error(logits, torch.tensor([0, 1, 1, 1])) == 0.25
    assert calibration_error(logits, torch.tensor([1, 1, 0, 0])) == 1


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_angles_of_a_simplex(classes: int) -> None:
    """Unit vectors, seen from their centre, are one; so are they after a shift and a scale."""
    simplex = 7 * torch.eye(classes, classes + 2, dtype=torch.float64) + 100
    found = angles(simplex)
    assert found.shape == (classes * (classes - 1) // 2,)
    assert found.tolist() == pytest.approx(
        [math.degrees(math.acos(-1 / (classes - 1)))] * len(found), abs=1e-4
    )


def test_angles_of_a_square() -> None:
    square = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]], dtype=torch.float64)
    assert sorted(angles(square + 3).tolist()) == pytest.approx([90, 90, 90, 90, 180, 180], abs=1e-4)


def test_class_means_and_distances_by_hand() -> None:
    features = torch.tensor([[0.0, 0.0], [2.0, 0.0], [10.0, 0.0], [10.0, 4.0]])
    y = torch.tensor([0, 0, 1, 1])
    means = class_means(features, y, 2)
    assert means.tolist() == [[1, 0], [10, 2]]
    own, nearest = mean_distances(features.double(), y, means)
    assert own == pytest.approx((1 + 1 + 2 + 2) / 4)
    assert nearest == pytest.approx((math.hypot(10, 2) + math.hypot(8, 2) + 9 + math.hypot(9, 4)) / 4)


def test_the_nearest_other_mean_is_never_the_own() -> None:
    features, _, y, means = drawn()
    own = nearest = 0.0
    for f, label in zip(features, y.tolist(), strict=True):
        distances = [math.dist(f.tolist(), mean.tolist()) for mean in means]
        own += distances.pop(label) / len(y)
        nearest += min(distances) / len(y)
    assert mean_distances(features, y, means) == pytest.approx((own, nearest), rel=1e-12)


def test_small_distances_far_from_the_origin_are_exact() -> None:
    """|f|^2 - 2 f mu + |mu|^2 would be all rounding here; many rows, for which torch would take it."""
    means = torch.tensor([[1e8, 0.0], [1e8, 4.0]], dtype=torch.float64)
    y = torch.arange(100) % 2
    assert mean_distances(means[y] + torch.tensor([3.0, 0.0]), y, means) == pytest.approx((3, 5), rel=1e-9)


def test_spread_of_the_non_true_softmax_values() -> None:
    p = torch.tensor([[0.7, 0.2, 0.1], [0.4, 0.2, 0.4]], dtype=torch.float64)
    assert non_true_spread(p.log(), torch.tensor([0, 1])) == pytest.approx((0.05**2 + 0) / 2, abs=1e-12)
    assert non_true_spread(p.log(), torch.tensor([1, 2])) == pytest.approx((0.3**2 + 0.1**2) / 2, abs=1e-12)


def test_a_class_without_an_image_is_named() -> None:
    with pytest.raises(ValueError, match="got none of class 2"):
        class_means(torch.zeros(3, 2), torch.tensor([0, 1, 3]), 4)


def test_measure_puts_each_number_in_its_place() -> None:
    features, logits, y, means = drawn()
    found = measure(features, logits, y, means)
    right = int((logits.argmax(1) == y).sum())
    between = angles(means)
    expected = {
        **dict(zip(("accuracy_low", "accuracy_high"), wilson_interval(right, len(y)), strict=True)),
        "ece": calibration_error(logits, y),
        **dict(zip(("own_distance", "nearest_distance"), mean_distances(features, y, means), strict=True)),
        "angle_min": min(between.tolist()),
        "angle_mean": sum(between.tolist()) / len(between),
        "angle_max": max(between.tolist()),
        "spread": non_true_spread(logits, y),
    }
    assert found.model_dump() == pytest.approx(expected, rel=1e-5)
    assert 0 < right < len(y)
    assert all(float(f"{value:.6g}") == value for value in found.model_dump().values())
    assert Measurements.model_validate_json(found.model_dump_json()) == found


def test_float32_gives_the_same_numbers() -> None:
    single = measure(*(tensor.float() if tensor.is_floating_point() else tensor for tensor in drawn()))
    assert single.model_dump() == pytest.approx(measure(*drawn()).model_dump(), rel=1e-5)


def test_shapes_that_do_not_fit_are_refused() -> None:
    features, logits, y, means = drawn()
    for wrong in (
        (features[1:], logits, y, means),
        (features, logits, y[1:], means),
        (features, logits, y, means[:3]),
    ):
        with pytest.raises(ValueError, match="to fit each other, got "):
            measure(*wrong)


def test_what_is_not_finite_never_reaches_a_card() -> None:
    features, logits, y, means = drawn()
    features[3, 1] = math.nan
    with pytest.raises(ValidationError, match="own_distance"):
        measure(features, logits, y, means)
