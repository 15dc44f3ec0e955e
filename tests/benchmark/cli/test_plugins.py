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
label = "turned"
attack = "turned"
eps = [0.2]
access = "decision"
"""

RUN = "import sys; from gmbench.benchmark.cli.main import main; sys.argv[0] = 'gmbench'; main()"


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "suite.toml").write_text(SUITE)
    (tmp_path / "mine.py").write_text(PLUGIN.format(share=1.0))
    return tmp_path / "suite.toml", tmp_path / "mine.py"


@pytest.mark.usefixtures("forgetful", "no_figures")
def test_an_attack_and_a_detector_from_a_file_run_in_a_suite(
    gmbench: Callable[..., int],
    places: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    suite, plugin = places
    where = ["--store", tmp_path / "store", "--results", tmp_path / "results"]
    command = ["run", suite, "--plugin", plugin, *where]
    assert gmbench(*command) == 0, capsys.readouterr().err
    samples = pd.read_parquet(tmp_path / "results" / "turned-v1" / "samples.parquet")
    attacked = samples[samples["eps"] == 0.2]
    assert len(attacked) == 30
    assert attacked["size"].to_numpy() == pytest.approx(0.2, abs=1e-5)
    assert attacked["score_brightness"].notna().all()
    capsys.readouterr()
    assert gmbench(*command) == 0
    assert "0 cells computed" in capsys.readouterr().out
    plugin.write_text(PLUGIN.format(share=0.5))
    assert gmbench(*command) == 0
    assert "1 cells computed" in capsys.readouterr().out
    again = pd.read_parquet(tmp_path / "results" / "turned-v1" / "samples.parquet")
    assert again[again["eps"] == 0.2]["size"].to_numpy() == pytest.approx(0.1, abs=1e-5)


@pytest.mark.usefixtures("forgetful")
def test_it_is_unknown_without_the_file_and_listed_with_it(
    gmbench: Callable[..., int],
    places: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    suite, plugin = places
    assert gmbench("run", suite, "--store", tmp_path, "--results", tmp_path) == 2
    failed = capsys.readouterr().err
    assert "brightness" in failed or "turned" in failed
    assert len(failed.splitlines()) == 1
    assert gmbench("list", "--plugin", plugin) == 0
    assert "turned" in capsys.readouterr().out


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
