"""Whether two results of a suite are the same: equal, equal within rounding, or different.

Bytes are equal on one kind of machine. On another one floats differ in their last digits and with them a few
images change sides, so results from elsewhere are compared by what they say:

* at most `SHARE` of the predictions differ;
* no figure that has an interval leaves the other's, and none is there on one side alone;
* in every cell margins and scores stay where they are, but for images on which an attack took another way;
* no verdict changes: of a row of the leaderboard, of a sanity check, of a paper's claim;
* nothing is missing, and what no rounding can turn (classes, seeds, numbers of images) is the same.

Rows are joined on what names them; their order does not matter. How far each column of numbers moved is told.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .metrics import FEWEST

__all__ = [
    "DIFFERENT",
    "EQUAL",
    "SHARE",
    "TABLES",
    "WITHIN_ROUNDING",
    "Departure",
    "Results",
    "ResultsDiff",
    "compare_results",
]

Kind = Literal["equal", "equal within rounding", "different"]
EQUAL: Kind = "equal"
WITHIN_ROUNDING: Kind = "equal within rounding"
DIFFERENT: Kind = "different"

SHARE = 0.005
"""The largest share of a suite's predictions that rounding may turn."""

TOLD = 0.0005
"""What the tables round away: an interval of no width must not hold a figure to all its digits."""

SHIFT = 0.01
"""The share of its spread by which a column of the samples may move in the middle of a cell."""

TABLES = ("samples", "eer", "leaderboard")

_CELL = ("model", "split", "label", "norm", "eps", "access", "awareness", "detector", "population")
_KEYS = (*_CELL, "id")
_PREDICTIONS = ("clean_predicted", "predicted", "success", "success_8bit")
_WHOLE = ("seed", "images", "y")  # numbers that no rounding turns
_FREE = ("attack", "worst_attack")  # follows from the label; the name of a maximum, which two may share


@dataclass(frozen=True, eq=False)
class Results:
    """One run's results, as far as they are compared.

    Args:
        samples, eer, leaderboard: The tables.
        verdicts: Of the sanity checks and the papers' claims, {what is judged: verdict}.
    """

    samples: pd.DataFrame = field(repr=False)
    eer: pd.DataFrame = field(repr=False)
    leaderboard: pd.DataFrame = field(repr=False)
    verdicts: Mapping[str, str]


@dataclass(frozen=True)
class Departure:
    """One thing that rounding does not explain.

    Args:
        table: Where it stands: one of `TABLES`, or "verdicts".
        where: Model, attack, threat model, detector; empty where it speaks of the whole table.
        column: Which column; empty where it speaks of rows.
        one, other: What either side has.
    """

    table: str
    where: str
    column: str
    one: str
    other: str

    def __str__(self) -> str:
        place = ", ".join(part for part in (self.table, self.where, self.column) if part)
        return f"{place}: {self.one} -> {self.other}"


@dataclass(frozen=True)
class ResultsDiff:
    """What a comparison found.

    Args:
        kind: Which of the three.
        predictions: Images of cells that were predicted otherwise, before or after an attack.
        of: Images of cells on both sides.
        largest: The largest difference of each column of numbers, {"table.column": difference}.
        departures: Why it is `DIFFERENT`; none otherwise.
    """

    kind: Kind
    predictions: int
    of: int
    largest: Mapping[str, float]
    departures: tuple[Departure, ...]

    def __str__(self) -> str:
        told = [f"{self.predictions} of {self.of} predictions differ"]
        shares = {name: value for name, value in self.largest.items() if not name.startswith("samples.")}
        if self.kind == WITHIN_ROUNDING and (moved := [name for name in _FIGURES if shares.get(name)]):
            name = max(moved, key=lambda moved: shares[moved])
            told.append(f"largest difference of a figure: {name} {shares[name]:.2g}")
        if self.kind == DIFFERENT:
            told += [f"{len(self.departures)} departures, the first: {self.departures[0]}"]
        return self.kind if self.kind == EQUAL else f"{self.kind} ({'; '.join(told)})"


_FIGURES = (
    "eer.eer",
    "eer.auroc",
    "leaderboard.robust_accuracy",
    "leaderboard.robust_accuracy_with_detection",
)


def compare_results(one: Results, other: Results) -> ResultsDiff:
    """Compare two results of one suite; which of them comes first does not matter to the kind."""
    pairs = {table: _Pair.of(table, getattr(one, table), getattr(other, table)) for table in TABLES}
    turned = pairs["samples"].turned()
    departures = [departure for pair in pairs.values() for departure in pair.departures()]
    if turned.sum() > SHARE * len(turned):
        departures += pairs["samples"].counted(turned)
    departures += [
        Departure("verdicts", what, "", one.verdicts.get(what, "none"), other.verdicts.get(what, "none"))
        for what in dict.fromkeys([*one.verdicts, *other.verdicts])
        if one.verdicts.get(what) != other.verdicts.get(what)
    ]
    largest = {f"{table}.{column}": size for table, pair in pairs.items() for column, size in pair.moved()}
    same = not departures and all(pair.same for pair in pairs.values())
    kind = DIFFERENT if departures else EQUAL if same else WITHIN_ROUNDING
    return ResultsDiff(kind, int(turned.sum()), len(turned), largest, tuple(departures))


@dataclass(frozen=True, eq=False)
class _Pair:
    """The rows of one table that both sides have, in the same order, and what only one side has."""

    table: str
    one: pd.DataFrame
    other: pd.DataFrame
    lacking: tuple[Departure, ...]

    @classmethod
    def of(cls, table: str, one: pd.DataFrame, other: pd.DataFrame) -> "_Pair":
        """Join two tables on what names a row."""
        one, other = (_named(frame) for frame in (one, other))
        columns = [column for column in one.columns if column in other.columns]
        lacking = [
            Departure(table, "", column, *(("there", "none") if column in one.columns else ("none", "there")))
            for column in [*one.columns, *other.columns]
            if column not in columns and column not in _FREE
        ]
        keys = [key for key in _KEYS if key in columns]
        one, other = one.reset_index(drop=True), other.reset_index(drop=True)
        if not one[keys].equals(other[keys]):
            left, right = (frame[keys].assign(place=np.arange(len(frame))) for frame in (one, other))
            joined = left.merge(right, on=keys, how="outer", indicator=True, validate="one_to_one")
            lacking += _lacking(table, joined)
            both = joined[joined["_merge"] == "both"]
            one = one.iloc[both["place_x"].astype(int)].reset_index(drop=True)
            other = other.iloc[both["place_y"].astype(int)].reset_index(drop=True)
        return cls(table, one[columns], other[columns], tuple(lacking))

    @property
    def same(self) -> bool:
        """Whether every value is the same."""
        return not self.lacking and not any(self._unequal(column).any() for column in self.one.columns)

    def turned(self) -> pd.Series:
        """Tell which rows were predicted otherwise."""
        columns = [column for column in _PREDICTIONS if column in self.one.columns]
        return (self.one[columns] != self.other[columns]).any(axis=1)

    def moved(self) -> Iterator[tuple[str, float]]:
        """Tell the largest difference of each column of numbers that is not the same."""
        for column in self.one.columns:
            if column in (*_KEYS, *_WHOLE, *_PREDICTIONS) or not self._numbers(column):
                continue
            if size := float(_distance(self.one[column], self.other[column]).max(initial=0)):
                yield column, size

    def departures(self) -> Iterator[Departure]:
        """Tell what rounding does not explain, once for each cell and column."""
        yield from self.lacking
        for column in self.one.columns:
            if column in (*_KEYS, *_PREDICTIONS, *_FREE):
                continue
            one, other = self.one[column], self.other[column]
            if column in _WHOLE or not self._numbers(column):
                wrong = self._unequal(column)
            else:
                wrong = self._told() & ((one.isna() != other.isna()) | self._outside(column))
                if "id" in self.one.columns and self._unequal(column).any():
                    wrong |= self._shifted(column)
            for where, rows in self._cells(wrong):
                yield Departure(self.table, where, column, *(f"{side[rows[0]]}" for side in (one, other)))

    def counted(self, turned: pd.Series) -> list[Departure]:
        """Tell the cells whose predictions differ, those with the most of them first."""
        cells = sorted(self._cells(turned), key=lambda cell: -len(cell[1]))
        return [
            Departure(self.table, where, "predicted", "the same", f"other in {len(rows)} rows")
            for where, rows in cells
        ]

    def _numbers(self, column: str) -> bool:
        return all(pd.api.types.is_numeric_dtype(frame[column]) for frame in (self.one, self.other))

    def _told(self) -> pd.Series:
        """Tell which rows have enough adversarials for a figure; the tables tell none of the others."""
        if "adversarials" not in self.one.columns:
            return pd.Series(True, index=self.one.index)
        return (self.one["adversarials"] >= FEWEST) & (self.other["adversarials"] >= FEWEST)

    def _unequal(self, column: str) -> pd.Series:
        """Tell where a column differs; two that are missing do not."""
        one, other = self.one[column], self.other[column]
        return (one != other) & ~(one.isna() & other.isna())

    def _outside(self, column: str) -> pd.Series:
        """Tell which figures leave the other side's interval; none where the column has no interval."""
        low, high = f"{column}_low", f"{column}_high"
        left = pd.Series(False, index=self.one.index)
        if low in self.one.columns and high in self.one.columns:
            for one, other in ((self.one, self.other), (self.other, self.one)):
                left |= (one[column] < other[low] - TOLD) | (one[column] > other[high] + TOLD)
        return left

    def _shifted(self, column: str) -> pd.Series:
        """Tell the rows of cells whose middle image moved by more than `SHIFT` of the model's spread."""
        values = self.one[column]
        by_model = values.groupby(self.one["model"], sort=False)
        spread = by_model.transform("quantile", 0.75) - by_model.transform("quantile", 0.25)
        moved = pd.Series(_distance(values, self.other[column]), index=values.index)
        middle = moved.groupby([self.one[key] for key in self._cell], sort=False).transform("median")
        return middle > SHIFT * (spread + values.abs())

    @property
    def _cell(self) -> list[str]:
        return [key for key in _CELL if key in self.one.columns]

    def _cells(self, wrong: pd.Series) -> list[tuple[str, list[int]]]:
        """Group the rows that are wrong by what they speak of."""
        groups = self.one[wrong].groupby(self._cell, sort=False).groups
        return [(_where(self.one.loc[rows[0]]), list(rows)) for rows in groups.values()]


def _distance(one: pd.Series, other: pd.Series) -> NDArray[np.float64]:
    """Tell how far each number moved; 0 where both are missing or the same infinity."""
    left, right = (side.to_numpy(np.float64) for side in (one, other))
    same = (left == right) | np.isnan(left) | np.isnan(right)
    moved: NDArray[np.float64] = np.abs(np.where(same, 0.0, left) - np.where(same, 0.0, right))
    return moved


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """Write text plainly, and name columns as they are named now.

    Where a frame has no suite's label, ``attack`` is it, and ``label`` is the class.
    """
    if "label" not in frame.columns or pd.api.types.is_numeric_dtype(frame["label"]):
        frame = frame.rename(columns={"label": "y", "attack": "label"})
    if "knows" in frame.columns:  # where nobody knows a detector, a CSV's column is empty
        frame = frame.assign(knows=frame["knows"].astype(object))
    text = [column for column in frame.columns if not pd.api.types.is_numeric_dtype(frame[column])]
    return frame.astype(dict.fromkeys(text, object)).fillna(dict.fromkeys(text, ""))


def _lacking(table: str, joined: pd.DataFrame) -> Iterator[Departure]:
    """Tell the models, else the cells, that one side has alone."""
    shared = set(joined.loc[joined["_merge"] == "both", "model"])
    cell = [key for key in _CELL if key in joined.columns]
    for side in ("left_only", "right_only"):
        alone = joined[joined["_merge"] == side]
        for whole in sorted(set(alone["model"]) - shared):
            yield Departure(table, f"model {whole}", "", *_sides(side, int((alone["model"] == whole).sum())))
        for _, rows in alone[alone["model"].isin(shared)].groupby(cell, sort=False):
            yield Departure(table, _where(rows.iloc[0]), "", *_sides(side, len(rows)))


def _sides(side: str, rows: int) -> tuple[str, str]:
    return (f"{rows} rows", "none") if side == "left_only" else ("none", f"{rows} rows")


def _where(row: pd.Series) -> str:
    """Say what a row speaks of: "mnist-lgm-s0, test, fgsm, Linf, eps 0.1, white-box, oblivious"."""
    told = ((key, row[key]) for key in _CELL if key in row)
    return ", ".join(f"eps {value:g}" if key == "eps" else str(value) for key, value in told if value != "")
