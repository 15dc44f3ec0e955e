"""What attackers that know the detector share: the image they keep, and what they climb.

What counts is the image on the 8-bit grid: it must be wrong and accepted. So every pass of these attacks asks
about a rounded image: it judges a candidate and gives a gradient at once, while the image that the steps move
stays unrounded (the straight-through estimate of Bengio, Leonard, Courville, 2013, arXiv 1308.3432).
"""

from typing import Protocol

import torch
from torch import Tensor

from ...models.classifier import Outputs
from .known import KnownDetector
from .losses import Objective, margin
from .threat import grants
from .victim import AccessError, Victim

__all__ = ["Stealthiest", "acceptance", "known_detector", "score_of", "wrong_then_accepted"]


class _Reader(Protocol):
    """An attack that reads a detector's score."""

    @property
    def access(self) -> str: ...


def known_detector(victim: Victim, attack: _Reader) -> KnownDetector:
    """Give the detector that the threat model names.

    Raises:
        AccessError: It names none, or less access is granted than the attack needs.
    """
    name = type(attack).__name__
    if not grants(victim.access, attack.access):
        raise AccessError(
            f"expected access to be {attack.access} for {name}, which reads a detector's score, got "
            f"{victim.access}"
        )
    if victim.known is None:
        raise AccessError(
            f"expected a threat model that knows a detector for {name}, got none; name one in `knows`"
        )
    return victim.known


def score_of(outputs: Outputs) -> Tensor:
    """Give the known detector's score, (B,).

    Raises:
        AccessError: The victim does not tell it.
    """
    if outputs.score is None:
        raise AccessError("expected the outputs to carry a detector's score, got none")
    return outputs.score


def acceptance(outputs: Outputs, known: KnownDetector) -> Tensor:
    """Measure how far below the threshold the score lies, in spreads of the clean scores, (B,)."""
    return (known.threshold - score_of(outputs)) / known.scale


def wrong_then_accepted(known: KnownDetector, y: Tensor, target: Tensor | None = None) -> Objective:
    """Fix what to climb: the `margin` until the class is wrong, or the target, from then on the acceptance.

    Not their sum: detectors score under the predicted class, so that until the class changes their gradient
    leads back to the clean image, and weighs hundreds of times as much.
    """

    def climb(outputs: Outputs) -> Tensor:
        lead = margin(outputs, y, target)
        return torch.where(lead > 0, acceptance(outputs, known), lead)

    return climb


class Stealthiest:
    """Keeps each image's stealthiest candidate.

    One that is wrong before any other, then the one with the lowest score; of those that are not wrong, the
    one closest to it.

    Args:
        x: The clean images, kept until there is a candidate, (B, *S).
        y: True classes, (B,).

    Attributes:
        x: The candidates kept, (B, *S).
        wrong: Which of them are wrong, (B,).
        score: Their scores, infinite where they are not wrong, (B,).
    """

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x = x.clone()
        self.wrong = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        self.score = torch.full((len(x),), torch.inf, dtype=torch.float64, device=x.device)
        self._lead = torch.full_like(self.score, -torch.inf)
        self._y = y

    def update(self, candidate: Tensor, outputs: Outputs, rows: Tensor | None = None) -> Tensor:
        """Take the candidates that are better than what is kept, (b, *S).

        Args:
            candidate: Images on the grid.
            outputs: Of these.
            rows: Which of the B images they belong to, (b,); None for all, in order.

        Returns:
            Which were taken, (b,).
        """
        rows = torch.arange(len(self.x), device=self.x.device) if rows is None else rows
        y, kept = self._y[rows], self.wrong[rows]
        wrong, lead = outputs.predicted != y, margin(outputs, y).double()
        score = torch.where(wrong, score_of(outputs).double(), torch.inf)
        closer = torch.where(wrong, score < self.score[rows], lead > self._lead[rows])
        better = (wrong & ~kept) | ((wrong == kept) & closer)
        taken = rows[better]
        self.x[taken] = candidate[better]
        self.wrong[taken], self.score[taken], self._lead[taken] = wrong[better], score[better], lead[better]
        return better

    def accepted(self, known: KnownDetector) -> Tensor:
        """Tell which images are wrong and accepted already, (B,)."""
        return self.wrong & ~known.rejects(self.score)
