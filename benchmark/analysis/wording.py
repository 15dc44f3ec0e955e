"""How tables, figures and claims write things: sizes, losses, papers, numbers over several trainings."""

from collections.abc import Iterable

import numpy as np

__all__ = [
    "FEW",
    "eps_number",
    "eps_text",
    "mean_range",
    "number",
]

_LEVEL = 1e-9  # so near to a whole number of grey levels an eps is one

FEW = "few"
"""Stands where there are too few adversarial images to measure a detector on: see `reliable`."""


def eps_text(eps: float) -> str:
    """Write an eps for people."""
    return "smallest ε" if np.isinf(eps) else f"ε = {eps_number(eps)}"


def eps_number(eps: float) -> str:
    """Write an eps without its name.

    0.1 as it is, and what takes more than three digits but is a number of grey levels as such.

    Example:
        >>> eps_number(0.2), eps_number(8 / 255), eps_number(0.12345), eps_number(float("inf"))
        ('0.2', '8/255', '0.123', 'smallest')
    """
    if np.isinf(eps):
        return "smallest"
    short, levels = f"{eps:.3g}", 255 * eps
    return short if float(short) == eps or abs(levels - round(levels)) > _LEVEL else f"{round(levels)}/255"


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
