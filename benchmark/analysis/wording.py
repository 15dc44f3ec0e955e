"""How tables, figures and claims write things: sizes, losses, papers, numbers over several trainings."""

import re
from collections.abc import Iterable

import numpy as np

__all__ = [
    "FEW",
    "LOSS_NAMES",
    "PAPERS",
    "eps_number",
    "eps_text",
    "loss_name",
    "mean_range",
    "number",
    "slug",
]

PAPERS = {
    "lgm": "Wan et al. 2018",
    "center": "Wen et al. 2016",
    "gm": "Wan et al. 2023",
    "gccs": "Ali et al. 2023",
    "dr_softmax": "Wang et al. 2023",
    "l_softmax": "Liu et al. 2016",
    "rce": "Pang et al. 2018 (NeurIPS)",
    "mmlda": "Pang et al. 2018 (ICML)",
    "mmc": "Pang et al. 2020",
    "mcat": "Wan et al. 2023",
    "pgd_at": "Madry et al. 2018",
    "trades": "Zhang et al. 2019",
    "lgm_at": "Wan et al. 2018, Madry et al. 2018",
}
"""Who proposed a loss; one that is not here (softmax, a user's) has no paper on the page."""

LOSS_NAMES = {
    "lgm": "L-GM",
    "center": "center",
    "softmax": "softmax",
    "gm": "GM",
    "gccs": "GCCS",
    "dr_softmax": "DR-softmax",
    "l_softmax": "L-Softmax",
    "rce": "RCE",
    "mmlda": "MMLDA",
    "mmc": "MMC",
    "mcat": "MCAT",
    "pgd_at": "PGD-AT",
    "trades": "TRADES",
    "lgm_at": "L-GM-AT",
}

_LEVEL = 1e-9  # so near to a whole number of grey levels an eps is one

FEW = "few"
"""Stands where there are too few adversarial images to measure a detector on: see `reliable`."""


def slug(name: str) -> str:
    """Make a file name of a label."""
    return re.sub(r"[^\w.+-]+", "-", name)


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


def loss_name(loss: str) -> str:
    """Write a loss for people."""
    return LOSS_NAMES.get(loss, loss)


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
