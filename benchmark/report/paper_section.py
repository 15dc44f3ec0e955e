"""The section "The paper's figures": what the L-GM paper states beside what was measured, see `published`."""

from itertools import pairwise
from typing import Any

import pandas as pd

from ...models.losses import loss_name
from ..analysis.claims.published import (
    ORDER,
    PUBLISHED,
    Published,
    measured,
    met_table,
    order_table,
    paper_table,
)
from ..analysis.eer_table import POPULATIONS
from ..analysis.over_trainings import OverTrainings
from ..analysis.wording import eps_number, number
from .tables import markdown

__all__ = ["paper_markdown"]

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
                title: OverTrainings.of(rows, "eer").text() if len(rows) else "not run"
                for title, rows in cells.items()
            }
            lines.append({"adversarials": population, "eps": eps_number(eps), **texts})
    return lines


def _order_line(row: "pd.Series[Any]") -> dict[str, str]:
    wrong = [(a, b) for a, b in pairwise([published.loss for published in ORDER]) if not row[a] < row[b]]
    verdict = "; ".join(
        f"{loss_name(a)} {number(row[a])} is not below {loss_name(b)} {number(row[b])}" for a, b in wrong
    )
    values = {f"{loss_name(published.loss)} (%)": number(row[published.loss]) for published in ORDER}
    return {
        "adversarials": row["population"],
        "eps": eps_number(float(row["eps"])),
        **values,
        "order": f"does not hold: {verdict}" if wrong else "holds",
    }
