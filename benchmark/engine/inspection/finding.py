"""What a check found for one model, and the table of such findings that is stored and published."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import pandas as pd

__all__ = ["INSPECTION_COLUMNS", "Finding", "State", "findings_of", "table_of"]


class State(StrEnum):
    """How a check ended for one model."""

    PASSED = "passed"
    FAILED = "failed"
    BROKEN = "broken"
    """It failed, and shows the number wrong."""
    NOT_RUN = "not run"
    """It applies and did not run."""
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Finding:
    """What a check found for one model.

    Args:
        state: How it ended; of a statistical check, how it ends unless its ``p`` says otherwise.
        detail: One short sentence with the numbers.
        detector: The detector it speaks of; empty where it speaks of the model.
        p: Of a statistical check: the probability of what was found, or worse, where all is as it should be.
            It is judged together with the model's others, see `verdict.holm`. NaN for any other check.
        norm, eps: Of the attack that ``met`` and ``fooled`` are of, if any.
        met: Ids of the images that it was run on.
        fooled: Those whose class it changed from right to wrong.
    """

    state: State
    detail: str
    detector: str = ""
    p: float = math.nan
    norm: str = ""
    eps: float = 0.0
    met: tuple[int, ...] = ()
    fooled: tuple[int, ...] = ()

    @classmethod
    def told(cls, holds: bool, detail: str, detector: str = "") -> "Finding":
        """Say whether a check without probabilities holds."""
        return cls(State.PASSED if holds else State.FAILED, detail, detector)

    @classmethod
    def statistical(cls, p: float, detail: str, detector: str = "") -> "Finding":
        """Say how probable what was found is; all of a model are judged together."""
        return cls(State.PASSED, detail, detector, p)


INSPECTION_COLUMNS = ("check", "detector", "state", "p", "detail", "norm", "eps", "met", "fooled")


def table_of(findings: Sequence[tuple[str, Finding]]) -> pd.DataFrame:
    """Write findings, each with its check's name, as a table of plain values."""
    rows = [
        (
            *(name, one.detector, str(one.state), one.p, one.detail, one.norm, one.eps),
            *(json.dumps(ids) for ids in (one.met, one.fooled)),
        )
        for name, one in findings
    ]
    return pd.DataFrame(rows, columns=list(INSPECTION_COLUMNS)).astype({"p": "float64", "eps": "float64"})


def findings_of(table: pd.DataFrame) -> Iterator[tuple[str, Finding]]:
    """Read them back."""
    told = table.astype(object).where(table.notna(), "")  # a CSV has no empty texts
    for row in told.to_dict("records"):
        met, fooled = (tuple(json.loads(row[name])) for name in ("met", "fooled"))
        yield (
            str(row["check"]),
            Finding(
                State(row["state"]),
                str(row["detail"]),
                str(row["detector"]),
                float(row["p"] if row["p"] != "" else math.nan),
                str(row["norm"]),
                float(row["eps"]),
                met,
                fooled,
            ),
        )
