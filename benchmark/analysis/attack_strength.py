"""Is the attack that should be stronger really stronger? Worst cases compared image by image, exactly."""

from collections.abc import Iterator, Sequence

from ..engine.inspection.finding import Finding
from .model_samples import Flags, ModelSamples, Outcome, attacked
from .verdict import more_often_than, weaker

__all__ = ["TOLERANCE", "Comparisons", "p_by_image", "p_together"]

TOLERANCE = 0.02
"""The share of images by which the stronger attack may be the weaker one without a verdict."""


class Comparisons:
    """Collects comparisons of a stronger with a weaker side on one model.

    Args:
        model: The model.
    """

    def __init__(self, model: ModelSamples) -> None:
        self._model = model
        self._found: list[tuple[float, float, str]] = []

    def together(
        self, stronger: Sequence[Outcome], weaker: Sequence[Outcome], strong_name: str, weak_name: str
    ) -> None:
        """Compare how many images both sides leave, over those that both attacked.

        Nothing where there are none.
        """
        if sides := self._sides(stronger, weaker):
            left, reference = sides
            told = f"{left.mean():.1%} robust under {strong_name}, {reference.mean():.1%} under {weak_name}"
            self._found.append((p_together(left, reference), reference.mean() - left.mean(), told))

    def by_image(
        self, stronger: Sequence[Outcome], weaker: Sequence[Outcome], strong_name: str, weak_name: str
    ) -> None:
        """Count the images that the stronger side leaves and the weaker does not, likewise."""
        if sides := self._sides(stronger, weaker):
            left, reference = sides
            missed = (left & ~reference).mean()
            told = f"{missed:.1%} of images withstand {strong_name}, and fall to {weak_name}"
            self._found.append((p_by_image(left, reference), -missed, told))

    def finding(self) -> Iterator[Finding]:
        """Tell the worst comparison, its p times how many there are (Bonferroni); nothing without any."""
        if self._found:
            p, _, told = min(self._found)
            yield Finding.statistical(min(1.0, len(self._found) * p), told)

    def _sides(self, stronger: Sequence[Outcome], weaker: Sequence[Outcome]) -> tuple[Flags, Flags] | None:
        both = attacked(self._model, stronger) & attacked(self._model, weaker)
        if not both.any():
            return None
        return self._model.robust(stronger)[both], self._model.robust(weaker)[both]


def p_together(left: Flags, reference: Flags) -> float:
    """Test whether more images are left than in the reference, (N,), (N,): McNemar's test, exactly.

    1 where they are more by no more than `TOLERANCE`.
    """
    more = int((left & ~reference).sum())
    fewer = int((reference & ~left).sum())
    return weaker(more, fewer) if more - fewer > TOLERANCE * len(left) else 1.0


def p_by_image(left: Flags, reference: Flags) -> float:
    """Test whether more than `TOLERANCE` of the images are left here alone, (N,), (N,): binomial, exactly."""
    return more_often_than(TOLERANCE, int((left & ~reference).sum()), len(left))
