"""The four frames that everything else is told from, from its samples: EERs, checks and leaderboard.

A model whose samples no frame can be made of spoils no other's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from ..engine.failure import Failure, say
from .checks import run_checks
from .eer_table import eer_table
from .leaderboard import leaderboard

__all__ = ["Frames", "frames_of"]


@dataclass(frozen=True, eq=False)
class Frames:
    """What is computed from the samples.

    Args:
        samples: Of the models that the frames are of.
        eer: `eer_table` of them.
        checks: `run_checks` of them; failures are among them.
        leaderboard: `leaderboard` of them.
        failures: What there is no result of.
        inspections: What the models themselves were asked, a row per finding; see `run_checks`.
    """

    samples: pd.DataFrame = field(repr=False)
    eer: pd.DataFrame = field(repr=False)
    checks: pd.DataFrame = field(repr=False)
    leaderboard: pd.DataFrame = field(repr=False)
    failures: tuple[Failure, ...] = ()
    inspections: pd.DataFrame | None = field(default=None, repr=False)

    def with_failures(self, more: Sequence[Failure]) -> "Frames":
        """Add failures that were found later; they are failed checks, too."""
        failures = (*self.failures, *more)
        checks = run_checks(self.samples, self.eer, failures, self.inspections)
        board = leaderboard(self.samples, self.eer, checks)
        return replace(self, checks=checks, leaderboard=board, failures=failures)


def frames_of(
    samples: pd.DataFrame,
    failures: Sequence[Failure] = (),
    inspections: pd.DataFrame | None = None,
    *,
    resamples: int = 500,
) -> Frames:
    """Compute all frames from the samples.

    Args:
        samples: One row per (model, cell, image).
        failures: What there is no result of, beside what is found here.
        inspections: Of the models that were inspected.
        resamples: Of the bootstrap.

    Raises:
        Exception: No frame can be made of all of them together, and of each by itself there can.
    """
    try:
        return _frames(samples, failures, inspections, resamples)
    except Exception:
        broken = _broken(samples)
        if not broken or len(broken) == samples["model"].nunique():
            raise
    rest = samples[~samples["model"].isin([failure.model for failure in broken])]
    return _frames(rest, [*failures, *broken], inspections, resamples)


def _frames(
    samples: pd.DataFrame, failures: Sequence[Failure], inspections: pd.DataFrame | None, resamples: int
) -> Frames:
    eer = eer_table(samples, resamples=resamples)
    checks = run_checks(samples, eer, failures, inspections)
    return Frames(samples, eer, checks, leaderboard(samples, eer, checks), tuple(failures), inspections)


def _broken(samples: pd.DataFrame) -> list[Failure]:
    """Name the models of which no frames can be made."""
    broken = []
    for model, rows in samples.groupby("model", observed=True):
        try:
            _frames(rows, (), None, resamples=1)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this model's
            broken.append(Failure(str(model), "tables", say(error)))
    return broken
