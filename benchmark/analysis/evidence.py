"""What the checks of one model may look at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from ..engine.inspection.finding import Finding
from .model_samples import ModelSamples

__all__ = ["Evidence"]


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of one model.

    Args:
        model: Its samples.
        eer: Its rows of the `eer` frame.
        inspected: What its inspection found, {check: findings}; empty where there was none.
    """

    model: ModelSamples
    eer: pd.DataFrame = field(repr=False)
    inspected: Mapping[str, Sequence[Finding]] = field(default_factory=dict)
