"""The published outputs of a suite.

Tables, figures, samples and a README that shows them, the same bytes from the same frames.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ...models.files import put_folder
from ...models.losses import loss_name
from ..analysis.attack_series import middle_eps, series_of, slug, verification_detectors
from ..analysis.claims.comparison import Accuracy, SuiteResults
from ..analysis.eer_table import EER_COLUMNS, POPULATIONS
from ..analysis.features.space import ModelFeatures
from ..analysis.features.spread import FEWEST_MODELS, shared_robustness
from ..analysis.leaderboard import LEADERBOARD_COLUMNS
from ..analysis.model_samples import ModelSamples, models_of
from ..analysis.ranking import ranking
from .claims_section import claims_markdown
from .figures.eps import accuracy_by_attack_figure, accuracy_figure, eer_figure
from .figures.examples import Examples, examples_figure
from .figures.features import features_figure
from .figures.heatmap import heatmap_figure
from .figures.histogram import histogram_figure
from .figures.means import means_figure
from .figures.roc import roc_figure
from .figures.spread import spread_figure
from .figures.style import save
from .inspections_file import INSPECTIONS
from .kept import Kept
from .readme import readme
from .results_folder import check_replaceable
from .shown import Shown
from .tables import eer_latex, eer_markdown, leaderboard_markdown

__all__ = ["write_report"]

_DIGITS = "%.5g"
_CSV: dict[str, Any] = {
    "index": False,
    "float_format": _DIGITS,
    "lineterminator": "\n",
    "encoding": "utf-8",
}
_TEXT = ("model", "loss", "split", "attack", "label", "norm", "access", "awareness", "knows")


def write_report(
    folder: Path,
    *,
    title: str,
    samples: pd.DataFrame,
    eer: pd.DataFrame,
    leaderboard: pd.DataFrame,
    checks: pd.DataFrame,
    inspections: pd.DataFrame | None = None,
    examples: Sequence[Examples],
    facts: Mapping[str, str],
    note: str = "",
    features: Sequence[ModelFeatures] = (),
    accuracies: Sequence[Accuracy] = (),
    kept: Kept | None = None,
) -> None:
    """Write everything into ``folder``, which is replaced as a whole, or left as it is if anything fails.

    Args:
        folder: results/SUITE; new, or an earlier report.
        title: Of the README, the suite's name.
        samples: A row per model, attack and image.
        eer: The table of EERs.
        leaderboard: The leaderboard.
        checks: A row per model and check.
        inspections: What the models themselves were asked, a row per finding.
        examples: Images before and after attacks; those of one model make one sheet.
        facts: What made the numbers, {"device": "..."}; no dates, or two runs would differ.
        note: What a reader must know first, of the suite.
        features: What the models' features say; none, no figures of the feature space and no claims about it.
        accuracies: The models that are checkpoints, on the whole test split.
        kept: What took the models, of the report that this is drawn from again; its samples.parquet stays,
            byte for byte.

    Raises:
        FileExistsError: The folder holds something that is no part of a report.
    """
    check_replaceable(folder)
    building = folder.with_name(f".{folder.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    try:
        for part in ("roc", "figures"):
            (building / part).mkdir(parents=True)
        models = models_of(samples)
        detectors = verification_detectors(models)
        results = SuiteResults(
            eer, leaderboard, detectors, accuracies, features, shared_robustness(models) if features else None
        )
        shown = [
            Shown(section, caption, save(figure, building / name).relative_to(building).as_posix())
            for section, caption, name, figure in chain(
                _figures(models, results, examples), _feature_figures(results)
            )
        ]
        _write_tables(building, eer, leaderboard, detectors)
        _write_checks(building, checks, inspections)
        if kept is None:
            _write_samples(building, samples)
        else:
            shutil.copyfile(folder / "samples.parquet", building / "samples.parquet")
            for name, content in kept.files.items():
                (building / name).write_bytes(content)
            shown += kept.figures
        claims = claims_markdown(results, kept.claims if kept else {})
        text = readme(
            title,
            results=results,
            checks=checks,
            figures=shown,
            facts=facts,
            claims=claims,
            note=note,
            inspected=inspections is not None,
        )
        (building / "README.md").write_text(text, encoding="utf-8")
        put_folder(building, folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _write_checks(folder: Path, checks: pd.DataFrame, inspections: pd.DataFrame | None) -> None:
    checks.to_csv(folder / "checks.csv", **_CSV)
    if inspections is not None:
        inspections.to_csv(folder / INSPECTIONS, **(_CSV | {"float_format": None}))  # what is read again


def _write_tables(
    folder: Path, eer: pd.DataFrame, leaderboard: pd.DataFrame, detectors: Mapping[str, str]
) -> None:
    _ordered(eer, EER_COLUMNS).to_csv(folder / "eer.csv", **_CSV)
    _ordered(leaderboard, LEADERBOARD_COLUMNS).to_csv(folder / "leaderboard.csv", **_CSV)
    ranking(leaderboard, detectors).to_csv(folder / "ranking.csv", **_CSV)
    for name, text in (
        ("eer.md", eer_markdown(eer)),
        ("eer.tex", eer_latex(eer)),
        ("leaderboard.md", leaderboard_markdown(leaderboard)),
    ):
        (folder / name).write_text(text, encoding="utf-8")


def _write_samples(folder: Path, samples: pd.DataFrame) -> None:
    single = [
        column for column in samples.columns if column in ("size", "margin") or column.startswith("score_")
    ]
    small: dict[str, Any] = dict.fromkeys(_TEXT, "category") | dict.fromkeys(single, "float32")
    # Scores hardly repeat: split into their bytes they take a third less than in a dictionary.
    repeated = [column for column in samples.columns if column not in single]
    samples.astype(small).to_parquet(
        folder / "samples.parquet",
        engine="pyarrow",
        index=False,
        compression="zstd",
        compression_level=9,
        use_byte_stream_split=single,
        use_dictionary=repeated,
    )


def _ordered(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Put the known columns first."""
    return frame[[*columns, *(column for column in frame.columns if column not in columns)]]


def _figures(
    models: Sequence[ModelSamples], results: SuiteResults, examples: Sequence[Examples]
) -> Iterator[tuple[str, str, str, Figure]]:
    """Draw one figure after the other, -> section of the README, caption, path without suffix, figure."""
    eer, detectors = results.eer, results.detectors
    for series in series_of(eer):
        yield "ROC curves", series.title, f"roc/{series.slug}", roc_figure(models, series, detectors)
    for loss in detectors:
        caption = f"Clean and adversarial scores of {loss_name(loss)}"
        yield (
            "Histograms",
            caption,
            f"figures/histogram-{slug(loss)}",
            histogram_figure(models, loss, detectors),
        )
    if np.isfinite(eer["eps"]).any():
        for population in POPULATIONS:
            figure = eer_figure(eer, detectors, population)
            yield (
                "EER against eps",
                f"EER against eps, {population} adversarials",
                f"figures/eer-{population}",
                figure,
            )
        yield (
            "Accuracy",
            "Worst case of each threat model",
            "figures/accuracy",
            accuracy_figure(results.leaderboard, detectors),
        )
    yield (
        "Accuracy",
        "Accuracy under each attack",
        "figures/accuracy-by-attack",
        accuracy_by_attack_figure(models),
    )
    for population in POPULATIONS if len(eer) else ():
        figure = heatmap_figure(eer, middle_eps(models), population)
        yield (
            "Detectors",
            f"EER of every detector, {population} adversarials",
            f"figures/detectors-{population}",
            figure,
        )
    for model in dict.fromkeys(example.model for example in examples):
        own = [example for example in examples if example.model == model]
        name = "-".join(part for part in ("figures/examples", slug(model)) if part)
        yield "Examples", f"Example images {model}".strip(), name, examples_figure(own)


def _feature_figures(results: SuiteResults) -> Iterator[tuple[str, str, str, Figure]]:
    """Draw the feature space, as `_figures` does.

    As far as the models of the suite have something to show.
    """
    features, spreads = results.features, results.spreads
    if planes := [model.plane for model in features if model.plane]:
        yield (
            "Feature space",
            "Features of two dimensions, clean and attacked",
            "figures/features",
            features_figure(planes),
        )
    if symmetries := [model.symmetry for model in features if model.symmetry]:
        yield (
            "Feature space",
            "Angles and distances between the class means",
            "figures/means",
            means_figure(symmetries),
        )
    if results.robustness and len(spreads) >= FEWEST_MODELS:
        caption = "Spread of the non-true softmax values against robust accuracy"
        figure = spread_figure(spreads, {model.name: model.loss for model in features}, results.robustness)
        yield "Feature space", caption, "figures/spread", figure
