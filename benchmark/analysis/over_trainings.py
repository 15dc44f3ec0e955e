"""A number of several trainings in words.

Their mean, and in brackets the interval of all (`OverTrainings`) or only the range (`mean_range`).
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from .wording import FEW, number

__all__ = ["OverTrainings"]


class OverTrainings(NamedTuple):
    """A share over the trainings of a loss.

    Mean, and from the lowest to the highest end of their intervals.
    """

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, rows: pd.DataFrame, column: str) -> "OverTrainings":
        """Put trainings together, a row each; NaN where one has none, lest it be of the others alone."""
        return cls(
            float(rows[column].mean(skipna=False)),
            float(rows[f"{column}_low"].min()),
            float(rows[f"{column}_high"].max()),
        )

    def text(self, digits: int = 1, missing: str = FEW) -> str:
        """Write it in per cent: "76.3 [73.6, 78.9]"."""
        mean, low, high = (number(value, digits=digits) for value in self)
        return missing if np.isnan(self.mean) else f"{mean} [{low}, {high}]"
