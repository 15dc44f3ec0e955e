"""A figure as the page shows it."""

from typing import NamedTuple

__all__ = ["MODELS_SECTIONS", "Shown"]

MODELS_SECTIONS = ("Examples", "Feature space")
"""Of figures for which the models or the attacked images are needed."""


class Shown(NamedTuple):
    """A figure on the page.

    Args:
        section: The heading it stands under.
        caption: What it shows.
        path: Of the PNG, from the README; the SVG lies beside it.
    """

    section: str
    caption: str
    path: str
