"""What a test split tells about a trained classifier beside its accuracy.

Calibration and the shape of its feature space.

* Interval of the accuracy: Wilson, "Probable inference, the law of succession, and statistical inference",
  JASA 22, 1927; it stays inside [0, 1] and has a width even where nothing was wrong.
* ECE: Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks", ICML 2017, arXiv 1706.04599,
  equation 3, 15 bins.
* Angles and distances of the class means: the symmetric feature space of the GM-loss paper, arXiv 2011.09066.
* Spread of the non-true softmax values: what the DR-softmax paper, arXiv 2303.12363, says decides robustness.

The class means are those of the *training* features, as every detector here has them; the images that are
measured are test images.
"""

from statistics import NormalDist
from typing import Annotated

import torch
from pydantic import AfterValidator, BaseModel, ConfigDict, FiniteFloat
from torch import Tensor
from torch.nn import functional

__all__ = [
    "Measurements",
    "angles",
    "calibration_error",
    "class_means",
    "mean_distances",
    "measure",
    "non_true_spread",
    "wilson_interval",
]

BINS = 15  # Guo et al., table 1


def _six_digits(value: float) -> float:
    """Leave out the digits that another machine's kernels would change."""
    return float(f"{value:.6g}")


Number = Annotated[FiniteFloat, AfterValidator(_six_digits)]


class Measurements(BaseModel):
    """What `measure` finds; six significant digits.

    Args:
        accuracy_low: Lower end of the 95 % Wilson interval of the test accuracy.
        accuracy_high: Its upper end.
        ece: Expected calibration error, in [0, 1].
        own_distance: Mean Euclidean distance of a test image's feature to the mean of its class.
        nearest_distance: Mean distance to the nearest mean of another class.
        angle_min: Smallest angle between two class means around the centre of all, in degrees.
        angle_mean: Mean over all pairs; the vertices of a simplex are all acos(-1 / (K - 1)) apart.
        angle_max: Largest.
        spread: Mean over the images of the variance of the softmax values of the K - 1 classes that are not
            the true one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    accuracy_low: Number
    accuracy_high: Number
    ece: Number
    own_distance: Number
    nearest_distance: Number
    angle_min: Number
    angle_mean: Number
    angle_max: Number
    spread: Number


def measure(features: Tensor, logits: Tensor, y: Tensor, means: Tensor) -> Measurements:
    """Measure a classifier on the test images, (N, D), (N, K), (N,), (K, D); computes in float64.

    Args:
        features: Of the test images.
        logits: Of the test images.
        y: True classes of the test images.
        means: See `class_means`; of the training features.

    Raises:
        ValueError: The shapes do not fit each other, or features or logits are not finite.
    """
    n, classes = logits.shape
    if len(features) != n or len(y) != n or means.shape != (classes, features.shape[1]):
        raise ValueError(
            "expected features (N, D), logits (N, K), y (N,), means (K, D) to fit each other, got "
            + ", ".join(str(tuple(tensor.shape)) for tensor in (features, logits, y, means))
        )
    features, logits, means = features.double(), logits.double(), means.double()
    low, high = wilson_interval(int((logits.argmax(1) == y).sum()), n)
    own, nearest = mean_distances(features, y, means)
    between = angles(means)
    return Measurements(
        accuracy_low=low,
        accuracy_high=high,
        ece=calibration_error(logits, y),
        own_distance=own,
        nearest_distance=nearest,
        angle_min=float(between.min()),
        angle_mean=float(between.mean()),
        angle_max=float(between.max()),
        spread=non_true_spread(logits, y),
    )


def class_means(features: Tensor, y: Tensor, classes: int) -> Tensor:
    """Compute each class's mean feature, (N, D), (N,) -> (K, D), in float64.

    Raises:
        ValueError: A class has no image.
    """
    members = functional.one_hot(y, classes).double()  # (N, K)
    count = members.sum(0)
    if (count == 0).any():
        raise ValueError(f"expected every class to have an image, got none of class {int(count.argmin())}")
    return members.T @ features.double() / count.unsqueeze(1)


def wilson_interval(right: int, of: int, level: float = 0.95) -> tuple[float, float]:
    """Compute the interval of a share, ``right`` of ``of`` >= 1 -> low, high.

    All p with |p_hat - p| <= z sqrt(p (1 - p) / n).
    """
    if not 0 <= right <= of or of < 1:
        raise ValueError(f"expected right to be in [0, of] and of to be at least 1, got {right} of {of}")
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, z2 = right / of, z * z / of
    middle, half = share + z2 / 2, (z2 * (share * (1 - share) + z2 / 4)) ** 0.5
    # The clamps matter only to the last bit, where all or nothing is right.
    return max(0.0, (middle - half) / (1 + z2)), min(1.0, (middle + half) / (1 + z2))


def calibration_error(logits: Tensor, y: Tensor, bins: int = BINS) -> float:
    """Compute sum_bins |B| / N |accuracy(B) - confidence(B)|.

    (N, K), (N,) -> scalar; the bins ((m - 1) / M, m / M] have equal widths.
    """
    confidence, predicted = logits.double().softmax(1).max(1)
    upper_ends = torch.arange(1, bins, dtype=torch.float64, device=logits.device) / bins
    place = torch.bucketize(confidence, upper_ends)  # at an upper end: the bin that it ends
    gap = (predicted == y).double() - confidence
    return float(gap.new_zeros(bins).index_add_(0, place, gap).abs().sum()) / len(y)


def mean_distances(features: Tensor, y: Tensor, means: Tensor) -> tuple[float, float]:
    """Compute the mean distances to the own class's mean and to the nearest other one.

    (N, D), (N,), (K, D) -> own, nearest other.
    """
    # Not by |f|^2 - 2 f mu + |mu|^2, which cdist takes for many rows: it cancels where features lie close to
    # their means.
    distances = torch.cdist(features, means, compute_mode="donot_use_mm_for_euclid_dist")  # (N, K)
    own = distances.gather(1, y.unsqueeze(1))
    others = distances.scatter(1, y.unsqueeze(1), torch.inf)
    return float(own.mean()), float(others.amin(1).mean())


def angles(means: Tensor) -> Tensor:
    """Compute the angles in degrees between every two of the class means, seen from their common centre.

    (K, D) -> (K (K - 1) / 2,).
    """
    directions = means - means.mean(0)
    lengths = directions.norm(dim=1)
    cosines = directions @ directions.T / torch.outer(lengths, lengths)
    first, second = torch.triu_indices(len(means), len(means), 1, device=means.device)
    return cosines[first, second].clamp(-1, 1).arccos().rad2deg()


def non_true_spread(logits: Tensor, y: Tensor) -> float:
    """Compute the mean over images of the variance over the K - 1 non-true softmax values, divided by K - 1.

    (N, K), (N,) -> scalar.
    """
    non_true = ~functional.one_hot(y, logits.shape[1]).bool()
    values = logits.double().softmax(1)[non_true].view(len(y), -1)  # (N, K - 1)
    return float(values.var(1, correction=0).mean())
