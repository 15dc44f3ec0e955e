"""Where a detector rejects: a threshold taken from clean validation images, never from the test data."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FPR", "threshold_at_fpr"]

FPR = 0.05
"""The share of clean validation images that a defense may reject where no other is named."""


def threshold_at_fpr(clean_validation: NDArray[np.floating[Any]], fpr: float) -> float:
    """Find the smallest threshold that rejects at most ``fpr`` of the clean validation images.

    (N,) -> scalar.

    An image is rejected if its score is **>** the threshold, which is one of the scores. Tied images are
    accepted or rejected together, so with ties the share rejected can be well below ``fpr``, never above it.

    Args:
        clean_validation: NDArray[np.floating[Any]] of held-out clean images; never the test data's.
        fpr: In [0, 1]; 1 gives -inf.
    """
    if not 0 <= fpr <= 1:
        raise ValueError(f"expected fpr to be in [0, 1], got {fpr}")
    scores = np.asarray(clean_validation, dtype=np.float64)
    if scores.ndim != 1:
        raise ValueError(
            f"expected clean_validation to be one score per image, (N,), got shape {scores.shape}"
        )
    if wrong := int(np.isnan(scores).sum()):
        raise ValueError(f"expected clean_validation to be free of NaN, got {wrong} in {len(scores)} scores")
    falling = np.sort(scores)[::-1]
    if not (n := len(falling)):
        return np.nan
    # The largest k with k / n <= fpr; int(fpr * n) would round .29 * 100 down to 28.
    rejected = np.searchsorted(np.arange(n + 1) / n, fpr, side="right") - 1
    return float(np.append(falling, -np.inf)[rejected])
