"""How results show themselves in a notebook: small tables in HTML, every text escaped, and figures."""

from collections.abc import Mapping
from html import escape
from io import BytesIO

import pandas as pd
from matplotlib.figure import Figure

__all__ = ["ShownFigure", "frame_of", "table_of"]


class ShownFigure(Figure):
    """A figure that a notebook shows, though no pyplot was imported, which keeps every figure in memory."""

    def _repr_png_(self) -> bytes:
        file = BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()


def table_of(facts: Mapping[str, object]) -> str:
    """Write facts as a table of two columns."""
    rows = "".join(
        f'<tr><th style="text-align:left">{escape(key)}</th>'
        f'<td style="text-align:left">{escape(str(value))}</td></tr>'
        for key, value in facts.items()
    )
    return f"<table>{rows}</table>"


def frame_of(frame: pd.DataFrame, rows: int = 60) -> str:
    """Write the first rows of a frame; floats have three places."""
    head = frame.head(rows)
    html = str(head.to_html(index=False, float_format=lambda value: f"{value:.3f}", escape=True, border=0))
    return html + (f"<p>{rows} of {len(frame)} rows</p>" if len(frame) > rows else "")
