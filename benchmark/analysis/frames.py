"""The four frames that everything else is told from: samples, EERs, checks, leaderboard."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from .checks import run_checks
from .eer_table import eer_table
from .leaderboard import leaderboard

__all__ = ["Frames", "frames_of"]


@dataclass(frozen=True, eq=False)
class Frames:
    """What a suite found.

    Args:
        samples: One row per (model, cell, image).
        eer: How well each detector tells each attack's images, see `eer_table`.
        checks: Whether the numbers can be believed, see `run_checks`.
        leaderboard: What is left of each model, see `leaderboard`.
    """

    samples: pd.DataFrame = field(repr=False)
    eer: pd.DataFrame = field(repr=False)
    checks: pd.DataFrame = field(repr=False)
    leaderboard: pd.DataFrame = field(repr=False)


def frames_of(
    samples: pd.DataFrame, *, resamples: int = 500, failures: Sequence[tuple[str, str, str]] = ()
) -> Frames:
    """Compute all frames from the samples.

    Args:
        samples: One row per (model, cell, image).
        resamples: Of the bootstrap.
        failures: What failed when they were made, see `run_checks`.
    """
    eer = eer_table(samples, resamples=resamples)
    checks = run_checks(samples, eer, failures)
    return Frames(samples, eer, checks, leaderboard(samples, eer, checks))
