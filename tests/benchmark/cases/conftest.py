"""What the rows of users' inputs share: a suite of seconds, and a run of it by command."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

SUITE = """
name = "tiny-v1"
data = "digits"
samples = 20
models = ["digits-softmax-s0"]
detectors = ["msp"]

[[attacks]]
label = "fgsm"
attack = "fgsm"
eps = [0.1]
"""


@dataclass
class Bench:
    """Runs ``gmbench`` in a folder of its own.

    Args:
        folder: Of the suite, the store and the results.
        command: Runs a command and returns its exit code.
        capture: Of what it says.
    """

    folder: Path
    command: Callable[..., int]
    capture: pytest.CaptureFixture[str]

    def suite(self, old: str = "", new: str = "", text: str = SUITE) -> Path:
        """Write the suite with one passage changed."""
        assert old in text
        path = self.folder / "tiny.toml"
        path.write_text(text.replace(old, new, 1))
        return path

    def run(self, *arguments: object, command: str = "run") -> tuple[int, str]:
        """Run it, -> exit code and standard error."""
        places = ["--store", self.folder / "store", "--results", self.folder / "results"]
        self.capture.readouterr()
        code = self.command(command, *arguments, *places)
        return code, self.capture.readouterr().err

    def refused(self, *arguments: object) -> str:
        """Run what must be refused: exit code 2, one line, nothing computed; returns the line."""
        code, said = self.run(*arguments)
        [line] = said.splitlines()
        assert code == 2, line
        assert line.startswith("error: ")
        assert "Traceback" not in line
        assert not list(self.folder.glob("store/*/*"))
        return line.removeprefix("error: ")

    def page(self, name: str) -> str:
        """Read a page that was written."""
        return (self.folder / "results" / name / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def bench(tmp_path: Path, gmbench: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> Bench:
    return Bench(tmp_path, gmbench, capsys)
