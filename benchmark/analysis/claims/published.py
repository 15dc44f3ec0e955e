"""The paper's figures: the verification EERs that the L-GM paper states, beside what was measured.

Wan, Zhong, Li, Chen, CVPR 2018, arXiv 1803.02988: an equal error rate of 3.1 % for L-GM, 10.2 % for the
center loss, 37.7 % for softmax, and 4.3 % for L-GM where the FGSM examples were made to raise the likelihood.
Data set, eps, softmax score and the choice of samples are not public; what stands behind a measured number is
this suite's choice and is said beside it.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..attack_series import FGSM, reliable, rows_of
from ..eer_table import POPULATIONS
from ..wording import eps_number, number

__all__ = ["ORDER", "PUBLISHED", "Published", "measured", "met_table", "order_table", "paper_table"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Published:
    """One number of the paper, and the choices of this suite that stand for the paper's.

    Args:
        attack: The attack's name in the registry; white-box and in Linf.
        loss: The loss.
        detector: The detector.
        score: What the detector's score is, in words.
        eer: As printed, a fraction.
    """

    attack: str
    loss: str
    detector: str
    score: str
    eer: float


_LIKELIHOOD = "likelihood under the predicted class"

PUBLISHED = (
    Published(FGSM, "lgm", "likelihood", _LIKELIHOOD, 0.031),
    Published(FGSM, "center", "likelihood", "distance to the centre of the predicted class", 0.102),
    Published(FGSM, "softmax", "msp", "maximum softmax probability", 0.377),
    Published("likelihood-fgsm", "lgm", "likelihood", _LIKELIHOOD, 0.043),
)

ORDER = tuple(published for published in PUBLISHED if published.attack == FGSM)


def paper_table(eer: pd.DataFrame) -> pd.DataFrame:
    """Put what was measured beside the paper, a row per number, population and eps.

    Args:
        eer: The table of EERs.

    Returns:
        attack, loss, population, eps, seeds, measured (mean; NaN where a seed has no EER), published.
    """
    rows = [
        (
            published.attack,
            published.loss,
            population,
            eps,
            len(values),
            values.mean(skipna=False),
            published.eer,
        )
        for published in PUBLISHED
        for population in POPULATIONS
        for eps, values in measured(eer, published, population).groupby("eps")["eer"]
    ]
    return pd.DataFrame(
        rows, columns=["attack", "loss", "population", "eps", "seeds", "measured", "published"]
    )


def measured(eer: pd.DataFrame, published: Published, population: str) -> pd.DataFrame:
    """Select the rows that stand beside a number of the paper, a row per training and eps.

    An EER of too few images is NaN.
    """
    wanted = {"loss": published.loss, "detector": published.detector, "population": population}
    rows = eer[np.logical_and.reduce([eer[column] == value for column, value in wanted.items()])]
    return rows_of(reliable(rows), published.attack)


def met_table(eer: pd.DataFrame) -> pd.DataFrame:
    """Find at which eps the mean EER equals the published one, a row per number and population.

    Between two eps that were measured the EER is taken to be linear; outside of them nothing is said.

    Returns:
        attack, loss, population, published, eps (a list, empty where it is not met), met (in words).
    """
    rows = []
    for (attack, loss, population), part in (
        paper_table(eer).dropna(subset=["measured"]).groupby(["attack", "loss", "population"], sort=False)
    ):
        eps, means = part["eps"].to_numpy(np.float64), part["measured"].to_numpy(np.float64)
        gap = means - part["published"].to_numpy(np.float64)
        crossings = _crossings(eps, gap)
        rows.append(
            (
                attack,
                loss,
                population,
                part["published"].iloc[0],
                crossings,
                _in_words(eps, gap, means, crossings),
            )
        )
    return pd.DataFrame(rows, columns=["attack", "loss", "population", "published", "eps", "met"])


def order_table(eer: pd.DataFrame) -> pd.DataFrame:
    """Check the paper's order, L-GM < center < softmax.

    A row per population and eps at which all three were measured.

    Returns:
        population, eps, lgm, center, softmax (mean EERs), holds.
    """
    losses = [published.loss for published in ORDER]
    table = paper_table(eer)
    table = table[table["attack"] == FGSM].pivot_table(
        index=["population", "eps"], columns="loss", values="measured"
    )
    table = table.reindex(columns=losses).dropna().reset_index()
    return table.assign(holds=(table["lgm"] < table["center"]) & (table["center"] < table["softmax"]))


def _crossings(eps: Floats, gap: Floats) -> list[float]:
    exact = [float(e) for e, g in zip(eps, gap, strict=True) if g == 0]
    between = [
        float(e0 + (e1 - e0) * g0 / (g0 - g1))
        for (e0, g0), (e1, g1) in pairwise(zip(eps, gap, strict=True))
        if g0 * g1 < 0
    ]
    return sorted(exact + between)


def _in_words(eps: Floats, gap: Floats, means: Floats, crossings: list[float]) -> str:
    if crossings:
        return "at eps " + ", ".join(f"{value:.3g}" for value in crossings)
    nearest = int(np.abs(gap).argmin())
    side = "above" if gap[0] > 0 else "below"
    closest = f"{number(float(means[nearest]))} % at eps {eps_number(float(eps[nearest]))}"
    return f"{side} the paper's at every eps, nearest {closest}"
