"""Histograms of the score of clean and of adversarial images, as in the L-GM paper.

Is an attacked image less likely than a clean one?
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from ....models.losses import loss_name
from ...analysis.attack_series import middle_eps
from ...analysis.model_samples import ModelSamples, Outcome
from ...analysis.wording import eps_text
from .style import grid, headline, hide, legend, styled, wrap

__all__ = ["histogram_figure"]

_BINS = 30

# percent of the images at each end, drawn in the outermost bins: one image far away would leave one bin for
# all others
_TAIL = 1

_CLEAN, _SUCCESSFUL = "#999999", "#D55E00"

_AXES = {
    "likelihood": "log-likelihood (nats)",
    "mixture": "log-likelihood, mixture (nats)",
    "msp": "log p / (1 - p) (nats)",
    "distance": "minus distance to centre",
}


@styled
def histogram_figure(models: Sequence[ModelSamples], loss: str, detectors: Mapping[str, str]) -> Figure:
    """Draw the scores of the first seed of ``loss``, a panel per attack.

    At the eps where most attacks were run.

    The axis is minus the score: suspicious images lie on the left, as unlikely ones do in the paper.

    Args:
        models: The samples of the suite.
        loss: Which models.
        detectors: {loss: detector}, see `verification_detectors`.
    """
    model = min((model for model in models if model.loss == loss), key=lambda model: model.seed)
    detector = detectors[loss]
    middles = middle_eps(models)
    outcomes = [
        outcome
        for outcome in model.outcomes
        if detector in outcome.detectors and outcome.threat.eps in (middles.get(outcome.threat.norm), np.inf)
    ]
    height, width = wrap(max(len(outcomes), 1))
    figure, panels = grid(height, width, (1.4, 1.1), entries=3, head=0.75, between=(0.3, 0.95))
    flat = list(panels.ravel())
    hide(flat[len(outcomes) :])
    for axes, outcome in zip(flat, outcomes, strict=False):
        _panel(
            axes, -model.clean_scores(detector)[outcome.images], -outcome.scores(detector), outcome.success
        )
        axes.set_title(_title(outcome))
        axes.set_xlabel(_AXES.get(detector, f"minus {detector} score"))
    for axes in panels[:, 0]:
        axes.set_ylabel("images in bin (%)")
    handles = [
        Patch(facecolor=_CLEAN, alpha=0.6, label="clean"),
        Line2D([], [], color="black", linestyle=":", label="adversarial, all"),
        Line2D([], [], color=_SUCCESSFUL, linestyle="-", label="adversarial, successful"),
    ]
    legend(figure, handles)
    headline(figure, f"{loss_name(loss)}, seed {model.seed}, {detector}")
    return figure


def _title(outcome: Outcome) -> str:
    threat = outcome.threat
    succeeded = f"{outcome.success.sum()} of {len(outcome.success)} succeeded"
    attacker = f"{threat.norm}, {threat.access}, {threat.awareness}"
    return f"{outcome.label}, {eps_text(threat.eps)}\n{attacker}\n{succeeded}"


def _panel(
    axes: Axes, clean: NDArray[np.float64], adversarial: NDArray[np.float64], success: NDArray[np.bool_]
) -> None:
    pooled = np.concatenate([clean, adversarial])
    low, high = np.percentile(pooled[np.isfinite(pooled)], [_TAIL, 100 - _TAIL])
    bins = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    populations: tuple[tuple[NDArray[np.float64], dict[str, Any]], ...] = (
        (clean, {"histtype": "stepfilled", "color": _CLEAN, "alpha": 0.6}),
        (adversarial, {"histtype": "step", "color": "black", "linestyle": ":"}),
        (adversarial[success], {"histtype": "step", "color": _SUCCESSFUL, "linestyle": "-"}),
    )
    for scores, style in populations:
        if len(scores):
            axes.hist(
                np.clip(scores, bins[0], bins[-1]),
                bins=list(bins),
                weights=np.full(len(scores), 100 / len(scores)),
                **style,
            )
    axes.locator_params(nbins=4)
