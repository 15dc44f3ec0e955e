"""A number of several trainings in words.

Their mean, and in brackets the interval of all (`Share`) or only the range (`mean_range`).
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd

__all__ = ["FEW", "Share", "mean_range", "number"]

FEW = "few"
"""Stands where there are too few adversarial images to measure a detector on: see `reliable`."""


class Share(NamedTuple):
    """A share over the trainings of a loss.

    Mean, and from the lowest to the highest end of their intervals.
    """

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, rows: pd.DataFrame, column: str) -> "Share":
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


def number(value: float, scale: float = 100, digits: int = 1, missing: str = FEW) -> str:
    """Write a fraction in per cent, or what else there is with ``scale`` 1; ``missing`` for NaN."""
    return missing if np.isnan(value) else f"{scale * value:.{digits}f}"


def mean_range(values: Iterable[float], scale: float = 100, digits: int = 1, missing: str = FEW) -> str:
    """Write the mean over seeds and, where there are several, their range: "3.1 [2.9, 3.4]".

    Seeds without a value are counted.
    """
    every = np.asarray(list(values), dtype=np.float64)
    told = every[~np.isnan(every)]
    if not len(told):
        return missing
    text = number(float(told.mean()), scale, digits)
    if len(told) > 1:
        text += f" [{number(float(told.min()), scale, digits)}, {number(float(told.max()), scale, digits)}]"
    return text if len(told) == len(every) else f"{text} ({len(told)} of {len(every)} seeds)"
