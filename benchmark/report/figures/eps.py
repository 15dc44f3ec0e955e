"""What grows or falls with eps: the EER, the robust accuracy, the robust accuracy with detection."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ....models.losses import loss_name
from ...analysis.attack_series import (
    AttackSeries,
    accuracy_by_attack,
    eps_of,
    losses_of,
    most_attacked,
    reliable,
    series_of,
)
from ...analysis.claims.published import PUBLISHED
from ...analysis.metrics import FEWEST
from ...analysis.model_samples import ModelSamples
from ...analysis.wording import eps_number
from ..looks import families, line_of
from .style import GUIDE, grid, handle, headline, hide, legend, percent, styled, wrap

__all__ = ["accuracy_by_attack_figure", "accuracy_figure", "eer_figure"]

_PANEL, _ACROSS = (1.35, 1.2), 4  # inches, panels in a row
_SMALL, _BLOCKS = (1.0, 1.05), 2  # where each attack has a panel per family: inches, attacks in a row
_DOTS = (0, (1, 1.5))
_BAND = "mean over seeds; band: their range, of a single seed the 95 % interval"


@styled
def eer_figure(eer: pd.DataFrame, detectors: Mapping[str, str], population: str) -> Figure:
    """Draw the EER of each loss with its own detector.

    A panel per attack that has a finite eps and per family of losses.

    Args:
        eer: The table of EERs.
        detectors: {loss: detector}, see `verification_detectors`.
        population: "all" or "successful".
    """
    table = _own(reliable(eer[eer["population"] == population]), detectors)
    attacks = series_of(table)
    figure, panels = _panels(attacks, list(detectors), len(detectors) + 1, "EER (%)")
    for axes, series, losses in panels:
        rows = series.rows(table)
        rows = rows[rows["loss"].isin(losses)]
        for loss in losses:
            _curve(axes, rows[rows["loss"] == loss], "eer", loss, list(detectors))
        if rows["eer"].isna().all():
            axes.text(
                0.5,
                0.5,
                f"fewer than {FEWEST}\nsucceeded",
                transform=axes.transAxes,
                ha="center",
                va="center",
                fontsize=7,
            )
    for axes, series, losses in panels:  # those of one attack share their axes
        _limit(axes, series.rows(table))
        axes.set_ylim(0, max(52, min(axes.get_ylim()[1], 102)))
        _published(axes, series, losses)
    lines = [
        handle(loss, list(detectors), f"{loss_name(loss)}: {detector}")
        for loss, detector in detectors.items()
    ]
    lines.append(Line2D([], [], color=GUIDE, linestyle=_DOTS, linewidth=0.9, label="paper (eps not public)"))
    legend(figure, lines)
    headline(figure, f"EER, {population} adversarials ({_BAND})")
    return figure


@styled
def accuracy_figure(leaderboard: pd.DataFrame, detectors: Mapping[str, str]) -> Figure:
    """Draw the worst case over the attacks of each threat model.

    Robust accuracy above, robust accuracy with detection below.

    Only where the most attacks were run: a point with fewer would stand too high.

    Args:
        leaderboard: The leaderboard.
        detectors: {loss: detector}, see `verification_detectors`; robust accuracy with detection counts what
            that detector rejects under attack as safe.
    """
    table = most_attacked(_own(leaderboard, detectors), across_eps=True)
    table = table.assign(attack="", label="")  # of a worst case: all of them
    threats = sorted(series_of(table))
    groups = families(list(detectors))
    parts = list(product(("robust_accuracy", "robust_accuracy_with_detection"), groups.items()))
    left, size = (0.7, 7) if len(groups) > 1 else (0.55, 8)  # a label of two lines
    figure, panels = grid(
        len(parts), max(len(threats), 1), (1.2, 1.2), entries=len(detectors), left=left, between=(0.22, 0.25)
    )
    for threat, column in zip(threats, panels.T, strict=False):
        rows = threat.rows(table)
        for axes, (statistic, (family, losses)) in zip(column, parts, strict=True):
            # the leaderboard has no column for what is rejected without an attack
            start = "clean_accuracy" if statistic == "robust_accuracy" else None
            for loss in losses:
                _curve(axes, rows[rows["loss"] == loss], statistic, loss, list(detectors), start)
            _limit(axes, rows)
            axes.set(ylim=(-2, 102), xlabel="ε, inputs in [0, 1]")
            named = statistic.replace("_", " ").replace(" with", "\nwith")
            axes.set_ylabel(f"{family}\n{named} (%)".lstrip(), fontsize=size)
            axes.label_outer()
        column[0].set_title(f"{threat.norm}\n{threat.access}, {threat.awareness}")
    legend(
        figure,
        [
            handle(loss, list(detectors), f"{loss_name(loss)}: {detector}")
            for loss, detector in detectors.items()
        ],
    )
    headline(figure, f"Worst case over attacks ({_BAND})")
    return figure


@styled
def accuracy_by_attack_figure(models: Sequence[ModelSamples]) -> Figure:
    """Draw the accuracy under each attack.

    Where it looks for the smallest perturbation, the share of images that need more than eps.
    """
    table = accuracy_by_attack(models)
    losses, attacks = losses_of(table), series_of(table)
    figure, panels = _panels(attacks, losses, len(losses), "accuracy (%)")
    for axes, series, family in panels:
        rows = series.rows(table)
        for loss in family:
            limited = rows[(rows["loss"] == loss) & np.isfinite(rows["eps"])]
            _curve(axes, limited, "accuracy", loss, losses, start="clean_accuracy")
        for model in models:
            if model.loss in family:
                _survival(axes, model, series, losses)
    for axes, series, _ in panels:  # those of one attack share their axes
        _limit(axes, series.rows(table))
        axes.set_ylim(-2, 102)
    legend(figure, [handle(loss, losses) for loss in losses])
    headline(figure, "Accuracy under each attack (mean over seeds; band: their range)")
    return figure


def _own(frame: pd.DataFrame, detectors: Mapping[str, str]) -> pd.DataFrame:
    """Select the rows of each loss's own detector at every finite eps."""
    own = frame["detector"].astype(str) == frame["loss"].astype(str).map(dict(detectors))
    chosen: pd.DataFrame = frame[own & np.isfinite(frame["eps"])]
    return chosen


def _survival(axes: Axes, model: ModelSamples, series: AttackSeries, losses: Sequence[str]) -> None:
    """Draw the share of images that are right and need more than eps.

    Up to the largest eps that any needs.
    """
    for outcome in series.outcomes(model):
        if np.isfinite(outcome.threat.eps):
            continue
        line = line_of(model.loss, losses)
        needed = np.sort(outcome.samples["size"].to_numpy(np.float64)[outcome.success])
        eps = np.linspace(0, needed[-1] if len(needed) else 1, 100)
        left = model.clean_correct[outcome.images].sum() - np.searchsorted(needed, eps, side="right")
        axes.plot(
            eps,
            percent(left / len(outcome.images)),
            color=line.color,
            linestyle=line.dashes,
            linewidth=0.75 * line.width,
        )


def _curve(
    axes: Axes, rows: pd.DataFrame, statistic: str, loss: str, losses: Sequence[str], start: str | None = None
) -> None:
    """Draw the mean over the seeds with a band: their range, or the 95 % interval where there is one seed.

    Args:
        axes: Where.
        rows: A row per seed and eps.
        statistic: Its column; ``<statistic>_low`` and ``_high``, where they are columns, hold the interval.
        loss: Of these rows.
        losses: Of the suite.
        start: The column that holds the value at eps = 0.
    """
    rows = rows.dropna(subset=[statistic])
    if rows.empty:
        return
    by_eps = rows.groupby("eps")[statistic]
    table = pd.DataFrame({"mean": by_eps.mean(), "low": by_eps.min(), "high": by_eps.max()})
    if rows["model"].nunique() == 1 and f"{statistic}_low" in rows:
        single = rows.groupby("eps")
        table = table.assign(low=single[f"{statistic}_low"].min(), high=single[f"{statistic}_high"].max())
    if start:
        seeds = rows.groupby("model", observed=True)[start].first()
        table = pd.concat(
            [
                pd.DataFrame({"mean": seeds.mean(), "low": seeds.min(), "high": seeds.max()}, index=[0.0]),
                table,
            ]
        )
    line, eps = line_of(loss, losses), table.index.to_numpy(np.float64)
    low, high = percent(table["low"]), percent(table["high"])
    style: dict[str, Any] = {
        "color": line.color,
        "linestyle": line.dashes,
        "linewidth": line.width,
        "marker": line.marker,
    }
    axes.plot(eps, percent(table["mean"]), markersize=3.5, label=loss, **style)
    if (low < high).any():
        axes.fill_between(eps, low, high, color=line.color, alpha=0.2, linewidth=0)
    if len(eps) == 1:  # a band of no width
        axes.vlines(eps, low, high, color=line.color, linewidth=1)


def _published(axes: Axes, series: AttackSeries, losses: Sequence[str]) -> None:
    """Draw the paper's numbers for this attack, in the colours of their losses."""
    for published in PUBLISHED:
        if (
            published.attack == series.attack
            and published.loss in losses
            and (series.norm, series.access) == ("Linf", "white-box")
        ):
            value = 100 * published.eer
            axes.axhline(value, color=line_of(published.loss, losses).color, linestyle=_DOTS, linewidth=0.9)
            axes.text(0, value, f"{value:.1f}", fontsize=6, va="bottom")


def _panels(
    attacks: Sequence[AttackSeries], losses: Sequence[str], entries: int, label: str
) -> tuple[Figure, list[tuple[Axes, AttackSeries, list[str]]]]:
    """Make a panel per series or, of many losses, one per family beside each other, -> figure.

    (panel, series, losses) of each.
    """
    groups = families(losses)
    several = len(groups) > 1
    rows, columns = wrap(max(len(attacks), 1), _BLOCKS if several else _ACROSS)
    size, between = (_SMALL, (0.3, 0.85)) if several else (_PANEL, (0.3, 0.8))
    figure, panels = grid(rows, columns * len(groups), size, entries=entries, between=between)
    blocks = panels.reshape(rows * columns, len(groups))
    hide(list(blocks[len(attacks) :].ravel()))
    placed = []
    for series, block in zip(attacks, blocks, strict=False):
        for axes, (family, part) in zip(block, groups.items(), strict=True):
            if axes is not block[0]:
                axes.sharex(block[0])
                axes.sharey(block[0])
                axes.tick_params(labelleft=False)
            axes.set_title(family, loc="left")
            placed.append((axes, series, part))
        if several:
            block[0].set_title(f"{series.title}\n{next(iter(groups))}", loc="left")
        else:
            block[0].set_title(f"{series.label}\n{series.norm}, {series.access}, {series.awareness}")
        block[len(block) // 2].set_xlabel(f"ε ({series.norm}, inputs in [0, 1])")
    for axes in panels[:, 0]:
        axes.set_ylabel(label)
    return figure, placed


def _limit(axes: Axes, rows: pd.DataFrame) -> None:
    """Let the x axis end behind the largest eps.

    Where an attack has none, behind what was needed. Grey levels are marked as such.
    """
    sizes = eps_of(rows)
    axes.set_xlim(0, 1.05 * sizes[-1] if sizes and np.isfinite(sizes[-1]) else None)
    levels = [eps_number(eps) for eps in sizes]
    if levels and all("/" in level for level in levels):
        # there is room for one "/255"
        axes.set_xticks([0, *sizes], ["0", *(level.partition("/")[0] for level in levels[:-1]), levels[-1]])
    else:
        axes.locator_params(axis="x", nbins=5)
