"""Draws a published report again from its samples alone: no store, no attack, no model.

What the samples decide is computed and drawn anew by today's code; what took the models (example images,
feature spaces, what was claimed of them) stays as it is.
"""

import re
from pathlib import Path

from ..analysis.frames import Frames, frames_of
from ..analysis.samples_file import read_samples
from ..engine.suite import SuiteError, load_suite
from .accuracies import accuracies_of
from .inspections_file import read_inspections
from .kept import read_kept
from .manifest import read_manifest, write_manifest
from .writer import write_report

__all__ = ["redraw"]

_DATA = re.compile(r"(?P<data>.+): \d+ train, .+ of (?P<images>\d+) test images")
"""The fact that names the data set, as `publish` writes it."""


def redraw(folder: Path, *, resamples: int = 500) -> Frames:
    """Write a report again, in its place, from its samples.parquet, which stays byte for byte.

    Args:
        folder: Of a report.
        resamples: Of the bootstrap.

    Raises:
        ValueError: It holds no report, or its samples cannot be read.
        FileExistsError: It holds something that is no part of a report.
    """
    kept, manifest = read_kept(folder), read_manifest(folder)
    try:
        suite = load_suite(kept.title)
    except SuiteError:  # a user's own
        suite = None
    frames = frames_of(
        read_samples(folder / "samples.parquet", suite),
        kept.failures,
        read_inspections(folder),
        resamples=resamples,
    )
    names = {str(name): str(name) for name in frames.samples["model"].unique()}
    told = _DATA.fullmatch(kept.facts.get("data", ""))
    write_report(
        folder,
        title=kept.title,
        samples=frames.samples,
        eer=frames.eer,
        leaderboard=frames.leaderboard,
        checks=frames.checks,
        inspections=frames.inspections,
        examples=(),
        facts=kept.facts,
        note=suite.note if suite else "",
        accuracies=accuracies_of(names, told["data"], int(told["images"])) if told else (),
        kept=kept,
    )
    write_manifest(folder, {name: value for name, value in manifest.items() if name != "files"})
    return frames
