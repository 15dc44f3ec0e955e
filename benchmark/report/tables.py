"""The tables for people: Markdown for the report, LaTeX for a paper.

Percentages with one decimal; a number is the mean over the training seeds. [low, high] is, of what is
compared with the papers, `OverTrainings`, from the lowest to the highest end of the seeds' intervals; of all
else the range over the seeds. Never NaN: "n/a" where a detector does not apply, "few" where too few images
are there to measure it on, and a line below the title that says so.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd

from ...detectors.detector import why_not
from ...models.losses import loss_name
from ..analysis.attack_series import (
    AttackSeries,
    eps_of,
    losses_of,
    most_attacked,
    own_rows,
    reliable,
    series_of,
)
from ..analysis.eer_table import POPULATIONS
from ..analysis.leaderboard import verdict_text
from ..analysis.metrics import FEWEST
from ..analysis.over_trainings import OverTrainings
from ..analysis.wording import FEW, eps_number, eps_text, mean_range, number
from .escape import latex

__all__ = ["eer_latex", "eer_markdown", "headline_markdown", "leaderboard_markdown", "markdown"]

_HOW_TO_READ = (
    "In per cent, mean over the training seeds, [low, high] over them. Negatives are the clean versions of "
    "the attacked images; positives"
    " are *all* their adversarial versions, or the *successful* ones, which turned a right prediction into a "
    "wrong one."
)

_THREAT = ["norm", "eps", "access", "awareness"]

_SHARES = {
    "clean_accuracy": "clean accuracy",
    "robust_accuracy": "robust accuracy",
    "robust_accuracy_with_detection": "robust accuracy with detection",
    "fpr_at_5": "FPR",
    "eer_all": "EER, all",
    "eer_successful": "EER, successful",
}

# where there are no validation images to set a threshold on
_MISSING = dict.fromkeys(("robust_accuracy_with_detection", "fpr_at_5"), "n/a")

_PIPE = re.compile(r"(?<!\\)\|")  # that nobody escaped


def eer_markdown(eer: pd.DataFrame) -> str:
    """Write every EER: a section per attack, a table per eps, a row per loss and population.

    A column per detector.
    """
    eer, detectors = reliable(eer), _detectors(eer)
    present = _present(eer)
    parts = ["# Equal error rates", _HOW_TO_READ, *_notes(eer, detectors)]
    for series in series_of(eer):
        rows = series.rows(eer)
        parts.append(f"## {series.title}")
        for eps in eps_of(rows):
            parts += [f"### {eps_text(eps)}", markdown(_eer_cells(rows, eps, detectors, present))]
    return "\n\n".join(parts) + "\n"


def eer_latex(eer: pd.DataFrame) -> str:
    r"""Write every EER as LaTeX: a table per attack that needs ``\usepackage{booktabs}`` and nothing else."""
    eer, detectors = reliable(eer), _detectors(eer)
    head = [
        r"% \usepackage{booktabs}",
        "% EER in per cent, mean over the training seeds: all / successful adversarials.",
        *(f"% {note}" for note in _notes(eer, detectors)),
    ]
    return (
        "\n".join([*head, *(_latex_table(series, series.rows(eer), detectors) for series in series_of(eer))])
        + "\n"
    )


def leaderboard_markdown(leaderboard: pd.DataFrame) -> str:
    """Write a table per threat model with every detector, seeds together.

    The best robust accuracy with detection first.
    """
    parts = ["# Leaderboard"]
    for threat, rows in leaderboard.groupby(_THREAT, observed=True, sort=True):
        norm, eps, access, awareness = cast(tuple[str, float, str, str], threat)
        attacks = ", ".join(
            dict.fromkeys(attack for row in rows["attacks"].astype(str) for attack in row.split(";"))
        )
        parts += [f"## {norm}, {eps_text(eps)}, {access}, {awareness}", f"Attacks: {attacks}."]
        parts.append(markdown([_shares(part) | _costs(part) | _verdict(part) for part in _best_first(rows)]))
    return "\n\n".join(parts) + "\n"


def headline_markdown(leaderboard: pd.DataFrame, detectors: Mapping[str, str]) -> str:
    """Write one table of all threat models with one detector a loss, of the seeds that met the most attacks.

    Args:
        leaderboard: The leaderboard.
        detectors: {loss: detector}, see `verification_detectors`.
    """
    lines = []
    for threat, rows in most_attacked(own_rows(leaderboard, detectors)).groupby(
        _THREAT, observed=True, sort=True
    ):
        norm, eps, access, awareness = cast(tuple[str, float, str, str], threat)
        named = {"norm": norm, "eps": eps_number(eps), "attacker": f"{access}, {awareness}"}
        lines += [named | _shares(part) | _verdict(part) for part in _best_first(rows)]
    return markdown(lines)


def markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """Write rows of the same columns as a table; a cell may hold anything but a line break."""
    if not rows:
        return "Nothing was measured."
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join("| " + " | ".join(_PIPE.sub(r"\|", cell) for cell in line) + " |" for line in lines)


def _detectors(eer: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(eer["detector"].astype(str)))


def _notes(eer: pd.DataFrame, detectors: Sequence[str]) -> list[str]:
    """Say why cells hold no number."""
    present = _present(eer)
    lacking = {
        detector: [loss_name(loss) for loss in losses_of(eer) if (loss, detector) not in present]
        for detector in detectors
    }
    notes = [
        f"n/a: {detector} does not apply to {', '.join(losses)}: {why_not(detector)}."
        for detector, losses in lacking.items()
        if losses
    ]
    if eer["eer"].isna().any():
        notes.append(
            f"{FEW}: fewer than {FEWEST} adversarials, too few for an EER; eer.csv tells it and its interval."
        )
    return notes


def _present(eer: pd.DataFrame) -> set[tuple[str, str]]:
    """Tell which detectors apply to which losses, {(loss, detector)}."""
    return set(zip(eer["loss"].astype(str), eer["detector"].astype(str), strict=True))


def _by_seed(rows: pd.DataFrame) -> dict[tuple[Any, ...], list[float]]:
    """Collect the EERs of the seeds, {(eps, loss, detector, population): EERs}."""
    return {
        key: list(values)
        for key, values in rows.groupby(["eps", "loss", "detector", "population"], observed=True)["eer"]
    }


def _eer_cells(
    rows: pd.DataFrame, eps: float, detectors: Sequence[str], present: set[tuple[str, str]]
) -> list[dict[str, str]]:
    rows = rows[rows["eps"] == eps]
    success = rows.drop_duplicates("model").groupby("loss", observed=True)["success_rate"]
    rates = {str(loss): mean_range(values, missing="n/a") for loss, values in success}
    measured = _by_seed(rows)
    table = []
    for loss in losses_of(rows):
        for population in POPULATIONS:
            eers = {detector: measured.get((eps, loss, detector, population)) for detector in detectors}
            line = {"loss": loss_name(loss), "adversarials": population, "success (%)": rates[loss]}
            missing = {
                detector: "not run" if (loss, detector) in present else "n/a" for detector in detectors
            }
            table.append(
                line
                | {
                    detector: mean_range(values) if values else missing[detector]
                    for detector, values in eers.items()
                }
            )
    return table


def _latex_table(series: AttackSeries, rows: pd.DataFrame, detectors: Sequence[str]) -> str:
    lines = [
        r"\begin{table}[p]",
        r"\centering\scriptsize\setlength{\tabcolsep}{3pt}",
        rf"\caption{{EER (\%), all / successful adversarials: {latex(series.title)}}}",
        rf"\begin{{tabular}}{{ll{'c' * len(detectors)}}}",
        r"\toprule",
        " & ".join([r"$\epsilon$", "loss", *map(latex, detectors)]) + r" \\",
    ]
    measured = _by_seed(rows)
    for eps in eps_of(rows):
        lines.append(r"\midrule")
        for place, loss in enumerate(losses_of(rows[rows["eps"] == eps])):
            size = "" if place else eps_number(eps)
            both = [
                [measured.get((eps, loss, detector, population)) for population in POPULATIONS]
                for detector in detectors
            ]
            cells = [
                " / ".join(number(float(np.mean(values))) for values in pair if values) or "n/a"
                for pair in both
            ]
            lines.append(" & ".join([size, latex(loss_name(loss)), *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"])


def _best_first(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """Put together the seeds of each loss and detector that met the same attacks.

    Those that met more attacks come first, then the best mean robust accuracy with detection.
    Those without one last.
    """
    parts = [part for _, part in rows.groupby(["loss", "detector", "attacks"], observed=True, sort=True)]
    return sorted(
        parts,
        key=lambda part: (
            -_attacks(part),
            -np.nan_to_num(part["robust_accuracy_with_detection"].mean(), nan=-1),
        ),
    )


def _attacks(rows: pd.DataFrame) -> int:
    return len(str(rows["attacks"].iloc[0]).split(";"))


def _shares(rows: pd.DataFrame) -> dict[str, str]:
    line = {
        "loss": loss_name(str(rows["loss"].iloc[0])),
        "detector": str(rows["detector"].iloc[0]),
        "seeds": _seeds(rows),
        "attacks": str(_attacks(rows)),
        "images": str(rows["images"].max()),
    }
    for column, title in _SHARES.items():
        missing = _MISSING.get(column, FEW)
        has_ends = f"{column}_low" in rows
        line[f"{title} (%)"] = (
            OverTrainings.of(rows, column).text(missing=missing)
            if has_ends
            else mean_range(rows[column], missing=missing)
        )
    return line | {
        "worst attack": ", ".join(
            dict.fromkeys(attack for attack in rows["worst_attack"].astype(str) if attack)
        )
        or FEW
    }


def _seeds(rows: pd.DataFrame) -> str:
    return ", ".join(str(seed) for seed in sorted(rows["seed"].unique()))


def _costs(rows: pd.DataFrame) -> dict[str, str]:
    size = {"mean size": mean_range(rows["mean_size"], scale=1, digits=3, missing="none")}
    return size | {
        f"{column} an image": mean_range(rows[column], scale=1) for column in ("forwards", "backwards")
    }


def _verdict(rows: pd.DataFrame) -> dict[str, str]:
    return {"verdict": verdict_text(rows)}
