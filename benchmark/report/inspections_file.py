"""inspections.csv of a results folder: what the models themselves were asked, beside their samples."""

from pathlib import Path

import pandas as pd

from ..engine.inspection.finding import INSPECTION_COLUMNS

__all__ = ["INSPECTIONS", "read_inspections"]

INSPECTIONS = "inspections.csv"


def read_inspections(folder: Path) -> pd.DataFrame:
    """Read a report's inspections; none where it is older than they are.

    Raises:
        ValueError: The file cannot be read.
    """
    path = folder / INSPECTIONS
    columns = ["model", *INSPECTION_COLUMNS]
    if not path.exists():
        return pd.DataFrame(columns=columns)
    try:
        return pd.read_csv(path)[columns]
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
