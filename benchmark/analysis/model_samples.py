"""The `samples` frame, one model at a time, as arrays over its test images: what tables and checks read.

`samples` has one row per (model, cell, image); `eer_table`, `leaderboard` and `run_checks` are pure functions
of it. An `Outcome` is a cell
with an attack: its rows, and what they say of each of the model's test images.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import isinf

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...attacks.core.threat import LEVELS, THREAT_COLUMNS, ThreatModel
from .metrics import threshold_at_fpr, worst_case

__all__ = [
    "CLEAN",
    "NOISE",
    "Flags",
    "ModelSamples",
    "Outcome",
    "attacked",
    "detectors_of",
    "fully_attacked",
    "met_by_all",
    "models_of",
]

CLEAN = "clean"
"""Attack and label of the unattacked images."""

NOISE = "uniform-noise"
"""The registry's name of the attack that only adds noise."""

SCORE = "score_"
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one attack under one threat model did to one model.

    Args:
        attack: Its name in the registry; what a rule may ask for.
        label: The suite's label, for people; to a rule no more than what tells two attacks apart.
        threat: The threat model.
        images: Which of the model's N test images were attacked, (M,), places in `ModelSamples.clean`.
        samples: Their rows of the frame, in the same order, M rows.
        ran: Whether each test image was attacked, (N,).
        correct: Whether each test image is classified correctly under attack, as it is and rounded, (N,);
            True where it was not attacked.
        detectors: Those that scored it.
    """

    attack: str
    label: str
    threat: ThreatModel
    images: NDArray[np.int64]
    samples: pd.DataFrame = field(repr=False)
    ran: Flags = field(repr=False)
    correct: Flags = field(repr=False)
    detectors: tuple[str, ...]

    @property
    def success(self) -> Flags:
        """Whether the attack turned each attacked image from right to wrong, as it is or rounded, (M,)."""
        return np.asarray(self.samples["success"] | self.samples["success_8bit"], dtype=bool)

    @property
    def rounded_success(self) -> Flags:
        """Whether the image on the 8-bit grid, which detectors score, is wrong and was right, (M,)."""
        return np.asarray(self.samples["success_8bit"], dtype=bool)

    def within(self, eps: float) -> "Outcome":
        """Give what an attack of minimal norm did under a finite eps: what lies in that ball counts.

        A rounded image counts where no rounding can have left the ball: half a level in Linf.
        """
        size = self.samples["size"].to_numpy(np.float64)
        inside = size <= eps * (1 + 1e-6)
        rounded = inside & (size <= eps - 0.5 / LEVELS) & (self.threat.norm == "Linf")
        wrong = np.asarray(self.samples["predicted"] != self.samples["y"], bool)
        fooled = self.rounded_success & rounded
        samples = self.samples.assign(success=self.success & inside & wrong | fooled, success_8bit=fooled)
        correct = np.ones_like(self.correct)
        correct[self.images] = ~((inside & wrong) | fooled)
        return replace(self, threat=replace(self.threat, eps=eps), samples=samples, correct=correct)

    def scores(self, detector: str) -> NDArray[np.float64]:
        """Give a detector's scores of the attacked images, (M,)."""
        return _scores(self.samples, detector)


@dataclass(frozen=True, eq=False)
class ModelSamples:
    """All samples of one model.

    Args:
        name, loss, seed: As in the frame.
        clean: Its N clean test images.
        validation: Its clean validation images, which set the thresholds and nothing else.
        outcomes: Its attacks.
        detectors: Those that apply to it, i.e. scored its clean images.
    """

    name: str
    loss: str
    seed: int
    clean: pd.DataFrame = field(repr=False)
    validation: pd.DataFrame = field(repr=False)
    outcomes: tuple[Outcome, ...]
    detectors: tuple[str, ...]

    @property
    def clean_correct(self) -> Flags:
        """Whether each clean test image is classified correctly, (N,)."""
        return np.asarray(self.clean["predicted"] == self.clean["y"], dtype=bool)

    def clean_scores(self, detector: str) -> NDArray[np.float64]:
        """Give a detector's scores of the clean test images, (N,)."""
        return _scores(self.clean, detector)

    def validation_scores(self, detector: str) -> NDArray[np.float64]:
        """Give a detector's scores of the clean validation images, (M,)."""
        return _scores(self.validation, detector)

    def threshold(self, detector: str, fpr: float) -> float:
        """Find the threshold that rejects at most ``fpr`` of the validation images.

        NaN where none were scored.
        """
        scores = self.validation_scores(detector)
        return np.nan if np.isnan(scores).any() else threshold_at_fpr(scores, fpr)

    def permitted(self, threat: ThreatModel) -> list[Outcome]:
        """Find what a threat model permits of what was run.

        What an attack of minimal norm found counts at every eps not below its size.
        """
        permitted = [outcome for outcome in self.outcomes if threat.permits(outcome.threat)]
        if isinf(threat.eps):
            return permitted
        minimal = [outcome for outcome in self.outcomes if isinf(outcome.threat.eps)]
        return permitted + [
            outcome.within(threat.eps)
            for outcome in minimal
            if threat.permits(replace(outcome.threat, eps=threat.eps))
        ]

    def robust(self, outcomes: Iterable[Outcome]) -> Flags:
        """Tell which test images are classified correctly.

        Clean and under every one of these attacks that was run on them, (N,).
        """
        return worst_case(np.stack([self.clean_correct, *(outcome.correct for outcome in outcomes)]))


def attacked(model: ModelSamples, outcomes: Iterable[Outcome]) -> Flags:
    """Tell which test images at least one of these attacks was run on, (N,)."""
    ran = np.zeros(len(model.clean), bool)
    for outcome in outcomes:
        ran |= outcome.ran
    return ran


def fully_attacked(model: ModelSamples, outcomes: Iterable[Outcome]) -> Flags:
    """Tell which test images every one of these attacks was run on, (N,).

    A worst case is told over these alone: an image that a strong attack skipped would count as one that
    withstood it, and a threat model that permits more could look the safer one.
    """
    ran = np.ones(len(model.clean), bool)
    for outcome in outcomes:
        ran &= outcome.ran
    return ran


def met_by_all(models: Sequence[ModelSamples], threat: ThreatModel) -> list[list[Outcome]]:
    """Give, for each model, what a threat model permits and all of these models met, in one order."""
    met = [{(one.label, one.threat): one for one in model.permitted(threat)} for model in models]
    shared = [key for key in met[0] if all(key in outcomes for outcomes in met)]
    return [[outcomes[key] for key in shared] for outcomes in met]


def detectors_of(samples: pd.DataFrame) -> list[str]:
    """Name the detectors that have scores in the frame, in its order."""
    return [column.removeprefix(SCORE) for column in samples.columns if column.startswith(SCORE)]


def models_of(samples: pd.DataFrame) -> list[ModelSamples]:
    """Split the frame into its models, by name.

    One whose clean test images were not run cannot be judged and is left out.

    The order of the frame's rows does not matter.

    Raises:
        ValueError: A sample is there twice, an attacked image has no clean row, or a detector scored some
            images of a cell and not others.
    """
    key = ["model", "split", "attack", "label", *THREAT_COLUMNS, "id"]
    if twice := int(samples.duplicated(key).sum()):
        raise ValueError(
            f"expected one row per model, cell and image, got {twice} more; were two runs put together?"
        )
    judged = samples[(samples["split"] == "test") & (samples["attack"] == CLEAN)]["model"].unique()
    return [
        _model(str(name), rows)
        for name, rows in samples[samples["model"].isin(judged)].groupby("model", observed=True)
    ]


def _model(name: str, rows: pd.DataFrame) -> ModelSamples:
    rows = rows.sort_values("id")  # the bootstrap draws places, not ids
    test = rows["split"] == "test"
    unattacked = rows["attack"] == CLEAN
    clean, unclean = rows[test & unattacked], rows[test & ~unattacked]
    ids = pd.Index(clean["id"])
    outcomes = []
    for _, part in unclean.groupby(["attack", "label", *THREAT_COLUMNS], observed=True):
        first = part.iloc[0]
        attack, label, threat = str(first["attack"]), str(first["label"]), ThreatModel.of_row(first)
        images = ids.get_indexer(pd.Index(part["id"]))
        if missing := int((images < 0).sum()):
            raise ValueError(
                f"expected every attacked image to have a clean row, got {missing} of {name} under {label} "
                "without one"
            )
        ran, correct = np.zeros(len(clean), bool), np.ones(len(clean), bool)
        ran[images] = True
        correct[images] = (part["predicted"] == part["y"]) & ~part["success_8bit"]
        outcomes.append(Outcome(attack, label, threat, images, part, ran, correct, _scored(part)))
    first = rows.iloc[0]
    return ModelSamples(
        name,
        str(first["loss"]),
        int(first["seed"]),
        clean,
        rows[~test & unattacked],
        tuple(outcomes),
        _scored(clean),
    )


def _scored(rows: pd.DataFrame) -> tuple[str, ...]:
    """Name the detectors that have scores for one cell: for all of its images, never for some."""
    names = detectors_of(rows)
    for name in names:
        missing = int(rows[SCORE + name].isna().sum())
        if 0 < missing < len(rows):
            cell = f"{rows['model'].iloc[0]} under {rows['label'].iloc[0]}"
            raise ValueError(
                f"expected {SCORE}{name} to be NaN in all rows of a cell or in none, got {missing} of "
                f"{len(rows)} for {cell}"
            )
    return tuple(name for name in names if rows[SCORE + name].notna().any())


def _scores(rows: pd.DataFrame, detector: str) -> NDArray[np.float64]:
    return rows[SCORE + detector].to_numpy(dtype=np.float64)
