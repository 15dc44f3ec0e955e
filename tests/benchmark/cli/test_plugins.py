"""Plug-ins on the command line, the version, completion."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import gmbench as gm

PLUGIN = """
from dataclasses import dataclass
import torch
from gmbench import ATTACKS, DETECTORS, Attack, Detector

@ATTACKS.register("turned")
@dataclass(frozen=True)
class Turned(Attack):
    access = "decision"
    share: float = {share}

    def passes(self):
        return 0, 0

    def __call__(self, victim, x, y, threat, /, *, random):
        return (x + self.share * threat.eps * torch.where(x > 0.5, -1.0, 1.0)).clamp(0, 1)

@DETECTORS.register("brightness")
@dataclass
class Brightness(Detector):
    def score(self, outputs):
        return outputs.x.flatten(1).mean(1)
"""

SUITE = """
name = "turned-v1"
data = "digits"
samples = 30
models = ["digits-softmax-s0"]
detectors = ["brightness"]

[[attacks]]
label = "turned around"
attack = "turned"
eps = [0.2]
access = "decision"
"""

RUN = "import sys; from gmbench.benchmark.cli.main import main; sys.argv[0] = 'gmbench'; main()"


def gmbench(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own: a plug-in stays in the one that loaded it."""
    return subprocess.run(
        [sys.executable, "-c", RUN, *map(str, arguments)], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("outside")
    (folder / "suite.toml").write_text(SUITE.replace("turned around", "turned"))
    (folder / "mine.py").write_text(PLUGIN.format(share=1.0))
    return folder / "suite.toml", folder / "mine.py"


def test_an_attack_and_a_detector_from_a_file_run_in_a_suite(
    places: tuple[Path, Path], tmp_path: Path
) -> None:
    suite, plugin = places
    where = ["--store", tmp_path / "store", "--results", tmp_path / "results"]
    command = ["run", suite, "--plugin", plugin, *where]
    done = gmbench(*command)
    assert done.returncode == 0, done.stderr
    samples = pd.read_parquet(tmp_path / "results" / "turned-v1" / "samples.parquet")
    attacked = samples[samples["eps"] == 0.2]
    assert len(attacked) == 30
    assert attacked["size"].to_numpy() == pytest.approx(0.2, abs=1e-5)
    assert attacked["score_brightness"].notna().all()
    assert "0 cells computed" in gmbench(*command).stdout
    plugin.write_text(PLUGIN.format(share=0.5))
    assert "1 cells computed" in gmbench(*command).stdout
    again = pd.read_parquet(tmp_path / "results" / "turned-v1" / "samples.parquet")
    assert again[again["eps"] == 0.2]["size"].to_numpy() == pytest.approx(0.1, abs=1e-5)


def test_it_is_listed_with_the_file_and_unknown_without(places: tuple[Path, Path], tmp_path: Path) -> None:
    suite, plugin = places
    assert "turned" in gmbench("list", "--plugin", plugin).stdout
    failed = gmbench("run", suite, "--store", tmp_path, "--results", tmp_path)
    assert failed.returncode == 2
    assert "brightness" in failed.stderr or "turned" in failed.stderr
    assert len(failed.stderr.splitlines()) == 1


def test_a_plugin_that_is_not_there_is_one_line(gmbench: Callable[..., int], capsys, tmp_path: Path) -> None:
    assert gmbench("list", "--plugin", tmp_path / "none.py") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: expected a plug-in to be a Python file (.py), got")
    assert error.count("\n") == 1


def test_version_is_told(gmbench: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert gmbench("--version") == 0
    assert capsys.readouterr().out == f"gmbench {gm.__version__}\n"


def test_shells_complete_commands() -> None:
    asked = {"_GMBENCH_COMPLETE": "complete_bash", "COMP_WORDS": "gmbench re", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", RUN], capture_output=True, text=True, check=False, env=os.environ | asked
    )
    assert "report" in done.stdout.split()
