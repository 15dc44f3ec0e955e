"""An entrant: a defense in a suite, with all that tells it from others."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from ...detectors.detector import Detector
from ...models.classifier import Classifier
from .guest.client import GuestClassifier, GuestDetector

__all__ = ["Entrant", "fresh"]


@dataclass(frozen=True)
class Entrant:
    """A defense in a suite.

    Args:
        name: On the leaderboard.
        loss: Groups the seeds of one recipe; a user's defense is a group of its own.
        seed: Of the training.
        fingerprint: sha256 of all that decides what it computes.
        classifier: In evaluation mode.
        detector: Its own, or None.
        recipe: Name of what it was trained by; "" where nothing tells.
        of_suite: Whether the suite names it; a user's defense meets every attack.
    """

    name: str
    loss: str
    seed: int
    fingerprint: str
    classifier: Classifier = field(repr=False)
    detector: Detector | None = None
    recipe: str = ""
    of_suite: bool = False


@contextmanager
def fresh(entrant: Entrant) -> Iterator[Entrant]:
    """Give the entrant with a process of its own that has answered nothing yet, if it is a guest at all."""
    classifier, detector = entrant.classifier, entrant.detector
    if not isinstance(classifier, GuestClassifier):
        yield entrant
        return
    guest = classifier.guest.another()
    guest.begin()
    if isinstance(detector, GuestDetector):
        detector = GuestDetector(guest).fitted_like(detector)
    try:
        yield replace(entrant, classifier=GuestClassifier(guest), detector=detector)
    finally:
        guest.close()
