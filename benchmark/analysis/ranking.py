"""The `ranking` frame: one row a defense, by what is left of it under the strongest threat model.

That is white-box access and knowledge of the detector which its loss is verified with, in Linf at the suite's
middle eps; the value is the robust accuracy with detection. A defense that no such attack met has no value.
"""

from collections.abc import Mapping

import pandas as pd

from .attack_series import NORM, eps_of, own_rows
from .metrics import WITH_DETECTION

__all__ = ["RANKING_COLUMNS", "ranking"]

NAN = float("nan")

RANKING_COLUMNS = ("name", "value", "n", "verdict")


def ranking(leaderboard: pd.DataFrame, detectors: Mapping[str, str]) -> pd.DataFrame:
    """Compute the `ranking` frame, the best first; those without a value last.

    Args:
        leaderboard: The leaderboard.
        detectors: {loss: detector}, see `verification_detectors`.
    """
    own = own_rows(leaderboard, detectors)
    strongest = own[(own["norm"] == NORM) & (own["access"] == "white-box") & (own["awareness"] == "adaptive")]
    sizes = eps_of(strongest)
    middle = sizes[(len(sizes) - 1) // 2] if sizes else NAN
    rows = []
    for name, told in own.groupby("model", observed=True):
        met = strongest[(strongest["model"] == name) & (strongest["eps"] == middle)]
        value, images = (met[WITH_DETECTION].iloc[0], int(met["images"].iloc[0])) if len(met) else (NAN, 0)
        rows.append((str(name), value, images, str(told["verdict"].iloc[0])))
    frame = pd.DataFrame(rows, columns=list(RANKING_COLUMNS))
    return frame.sort_values(["value", "name"], ascending=[False, True], ignore_index=True)
