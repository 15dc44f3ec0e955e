"""An attack under a threat model, whatever its eps.

What one panel of a figure or one section of a table shows.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from ...detectors.verification import verification_detector
from ...models.losses import about_loss, in_order
from .metrics import FEWEST, WITH_DETECTION
from .model_samples import ModelSamples, Outcome

__all__ = [
    "FGSM",
    "NORM",
    "WITH_DETECTION",
    "AttackSeries",
    "accuracy_by_attack",
    "attacks_of",
    "eps_of",
    "fullest_eps",
    "losses_of",
    "middle_eps",
    "most_attacked",
    "number_of",
    "own_rows",
    "reliable",
    "rows_of",
    "series_of",
    "slug",
    "verification_detectors",
]

NORM = "Linf"
FGSM = "fgsm"
"""Its name in the registry."""


class AttackSeries(NamedTuple):
    """The columns of the frames that tell one attack from another; only eps is missing.

    Args:
        attack: Its name in the registry.
        label: The suite's, which tells apart what shares all else.
        norm, access, awareness: As in `ThreatModel`.
    """

    attack: str
    label: str
    norm: str
    access: str
    awareness: str

    @property
    def title(self) -> str:
        return f"{self.label} ({self.norm}, {self.access}, {self.awareness})"

    @property
    def slug(self) -> str:
        """The series as a file name."""
        return slug("-".join(self[1:]))

    def rows(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Select the rows of this series."""
        chosen = np.logical_and.reduce([frame[column] == value for column, value in self._asdict().items()])
        return frame[chosen]

    def outcomes(self, model: ModelSamples) -> list[Outcome]:
        """Select the outcomes of this series, eps rising."""
        chosen = [
            outcome
            for outcome in model.outcomes
            if outcome.label == self.label
            and (outcome.threat.norm, outcome.threat.access, outcome.threat.awareness) == self[2:]
        ]
        return sorted(chosen, key=lambda outcome: outcome.threat.eps)


def rows_of(eer: pd.DataFrame, attack: str) -> pd.DataFrame:
    """Select the rows of an attack by its name in the registry, white-box and in Linf.

    Where a suite has several of it, with other options, those in which each training does worst.
    """
    wanted = {"attack": attack, "norm": NORM, "access": "white-box"}
    rows = eer[np.logical_and.reduce([eer[column] == value for column, value in wanted.items()])]
    worst_last = rows.sort_values("eer", na_position="first", kind="stable")
    return worst_last.drop_duplicates(["model", "eps", "detector", "population"], keep="last").sort_index()


def slug(name: str) -> str:
    """Make a file name of a label."""
    return re.sub(r"[^\w.+-]+", "-", name)


def series_of(frame: pd.DataFrame) -> list[AttackSeries]:
    """List the attacks of a frame in the order in which they first appear; "clean" is none."""
    table = frame.loc[frame["attack"] != "clean", list(AttackSeries._fields)].drop_duplicates()
    return [AttackSeries(*(str(value) for value in row)) for row in table.itertuples(index=False)]


def eps_of(frame: pd.DataFrame) -> list[float]:
    """List the eps of a frame, rising.

    Infinity, the attack that looks for the smallest perturbation, comes last.
    """
    return sorted(float(eps) for eps in frame["eps"].unique())


def accuracy_by_attack(models: Sequence[ModelSamples]) -> pd.DataFrame:
    """Count what is right before and after each attack, a row per model, attack and eps."""
    rows = [
        {
            "model": model.name,
            "loss": model.loss,
            "seed": model.seed,
            "attack": outcome.attack,
            "label": outcome.label,
            **outcome.threat.row(),
            "clean_accuracy": model.clean_correct[outcome.images].mean(),
            "accuracy": outcome.correct[outcome.images].mean(),
        }
        for model in models
        for outcome in model.outcomes
    ]
    return pd.DataFrame(
        rows, columns=["model", "loss", "seed", *AttackSeries._fields, "eps", "clean_accuracy", "accuracy"]
    )


def middle_eps(models: Sequence[ModelSamples]) -> dict[str, float]:
    """Find for each norm the eps at which most attacks were run, {norm: eps}.

    Of several the middle one, of two in the middle the lower.
    """
    runs = {
        (outcome.label, outcome.threat)
        for model in models
        for outcome in model.outcomes
        if np.isfinite(outcome.threat.eps)
    }
    counts = Counter((threat.norm, threat.eps) for _, threat in runs)
    most: dict[str, list[float]] = {}
    for (norm, eps), count in sorted(counts.items()):
        if count == max(other for (other_norm, _), other in counts.items() if other_norm == norm):
            most.setdefault(norm, []).append(eps)
    return {norm: several[(len(several) - 1) // 2] for norm, several in most.items()}


def reliable(eer: pd.DataFrame) -> pd.DataFrame:
    """Make the EER of fewer than `FEWEST` adversarial images NaN: that of one or two may be anything.

    `few` says so in a table.
    """
    return eer.assign(eer=eer["eer"].where(eer["adversarials"] >= FEWEST))


def most_attacked(leaderboard: pd.DataFrame, *, across_eps: bool = False) -> pd.DataFrame:
    """Keep, of each loss and threat model, the seeds that met the most attacks.

    A mean over seeds must be over the same attacks.

    Args:
        leaderboard: The leaderboard.
        across_eps: Whether to keep only the eps at which the most attacks were run, too: so must a curve over
            eps.
    """
    attacks = leaderboard["attacks"].astype(str).str.count(";")
    same = ["loss", "norm", "access", "awareness"] + ([] if across_eps else ["eps"])
    return leaderboard[
        attacks == attacks.groupby([leaderboard[name].astype(str) for name in same]).transform("max")
    ]


def own_rows(leaderboard: pd.DataFrame, detectors: Mapping[str, str]) -> pd.DataFrame:
    """Select one row per model and threat model, that of the loss's detector.

    Any of a loss that has none, without what speaks of it.
    """
    loss, detector = leaderboard["loss"].astype(str), leaderboard["detector"].astype(str)
    own = leaderboard[detector == loss.map(dict(detectors))]
    without = leaderboard[~loss.isin(list(detectors))].drop_duplicates(
        ["model", "norm", "eps", "access", "awareness"]
    )
    return (
        pd.concat(
            [
                own,
                without.assign(robust_accuracy_with_detection=np.nan, eer_all=np.nan, eer_successful=np.nan),
            ]
        )
        if len(without)
        else own
    )


def losses_of(frame: pd.DataFrame) -> list[str]:
    """List the losses of a frame: L-GM and what the paper compares it with first, then the others by name."""
    return in_order(str(loss) for loss in frame["loss"].unique())


def verification_detectors(models: Sequence[ModelSamples]) -> dict[str, str]:
    """Choose for each loss the detector that its paper verifies inputs with, {loss: detector}.

    Of those that all its models have, see `verification_detector`; a loss to which none applies is left out.
    """
    applies = {
        loss: [model.detectors for model in models if model.loss == loss]
        for loss in {model.loss for model in models}
    }
    chosen = {}
    for loss in in_order(applies):
        common = [name for name in applies[loss][0] if all(name in other for other in applies[loss])]
        if detector := verification_detector(about_loss(loss).detector, common):
            chosen[loss] = detector
    return chosen


def fullest_eps(leaderboard: pd.DataFrame, access: str, awareness: str) -> list[float]:
    """List the finite eps at which a threat model in Linf met the most attacks, rising.

    Empty where it was not run.
    """
    rows = _under(leaderboard, (access, awareness))
    sizes = [eps for eps in eps_of(rows) if np.isfinite(eps)]
    most = {eps: max(map(len, map(attacks_of, rows.loc[rows["eps"] == eps, "attacks"]))) for eps in sizes}
    return sorted(eps for eps, count in most.items() if count == max(most.values()))


def attacks_of(attacks: object) -> frozenset[str]:
    """Split the leaderboard's list of attacks."""
    return frozenset(str(attacks).split(";"))


def number_of(attacks: Collection[str]) -> str:
    """Say how many attacks there are."""
    return "1 attack" if len(attacks) == 1 else f"{len(attacks)} attacks"


def _under(leaderboard: pd.DataFrame, threat: tuple[str, str]) -> pd.DataFrame:
    columns = zip(("norm", "access", "awareness"), (NORM, *threat), strict=True)
    return leaderboard[
        np.logical_and.reduce([leaderboard[column].astype(str) == value for column, value in columns])
    ]
