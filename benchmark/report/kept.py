"""What a report tells that took the models, read back from it: for `redraw`, which keeps it as it is."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..analysis.checks import COMPLETED
from ..engine.failure import Failure
from .results_folder import rows_of, sections_of
from .shown import MODELS_SECTIONS, Shown

__all__ = ["Kept", "read_kept"]


@dataclass(frozen=True)
class Kept:
    """What took the models and cannot be told from the samples.

    Args:
        title: Of the page, the suite's name.
        facts: {what: value}, the table at the page's end.
        figures: Of example images and the feature space.
        claims: {(paper, claim): (what was measured, verdict)}.
        failures: What there was no result of.
        files: The figures' files by their paths from the folder.
    """

    title: str
    facts: Mapping[str, str] = field(default_factory=dict)
    figures: tuple[Shown, ...] = ()
    claims: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)


def read_kept(folder: Path) -> Kept:
    """Read what took the models from a results folder.

    Raises:
        ValueError: It has no README, or none of ours.
    """
    try:
        text = (folder / "README.md").read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ValueError(f"expected {folder} to be a results folder, got no README: {error}") from None
    title = re.match(r"# (.+)\n", text)
    if title is None:
        raise ValueError(f"expected the README of {folder} to begin with a title, got none")
    sections = sections_of(text)
    shown = tuple(
        Shown(section, caption, path)
        for section in MODELS_SECTIONS
        for caption, path in re.findall(r"^!\[(.*)\]\((.+)\)$", sections.get(section, ""), re.MULTILINE)
        if (folder / path).is_file()
    )
    files = [
        file for one in shown for file in sorted((folder / one.path).parent.glob(f"{Path(one.path).stem}.*"))
    ]
    return Kept(
        title[1],
        {what: value for what, value, *_ in rows_of(sections.get("Facts", ""))},
        shown,
        {
            (paper, claim): (measured, verdict.strip("*"))
            for paper, claim, measured, verdict in rows_of(sections.get("The papers' claims", ""))
        },
        tuple(
            Failure(model, "", why)
            for model, check, why, *_ in rows_of(sections.get("Checks", ""))
            if check == COMPLETED
        ),
        {file.relative_to(folder).as_posix(): file.read_bytes() for file in files},
    )
