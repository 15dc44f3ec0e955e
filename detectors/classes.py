"""What detectors that keep one density per class share.

The training features by class, and the score under the predicted class.
"""

from collections.abc import Callable

from torch import Tensor

from ..models.classifier import Outputs

__all__ = ["class_features", "score_predicted"]


def class_features(outputs: Outputs, y: Tensor, at_least: int = 1) -> list[Tensor]:
    """Sort the features by true class, (N, D), (N,) -> K tensors (n_k, D) in float64 and without a graph.

    Args:
        outputs: Of the training split.
        y: True classes, (N,).
        at_least: The samples that each class needs.

    Raises:
        ValueError: A class has fewer, or a feature is not finite.
    """
    features = outputs.features.detach().double()
    if broken := int((~features.isfinite().all(1)).sum()):
        raise ValueError(f"expected finite training features, got {broken} samples with NaN or infinity")
    groups = [features[y.to(features.device) == k] for k in range(outputs.logits.shape[1])]
    for k, group in enumerate(groups):
        if len(group) < at_least:
            raise ValueError(
                f"expected the training samples of each class to be at least {at_least}, got {len(group)} of "
                f"class {k}"
            )
    return groups


def score_predicted(outputs: Outputs, score: Callable[[Tensor, int], Tensor]) -> Tensor:
    """Score every sample under the class that is predicted for it, (B, D) -> (B,).

    Args:
        outputs: Of the samples.
        score: Scores features (b, D) in float64 under one class, -> (b,).
    """
    features = outputs.features.double()
    predicted = outputs.predicted
    scores = features.new_zeros(len(features))
    for k in predicted.unique().tolist():
        rows = (predicted == k).nonzero().squeeze(1)
        scores = scores.index_copy(0, rows, score(features[rows], k))
    return scores.to(outputs.features.dtype)
