"""What a paper's claim is judged by, and how two losses are compared: by intervals, on the same attacks and images, or not at all.

Of several trainings of a loss the mean is told and the interval is from the lowest lower to the highest upper end of theirs, which holds
both the choice of images and that of the training. Where two intervals overlap, nothing is decided.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from .features import ModelFeatures
from .figure_spread import Robustness
from .leaderboard import UNCHECKED
from .setting import eps_text, loss_name
from .summary import NORM, attacks_of, fullest_eps, number_of, own_rows
from .tables import number

__all__ = ["FAILS", "HOLDS", "OPEN", "Accuracy", "Evidence", "Held", "Share", "Verdict", "accuracy_of", "more_accurate", "more_robust"]

_Met = tuple[frozenset[str], int]
Held = Literal["holds", "does not hold", "not decided"]
HOLDS: Held = "holds"
FAILS: Held = "does not hold"
OPEN: Held = "not decided"


@dataclass(frozen=True)
class Accuracy:
    """The accuracy of a checkpoint on the whole test split, as its card has it.

    Args:
        model, loss: As in the frames.
        data: What it was trained on.
        features: D.
        epochs: Of its training.
        accuracy, low, high: A fraction with its 95 % Wilson interval.
        note: Of its card.
    """

    model: str
    loss: str
    data: str
    features: int
    epochs: int
    accuracy: float
    low: float
    high: float
    note: str = ""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a suite found.

    Args:
        eer: The table of EERs.
        leaderboard: The leaderboard.
        detectors: {loss: detector}, see `verification_detectors`.
        accuracies: Of the models that are checkpoints.
        features: What the models' features say; none if nobody looked.
        robustness: Under the attacks that all models met; None where there are none.
    """

    eer: pd.DataFrame = field(repr=False)
    leaderboard: pd.DataFrame = field(repr=False)
    detectors: Mapping[str, str]
    accuracies: Sequence[Accuracy] = ()
    features: Sequence[ModelFeatures] = field(default=(), repr=False)
    robustness: Robustness | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Verdict:
    """What was found of a claim.

    Args:
        measured: In words, with the numbers and the reason.
        held: Whether the claim held here.
    """

    measured: str
    held: Held


class Share(NamedTuple):
    """A share over the trainings of a loss: mean, and from the lowest to the highest end of their intervals."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, means: Iterable[float], lows: Iterable[float], highs: Iterable[float]) -> "Share":
        """Put trainings together."""
        return cls(float(np.mean(list(means))), min(map(float, lows)), max(map(float, highs)))

    def text(self, digits: int = 1) -> str:
        """Write it in per cent: "76.3 [73.6, 78.9]"."""
        return f"{number(self.mean, digits=digits)} [{number(self.low, digits=digits)}, {number(self.high, digits=digits)}]"


class _Side(NamedTuple):
    """One loss at one eps; ``failed`` are the sanity checks that its models failed."""

    share: Share
    clean: float
    failed: tuple[str, ...]


def accuracy_of(evidence: Evidence, loss: str) -> Share | None:
    """Put the test accuracies of a loss together, or None where no checkpoint has one."""
    own = [one for one in evidence.accuracies if one.loss == loss]
    return Share.of(*zip(*((one.accuracy, one.low, one.high) for one in own), strict=True)) if own else None


def more_accurate(evidence: Evidence, loss: str, other: str) -> Verdict | None:
    """Judge whether a loss has the higher test accuracy; None where one of them has none."""
    mine, theirs = accuracy_of(evidence, loss), accuracy_of(evidence, other)
    if mine is None or theirs is None:
        return None
    count = {name: sum(one.loss == name for one in evidence.accuracies) for name in (loss, other)}
    texts = [f"{loss_name(name)} {share.text(2)} % ({_trainings(count[name])})" for name, share in ((loss, mine), (other, theirs))]
    measured = ", ".join(texts)
    if theirs.high < mine.low:
        return Verdict(measured, HOLDS)
    if mine.high < theirs.low:
        return Verdict(measured, FAILS)
    most = number(max(theirs.high - mine.low, 0.0), digits=2)
    return Verdict(f"{measured}: the intervals overlap; by them {loss_name(loss)} costs {most} points at most", OPEN)


def more_robust(
    evidence: Evidence, loss: str, other: str, *, access: str = "white-box", awareness: str = "oblivious", column: str = "robust_accuracy"
) -> Verdict | None:
    """Judge whether a loss is the more robust one, at every eps at which the threat model met the most attacks.

    It is where it is at one eps and the other at none. Eps at which both are at the floor (their intervals reach 0) or at the ceiling (they
    reach the clean accuracy) decide nothing, nor do trainings of the better one that failed a sanity check: its robustness is in doubt.

    Args:
        evidence: What was found.
        loss: Which is said to be more robust.
        other: Than which.
        access: Of the threat model, in Linf.
        awareness: Likewise.
        column: Of the leaderboard, with ``_low`` and ``_high``.

    Returns:
        None where one of them was not attacked so.
    """
    board = own_rows(evidence.leaderboard, evidence.detectors)
    wanted = {"norm": NORM, "access": access, "awareness": awareness}
    board = board[np.logical_and.reduce([board[name].astype(str) == value for name, value in wanted.items()])].dropna(subset=[column])
    if not {loss, other} <= set(board["loss"].astype(str)):
        return None
    told, sides, on = [], [], []
    for eps in fullest_eps(evidence.leaderboard, access, awareness):
        pair = [board[(board["loss"] == name) & (board["eps"] == eps)] for name in (loss, other)]
        common = _common(*pair)
        if common is None:
            told.append(f"{eps_text(eps)}: not the same attacks and images")
            continue
        attacks, images = common
        on.append(f"{number_of(attacks)} on {images} images")
        mine, theirs = (_side(rows[[met == common for met in _met(rows)]], column) for rows in pair)
        side, why = _compared(mine, theirs)
        sides.append(side)
        names = f"{loss_name(loss)} {mine.share.text()}, {loss_name(other)} {theirs.share.text()}"
        told.append(f"{eps_text(eps)}: {names} ({why})")
    held = FAILS if -1 in sides else HOLDS if 1 in sides else OPEN
    return Verdict(f"{access}, {awareness}, {' or '.join(dict.fromkeys(on)) or 'nothing in common'}; " + "; ".join(told), held)


def _compared(mine: _Side, theirs: _Side) -> tuple[int, str]:
    """Say which one is higher (1, -1, or 0 where nothing is decided) and why."""
    if mine.share.low <= 0 and theirs.share.low <= 0:
        return 0, "both at the floor"
    if mine.share.high >= mine.clean and theirs.share.high >= theirs.clean:
        return 0, "both at the ceiling"
    side = int(mine.share.low > theirs.share.high) - int(mine.share.high < theirs.share.low)
    failed = {1: mine.failed, -1: theirs.failed, 0: ()}[side]
    word = {1: "higher", -1: "lower", 0: "overlap"}[side]
    return (0, f"{word}, but failed checks: {', '.join(failed)}") if failed else (side, word)


def _side(rows: pd.DataFrame, column: str) -> _Side:
    share = Share.of(rows[column], rows[f"{column}_low"], rows[f"{column}_high"])
    failed = {check for verdict in rows["verdict"].astype(str) for check in verdict.split("; ")} - {"ok", UNCHECKED}
    if column == "robust_accuracy":  # no detector has a part in it
        failed = {check for check in failed if ":" not in check}
    return _Side(share, float(rows["clean_accuracy"].mean()), tuple(sorted(failed)))


def _met(rows: pd.DataFrame) -> list[_Met]:
    """Tell of each row which attacks were run on how many images."""
    return [(attacks_of(attacks), int(images)) for attacks, images in zip(rows["attacks"], rows["images"], strict=True)]


def _common(mine: pd.DataFrame, theirs: pd.DataFrame) -> _Met | None:
    """Choose the most that trainings of both met alike."""
    both = set(_met(mine)) & set(_met(theirs))
    return max(both, key=lambda met: (len(met[0]), met[1], sorted(met[0])), default=None)


def _trainings(count: int) -> str:
    return "one training" if count == 1 else f"{count} trainings"
