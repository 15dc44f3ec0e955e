"""Is the attack that should be stronger really stronger? Worst cases compared image by image.

And what chance allows.
"""

from collections.abc import Sequence

import numpy as np

from .model_samples import Flags, ModelSamples, Outcome, attacked

__all__ = ["TOLERANCE", "Comparisons", "exceeds"]

TOLERANCE = 0.02
"""The share of images by which the stronger attack may be the weaker one without a verdict."""


class Comparisons:
    """Collects comparisons of a stronger with a weaker side on one model.

    The one where the stronger side does worst is told.

    Args:
        model: The model.
    """

    def __init__(self, model: ModelSamples) -> None:
        self._model = model
        self._found: list[tuple[bool, float, str]] = []

    def add(
        self, stronger: Sequence[Outcome], weaker: Sequence[Outcome], strong_name: str, weak_name: str
    ) -> None:
        """Compare the worst cases of both sides over the images that both attacked.

        Nothing where there are none.
        """
        both = attacked(self._model, stronger) & attacked(self._model, weaker)
        if not both.any():
            return
        left, reference = self._model.robust(stronger)[both], self._model.robust(weaker)[both]
        told = f"{left.mean():.1%} robust under {strong_name}, {reference.mean():.1%} under {weak_name}"
        self._found.append((exceeds(left, reference), left.mean() - reference.mean(), told))

    @property
    def worst(self) -> tuple[bool, str] | None:
        """Whether all comparisons hold, and what the worst one says.

        None where there was nothing to compare.
        """
        if not self._found:
            return None
        fails, _, told = max(self._found)
        return not fails, told


def exceeds(left: Flags, reference: Flags) -> bool:
    """Tell whether more images are left than in the reference beyond chance, (N,), (N,).

    The same images in both.

    Beyond chance is by more than `TOLERANCE` and by more than two standard errors of the paired difference.
    """
    difference = left.astype(np.float64) - reference
    return bool(difference.mean() > max(TOLERANCE, 2 * difference.std() / np.sqrt(len(difference))))
