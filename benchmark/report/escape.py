"""Text that somebody wrote, for the formats of a report: what a user says is shown, and never obeyed.

Names need none of it, see `models.files.check_name`; sentences do: a suite's ``about``, an error's message.
"""

import re

__all__ = ["latex", "markdown_text", "plain_text"]

_MARKED = re.compile(r"([\\`|<>\[\]])")

_SPECIAL = {character: f"\\{character}" for character in "&%$#_{}"}

_LATEX = str.maketrans(
    _SPECIAL | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
)


def markdown_text(text: str) -> str:
    """Write a sentence so that Markdown and the HTML in it show it as it is, on one line."""
    return _MARKED.sub(r"\\\1", " ".join(text.split()))


def plain_text(cell: str) -> str:
    """Read what `markdown_text` wrote."""
    return re.sub(r"\\([\\`|<>\[\]])", r"\1", cell)


def latex(text: str) -> str:
    """Write a text so that LaTeX shows it as it is, on one line."""
    return " ".join(text.split()).translate(_LATEX)
