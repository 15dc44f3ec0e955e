"""A detector on what an attack left behind, from a notebook; fitted and calibrated as in a suite."""

from dataclasses import dataclass, field
from pathlib import Path

import matplotlib.style
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ...attacks.core.grid import on_grid
from ...detectors import Detector
from ..analysis import metrics
from ..engine.defense import fresh
from .attacking import AttackRun
from .fitting import fitted, split_of
from .model import Images
from .shown import ShownFigure, table_of

__all__ = ["Detection", "detect"]

Scores = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Detection:
    """What a detector makes of clean and attacked images; scores are higher for the more suspicious.

    Args:
        run: The attack.
        detector: Fitted.
        clean: Its scores of the clean images, (N,).
        adversarial: Of the attacked ones, rounded to the 8-bit grid inside the ball, (N,).
        validation: Of the clean validation images, which set the thresholds and nothing else.
        successful: Whether those that fool when rounded are alone the positives; else all are.
    """

    run: AttackRun
    detector: Detector
    clean: Scores = field(repr=False)
    adversarial: Scores = field(repr=False)
    validation: Scores = field(repr=False)
    successful: bool = False

    @property
    def positives(self) -> Scores:
        """The scores of the images that are to be detected, (M,)."""
        fooled = self.run.table["success_8bit"].to_numpy(bool)
        return self.adversarial[fooled] if self.successful else self.adversarial

    @property
    def eer(self) -> float:
        """The equal error rate: 0 is perfect, .5 chance; NaN where there are no positives."""
        return metrics.eer(self.clean, self.positives)

    @property
    def auroc(self) -> float:
        """The chance that an attacked image scores higher than a clean one; NaN where there are none."""
        return metrics.auroc(self.clean, self.positives)

    def threshold(self, fpr: float = 0.05) -> float:
        """Find the smallest threshold that rejects at most ``fpr`` of the validation images."""
        return metrics.threshold_at_fpr(self.validation, fpr)

    def tpr(self, fpr: float = 0.05) -> float:
        """Compute the share of the positives that is rejected at that threshold."""
        return metrics.tpr(self.positives, self.threshold(fpr))

    def fpr(self, fpr: float = 0.05) -> float:
        """Compute the share of the clean test images that is rejected at that threshold."""
        return metrics.tpr(self.clean, self.threshold(fpr))

    def plot(self) -> Figure:
        """Draw the ROC curve beside histograms of the scores."""
        with matplotlib.style.context("default"):
            figure = ShownFigure(figsize=(8, 3.2), layout="constrained")
            curve, scores = figure.subplots(1, 2)
            if len(self.positives):
                points = metrics.roc(self.clean, self.positives)
                curve.plot(points.fpr, points.tpr, drawstyle="steps-post")
            curve.plot([0, 1], [1, 0], color="#777777", linewidth=0.8)
            curve.set(xlabel="clean images rejected", ylabel="attacked images rejected", aspect="equal")
            curve.set_title(f"EER {self.eer:.1%}, AUROC {self.auroc:.3f}")
            finite = [values[np.isfinite(values)] for values in (self.clean, self.positives)]
            bins = np.histogram_bin_edges(np.concatenate(finite), 40)
            for values, name in zip(finite, ("clean", "attacked"), strict=True):
                scores.hist(values, bins.tolist(), histtype="step", label=name)
            scores.axvline(self.threshold(), color="#777777", linewidth=0.8)
            scores.set(xlabel=f"score of {type(self.detector).__name__}", ylabel="images")
            scores.legend()
        return figure

    def _repr_html_(self) -> str:
        kind = "successful" if self.successful else "attacked"
        return table_of(
            {
                "model": self.run.model.name,
                "attack": f"{self.run.attack}, {self.run.threat}",
                "detector": self.detector,
                "positives": f"{len(self.positives)} {kind} images",
                "EER": f"{self.eer:.1%}",
                "AUROC": f"{self.auroc:.3f}",
                "TPR at 5 % FPR": f"{self.tpr():.1%} (of the clean test images {self.fpr():.1%})",
            }
        )


def detect(
    run: AttackRun,
    detector: Detector | str,
    *,
    train: tuple[Images, Images] | None = None,
    validation: tuple[Images, Images] | None = None,
    successful: bool = False,
    root: Path | None = None,
) -> Detection:
    """Fit a detector on clean training images and let it score the clean and the attacked ones.

    Args:
        run: What `attack` gave.
        detector: A name of ``gmbench list``, "own" for the one that the model brings, or a `Detector`, which
            is fitted.
        train: Clean images and classes to fit it on; without them the training split of the model's data.
        validation: Clean images and classes that set thresholds; without them the validation split.
        successful: Whether only the attack's successes are to be detected.
        root: Folder of the data sets.

    Raises:
        UnknownName: No such detector.
        ValueError: It does not apply to the model, or nobody said what the model was trained on.
    """
    with fresh(run.model.entrant) as entrant:
        found = fitted(detector, run.model, entrant, train, root)
        held_out, _ = split_of(run.model, "validation", validation, root)
        shown = [run.x, on_grid(run.x, run.x_adv, run.threat), held_out]
        order = entrant.classifier.order(sum(map(len, shown)))
        scores = found.scores(torch.cat(shown)[order])[order.argsort()]
        clean, attacked, kept = (part.numpy() for part in scores.split(list(map(len, shown))))
    return Detection(run, found.detector, clean, attacked, kept, successful)
