"""The paper's figures: the verification EERs that the L-GM paper states, beside what was measured.

Wan, Zhong, Li, Chen, CVPR 2018, arXiv 1803.02988: an equal error rate of 3.1 % for L-GM, 10.2 % for the
center loss, 37.7 % for softmax, and 4.3 % for L-GM where the FGSM examples were made to raise the likelihood.
Data set, eps, softmax score and the choice of samples are not public; what stands behind a measured number is
this suite's choice and is said beside it.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .eer_table import POPULATIONS
from .setting import eps_number, loss_name, reliable
from .share import Share, number
from .tables import markdown

Floats = NDArray[np.float64]

__all__ = ["PUBLISHED", "Published", "measured", "met_table", "order_table", "paper_markdown", "paper_table"]


@dataclass(frozen=True)
class Published:
    """One number of the paper, and the choices of this suite that stand for the paper's.

    Args:
        attack: The suite's label of the attack, white-box and in Linf.
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
    Published("fgsm", "lgm", "likelihood", _LIKELIHOOD, 0.031),
    Published("fgsm", "center", "likelihood", "distance to the centre of the predicted class", 0.102),
    Published("fgsm", "softmax", "msp", "maximum softmax probability", 0.377),
    Published("likelihood-fgsm", "lgm", "likelihood", _LIKELIHOOD, 0.043),
)
_ORDER = tuple(published for published in PUBLISHED if published.attack == "fgsm")
_NOT_PUBLIC = (
    "The paper (Wan et al., CVPR 2018) states these equal error rates without its data set, eps, softmax "
    "score and choice of samples, which"
    " are not public. Here: the data and the eps of this suite; white-box attacks in Linf; the predicted "
    "class's likelihood or centre; for"
    " softmax the maximum softmax probability; negatives are the clean versions of all attacked images; "
    "positives *all* adversarial images,"
    " or the *successful* ones. In per cent, mean over the training seeds, [low, high] from the lowest to "
    "the highest end of their 95 %"
    " intervals over the images; few: a seed has too few adversarial images for an EER. Nothing was tuned to "
    "meet a number."
)


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
    wanted = {
        "attack": published.attack,
        "loss": published.loss,
        "detector": published.detector,
        "population": population,
        "norm": "Linf",
        "access": "white-box",
    }
    return reliable(eer[np.logical_and.reduce([eer[column] == value for column, value in wanted.items()])])


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
    losses = [published.loss for published in _ORDER]
    table = paper_table(eer)
    table = table[table["attack"] == "fgsm"].pivot_table(
        index=["population", "eps"], columns="loss", values="measured"
    )
    table = table.reindex(columns=losses).dropna().reset_index()
    return table.assign(holds=(table["lgm"] < table["center"]) & (table["center"] < table["softmax"]))


def paper_markdown(eer: pd.DataFrame) -> str:
    """Write the section "The paper's figures"; empty where this suite measured none of them."""
    table = paper_table(eer)
    if table.empty:
        return ""
    parts = ["## The paper's figures", _NOT_PUBLIC]
    for attack in table["attack"].unique():
        columns = [published for published in PUBLISHED if published.attack == attack]
        parts += [f"### {attack}", markdown(_comparison(eer, columns))]
    lines = [
        {
            "attack": row["attack"],
            "loss": loss_name(row["loss"]),
            "adversarials": row["population"],
            "paper (%)": number(row["published"]),
            "met": row["met"],
        }
        for _, row in met_table(eer).iterrows()
    ]
    parts += [
        "### At which eps each number is met",
        "Linear between the eps that were measured.",
        markdown(lines),
    ]
    if len(order := order_table(eer)):
        parts += [
            "### The order of the means: L-GM < center < softmax",
            "Of the means alone; the papers' claims above judge it by intervals.",
            markdown([_order_line(row) for _, row in order.iterrows()]),
        ]
    return "\n\n".join(parts) + "\n"


def _comparison(eer: pd.DataFrame, columns: list[Published]) -> list[dict[str, str]]:
    lines = []
    for population in POPULATIONS:
        paper = {
            f"{loss_name(published.loss)}: {published.score}": f"**{number(published.eer)}**"
            for published in columns
        }
        lines.append({"adversarials": "paper", "eps": "not public", **paper})
        own = {
            title: measured(eer, published, population)
            for title, published in zip(paper, columns, strict=True)
        }
        for eps in sorted({float(eps) for rows in own.values() for eps in rows["eps"]}):
            cells = {title: rows[rows["eps"] == eps] for title, rows in own.items()}
            texts = {
                title: Share.of(rows, "eer").text() if len(rows) else "not run"
                for title, rows in cells.items()
            }
            lines.append({"adversarials": population, "eps": eps_number(eps), **texts})
    return lines


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


def _order_line(row: "pd.Series[Any]") -> dict[str, str]:
    wrong = [(a, b) for a, b in pairwise([published.loss for published in _ORDER]) if not row[a] < row[b]]
    verdict = "; ".join(
        f"{loss_name(a)} {number(row[a])} is not below {loss_name(b)} {number(row[b])}" for a, b in wrong
    )
    values = {f"{loss_name(published.loss)} (%)": number(row[published.loss]) for published in _ORDER}
    return {
        "adversarials": row["population"],
        "eps": eps_number(float(row["eps"])),
        **values,
        "order": f"does not hold: {verdict}" if wrong else "holds",
    }
