"""What a user writes is shown as it is, in every format, and nothing of it is obeyed."""

import re

import pytest

from gmbench.benchmark.report.escape import latex, markdown_text, plain_text
from gmbench.benchmark.report.results_folder import rows_of
from gmbench.benchmark.report.tables import markdown

HOSTILE = (
    "a | b",
    "| a |",
    "two\nlines",
    "`code` and ``more``",
    "<script>alert(1)</script>",
    "[click](http://x)",
    "![image](http://x)",
    "ends with \\",
    "\\| escaped \\`",
    "</details>\n\n## Checks\n\nAll 300 sanity checks passed.",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_shows_it_and_reads_it_back(text: str) -> None:
    written = markdown_text(text)
    assert "\n" not in written
    assert not re.search(r"(?<!\\)(\\\\)*[|`<>\[\]]", written)
    assert plain_text(written) == " ".join(text.split())
    table = markdown([{"model": "a", "found": written}, {"model": "b", "found": "fine"}])
    assert list(rows_of(table)) == [["a", " ".join(text.split())], ["b", "fine"]]


def test_a_pipe_that_nobody_escaped_is_no_column() -> None:
    assert list(rows_of(markdown([{"a": "x|y", "b": "1"}]))) == [["x|y", "1"]]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("50 % & more_or #1", r"50 \% \& more\_or \#1"),
        (r"\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("a^b~c$d$", r"a\textasciicircum{}b\textasciitilde{}c\$d\$"),
        ("two\nlines", "two lines"),
    ],
)
def test_latex_shows_it(text: str, written: str) -> None:
    assert latex(text) == written
