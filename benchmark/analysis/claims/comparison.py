"""What a paper's claim is judged by, and how two losses are compared.

By intervals, on the same attacks and images, or not at all.

Of several trainings of a loss the mean is told and the interval is from the lowest to the highest end of
theirs. Where two of them overlap, nothing is decided. The interval of one training is of the choice of images
alone: how much trainings differ is taken from the losses that have several, and a smaller gap decides nothing
either. Nor does one in favour of the loss that was trained for more epochs.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from ....models.losses import loss_name
from ..attack_series import NORM, WITH_DETECTION, attacks_of, fullest_eps, number_of, own_rows
from ..features.space import ModelFeatures
from ..features.spread import Robustness
from ..leaderboard import failed_checks
from ..over_trainings import OverTrainings
from ..wording import eps_text, number

__all__ = [
    "FAILS",
    "HOLDS",
    "OPEN",
    "Accuracy",
    "Held",
    "Judgement",
    "SuiteResults",
    "accuracy_of",
    "decided",
    "more_accurate",
    "more_robust",
]

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
class SuiteResults:
    """What a suite found: all that a claim is judged by.

    Args:
        eer: The table of EERs.
        leaderboard: The leaderboard.
        detectors: {loss: detector}, see `verification_detectors`.
        accuracies: Of the models that are checkpoints.
        features: What the models' features say; none if nobody looked.
        robustness: Under the attacks that all models met; None where there are none, or nobody looked.
    """

    eer: pd.DataFrame = field(repr=False)
    leaderboard: pd.DataFrame = field(repr=False)
    detectors: Mapping[str, str]
    accuracies: Sequence[Accuracy] = ()
    features: Sequence[ModelFeatures] = field(default=(), repr=False)
    robustness: Robustness | None = field(default=None, repr=False)

    @property
    def spreads(self) -> dict[str, float]:
        """{model: spread} of the models that have one and a robustness."""
        known = self.robustness.shares if self.robustness else {}
        return {
            model.name: model.spread
            for model in self.features
            if model.name in known and np.isfinite(model.spread)
        }


@dataclass(frozen=True)
class Judgement:
    """What was found of a claim.

    Args:
        measured: In words, with the numbers and the reason.
        held: Whether the claim held here.
        sides: Of each eps with something in common: 1 where the claim holds, -1 where it fails, 0 where it is
            not decided.
    """

    measured: str
    held: Held
    sides: tuple[int, ...] = ()


class _Side(NamedTuple):
    """The trainings of one loss at one eps.

    ``ceiling`` is the most that an attack can leave, ``failed`` the sanity checks they failed.
    """

    share: OverTrainings
    trainings: int
    ceiling: float
    failed: tuple[str, ...]


def accuracy_of(results: SuiteResults, loss: str) -> OverTrainings | None:
    """Put the test accuracies of a loss together, or None where no checkpoint has one."""
    own = [one for one in results.accuracies if one.loss == loss]
    rows = pd.DataFrame(
        {"accuracy": one.accuracy, "accuracy_low": one.low, "accuracy_high": one.high} for one in own
    )
    return OverTrainings.of(rows, "accuracy") if own else None


def more_accurate(results: SuiteResults, loss: str, other: str) -> Judgement | None:
    """Judge whether a loss has the higher test accuracy, by more than two trainings of one loss differ.

    None where one of them has none.

    The higher one decides nothing where it was trained for more epochs.
    """
    mine, theirs = accuracy_of(results, loss), accuracy_of(results, other)
    if mine is None or theirs is None:
        return None
    count = {name: sum(one.loss == name for one in results.accuracies) for name in (loss, other)}
    epochs = _epochs(results, loss, other)
    texts = [
        f"{loss_name(name)} {share.text(2)} % ({_trainings(count[name], epochs.get(name))})"
        for name, share in ((loss, mine), (other, theirs))
    ]
    measured = ", ".join(texts)
    side = int(mine.low > theirs.high) - int(mine.high < theirs.low)
    if not side:
        most = number(theirs.high - mine.low, digits=2)
        return Judgement(
            f"{measured}: the intervals overlap; {loss_name(loss)} is at most {most} points lower", OPEN
        )
    trainings = defaultdict(list)
    for one in results.accuracies:
        trainings[one.loss].append(one.accuracy)
    between = _largest_range(trainings.values())
    if between is not None and abs(mine.mean - theirs.mean) <= between:
        return Judgement(
            f"{measured}: the trainings of one loss differ by up to {number(between, digits=2)} points", OPEN
        )
    if longer := _trained_longer(epochs, loss, other, side):
        return Judgement(f"{measured}: {longer}", OPEN)
    return Judgement(measured, decided([side]))


def decided(sides: Collection[int]) -> Held:
    """Put several places together: what holds somewhere and fails nowhere holds, and the other way round."""
    return OPEN if (1 in sides) == (-1 in sides) else HOLDS if 1 in sides else FAILS


def more_robust(
    results: SuiteResults,
    loss: str,
    other: str,
    *,
    access: str = "white-box",
    awareness: str = "oblivious",
    column: str = "robust_accuracy",
) -> Judgement | None:
    """Judge whether a loss is the more robust one, at every eps at which these two met the most attacks.

    It is where it is at one eps and the other at none; where each is at some, it depends on the eps. An eps
    decides nothing where both are at the floor (within an image of 0) or at the ceiling (of what they are
    when clean; with a detector, of 1), where either failed a sanity check, where the intervals overlap, where
    two trainings of one loss differ by as much as the two losses, or where the higher one was trained for
    more epochs.

    Args:
        results: What was found.
        loss: Which is said to be more robust.
        other: Than which.
        access: Of the threat model, in Linf.
        awareness: Likewise.
        column: Of the leaderboard, with ``_low`` and ``_high``.

    Returns:
        None where one of them was not attacked so.
    """
    board = own_rows(results.leaderboard, results.detectors)
    wanted = {"norm": NORM, "access": access, "awareness": awareness}
    board = board[
        np.logical_and.reduce([board[name].astype(str) == value for name, value in wanted.items()])
    ].dropna(subset=[column])
    both = board[board["loss"].isin([loss, other])]
    if both["loss"].nunique() < 2:
        return None
    told, sides, on = [], [], []
    epochs = _epochs(results, loss, other)
    for eps in fullest_eps(both, access, awareness):
        at = both[both["eps"] == eps]
        pair = [at[at["loss"] == name] for name in (loss, other)]
        common = _common(*pair)
        if common is None:
            told.append(f"{eps_text(eps)}: not the same attacks and images")
            continue
        attacks, images = common
        on.append(f"{number_of(attacks)} on {images} images")
        mine, theirs = (_side(rows[[met == common for met in _met(rows)]], column) for rows in pair)
        side, why = _compared(mine, theirs, images, _between_trainings(board[board["eps"] == eps], column))
        if longer := _trained_longer(epochs, loss, other, side):
            side, why = 0, f"{why}, but {longer}"
        sides.append(side)
        names = [
            f"{loss_name(name)} {one.share.text()} ({_trainings(one.trainings, epochs.get(name))})"
            for name, one in ((loss, mine), (other, theirs))
        ]
        told.append(f"{eps_text(eps)}: {', '.join(names)}: {why}")
    if {1, -1} <= set(sides):
        told.append("it depends on the eps")
    of = " or ".join(dict.fromkeys(on)) or "nothing in common"
    return Judgement(f"{access}, {awareness}, {of}; " + "; ".join(told), decided(sides), tuple(sides))


def _compared(mine: _Side, theirs: _Side, images: int, between: float | None) -> tuple[int, str]:
    """Say which one is higher (1, -1, or 0 where nothing is decided) and why."""
    if failed := dict.fromkeys(mine.failed + theirs.failed):
        return 0, f"failed checks: {', '.join(failed)}"
    if mine.share.low * images < 1 and theirs.share.low * images < 1:
        return 0, "both at the floor"
    if all((one.ceiling - one.share.high) * images < 1 for one in (mine, theirs)):
        return 0, "both at the ceiling"
    side = int(mine.share.low > theirs.share.high) - int(mine.share.high < theirs.share.low)
    if not side:
        return 0, "overlap"
    word = "higher" if side > 0 else "lower"
    if between is None:
        return side, f"{word}, one training of each"
    differ = f"trainings of one loss differ by up to {number(between)}"
    return (
        (side, f"{word}; {differ}")
        if abs(mine.share.mean - theirs.share.mean) > between
        else (0, f"{word}, but {differ}")
    )


def _between_trainings(rows: pd.DataFrame, column: str) -> float | None:
    """Find by how much the trainings of one loss, of any, that met the same attacks on as many images differ.

    None without several.
    """
    groups = defaultdict(list)
    for loss, met, value in zip(rows["loss"].astype(str), _met(rows), rows[column], strict=True):
        groups[loss, met].append(float(value))
    return _largest_range(groups.values())


def _largest_range(groups: Collection[Sequence[float]]) -> float | None:
    """Find the largest range within a group of several values; None where there is no such group."""
    return max((max(values) - min(values) for values in groups if len(values) > 1), default=None)


def _side(rows: pd.DataFrame, column: str) -> _Side:
    failed = failed_checks(rows)
    # what a detector rejects when clean is lost before any attack
    if column == WITH_DETECTION:
        return _Side(
            OverTrainings.of(rows, column), len(rows), float(rows["clean_accepted"].mean()), tuple(failed)
        )
    # No detector has a part in it.
    failed = [check for check in failed if ":" not in check]
    return _Side(
        OverTrainings.of(rows, column), len(rows), float(rows["clean_accuracy"].mean()), tuple(failed)
    )


def _met(rows: pd.DataFrame) -> list[_Met]:
    """Tell of each row which attacks were run on how many images."""
    return [
        (attacks_of(attacks), int(images))
        for attacks, images in zip(rows["attacks"], rows["images"], strict=True)
    ]


def _common(mine: pd.DataFrame, theirs: pd.DataFrame) -> _Met | None:
    """Choose the most that trainings of both met alike."""
    both = set(_met(mine)) & set(_met(theirs))
    return max(both, key=lambda met: (len(met[0]), met[1], sorted(met[0])), default=None)


def _epochs(results: SuiteResults, *losses: str) -> dict[str, int]:
    """Give {loss: most epochs of its checkpoints}.

    Or nothing where they are the same or not known of each.
    """
    found = {
        loss: max((one.epochs for one in results.accuracies if one.loss == loss), default=0)
        for loss in losses
    }
    return found if len(set(found.values())) > 1 and all(found.values()) else {}


def _trained_longer(epochs: Mapping[str, int], loss: str, other: str, side: int) -> str:
    """Say that the higher one, the first where ``side`` is 1, the second where it is -1.

    Was trained for longer; empty where it was not.
    """
    longer = side * (epochs.get(loss, 0) - epochs.get(other, 0)) > 0
    return f"{loss_name(loss if side > 0 else other)} was trained for longer" if longer else ""


def _trainings(count: int, epochs: int | None = None) -> str:
    trainings = "one training" if count == 1 else f"{count} trainings"
    return trainings if epochs is None else f"{trainings}, {epochs} epochs"
