"""A verdict: what the checks of a model say together of its numbers, and what chance allows them.

Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979:
of all statistical checks of one model together, one in fifty honest models at most has a false alarm.
"""

import math
from collections.abc import Iterable, Sequence

from scipy.stats import betabinom, binom, binomtest

from ..engine.inspection.finding import State

__all__ = [
    "BROKEN",
    "FALSE_ALARMS",
    "SOUND",
    "SUSPECT",
    "UNCHECKED",
    "VERDICTS",
    "holm",
    "more_often_than",
    "same_quantile",
    "verdict",
    "weaker",
]

SOUND = "sound"
"""All applicable checks ran and passed."""

UNCHECKED = "unchecked"
"""An applicable check did not run."""

SUSPECT = "suspect"
"""A check fails."""

BROKEN = "broken"
"""A check shows the number wrong."""

VERDICTS = (SOUND, UNCHECKED, SUSPECT, BROKEN)
"""From best to worst."""

FALSE_ALARMS = 0.02
"""The share of honest models that chance may call suspect."""


def verdict(states: Iterable[State]) -> str:
    """Say what checks that ended so mean together; the worst of them decides."""
    found = set(states)
    if State.BROKEN in found:
        return BROKEN
    if State.FAILED in found:
        return SUSPECT
    if State.NOT_RUN in found or not found - {State.NOT_APPLICABLE}:
        return UNCHECKED
    return SOUND


def holm(p: Sequence[float], alpha: float = FALSE_ALARMS) -> list[bool]:
    """Tell which hypotheses are refuted so that one true one is with probability ``alpha`` at most.

    Args:
        p: Of each; NaN is never refuted and not counted.
        alpha: In (0, 1).
    """
    refuted = [False] * len(p)
    order = sorted((value, place) for place, value in enumerate(p) if not math.isnan(value))
    for done, (value, place) in enumerate(order):
        if value > alpha / (len(order) - done):
            break
        refuted[place] = True
    return refuted


def more_often_than(share: float, hits: int, n: int) -> float:
    """Test whether something happens more often than ``share``, exactly: P(at least ``hits`` of ``n``)."""
    return float(binom.sf(hits - 1, n, share))


def weaker(worse: int, better: int) -> float:
    """Test whether one attack is weaker than another on the same images, exactly (McNemar 1947).

    Args:
        worse: Images that withstand it alone.
        better: Images that withstand the other alone.
    """
    if not worse + better:
        return 1.0
    return float(binomtest(worse, worse + better, alternative="greater").pvalue)


def same_quantile(over: int, held: int, at_least: int, above: int, reached: int, n: int) -> float:
    """Test whether as many new scores pass a threshold as held-out ones promise, two-sided and exactly.

    The share of new scores above the k-th largest of ``held`` exchangeable ones is Beta(k, held - k + 1), so
    that their number is beta-binomial. Ties only make the test more cautious: what lies above is compared
    upwards, what reaches the threshold downwards.

    Args:
        over: Held-out scores above the threshold.
        held: Held-out scores.
        at_least: Held-out scores that reach it.
        above: New scores above it.
        reached: New scores that reach it.
        n: New scores.
    """
    more = float(betabinom.sf(above - 1, n, over + 1, held - over)) if held > over else 1.0
    fewer = float(betabinom.cdf(reached, n, at_least, held - at_least + 1)) if at_least else 1.0
    return min(1.0, 2 * min(more, fewer))
