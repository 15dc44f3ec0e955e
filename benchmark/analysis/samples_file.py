"""Reads a samples.parquet, also one that was published before its columns had today's names.

Of those files, which stay as they are, `attack` is the suite's label and `label` the true class. Today
`attack` is the name in the registry, `label` the suite's, and `y` the true class.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from ..engine.suite import Suite
from .model_samples import CLEAN

__all__ = ["read_samples"]


def read_samples(path: Path, suite: Suite | None) -> pd.DataFrame:
    """Read a samples table with today's columns, see docs/results.md.

    Args:
        path: Of samples.parquet.
        suite: That it was made by; says which attack an older file's label stands for. None will do for a
            file of today's.

    Raises:
        ValueError: It cannot be read, or an older file has a label that the suite does not.
    """
    try:
        samples = pd.read_parquet(path)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    if "y" not in samples:
        samples = _renamed(samples, path, suite)
    return samples if "knows" in samples else _knowing(samples)


def _knowing(samples: pd.DataFrame) -> pd.DataFrame:
    """Say of older rows which detector their adaptive attacks knew.

    They climbed the likelihood of a class where the model states one and its posterior, which MSP reads,
    where it does not.
    """
    stated = samples.groupby("model", observed=True)["score_likelihood"].transform("count") > 0
    aware = samples["awareness"] == "adaptive"
    knows = np.where(aware, np.where(stated, "likelihood", "msp"), "")
    place = list(samples.columns).index("awareness") + 1
    samples.insert(place, "knows", pd.Series(pd.Categorical(knows), index=samples.index))
    return samples


def _renamed(samples: pd.DataFrame, path: Path, suite: Suite | None) -> pd.DataFrame:
    """Give an older table today's columns."""
    if suite is None:
        raise ValueError(f"{path} is of an older version, and of a suite that is not known here")
    names = {CLEAN: CLEAN} | {plan.label: plan.attack for plan in suite.attacks}
    labels = samples["attack"].astype(str)
    if unknown := sorted(set(labels) - set(names)):
        raise ValueError(
            f"expected the attacks in {path} to be labels of {suite.name}, got '{unknown[0]}'; give the "
            "suite that it was made by"
        )
    samples = samples.rename(columns={"label": "y", "attack": "label"})
    place = list(samples.columns).index("label")
    samples.insert(place, "attack", labels.map(names).astype("category"))
    return samples
