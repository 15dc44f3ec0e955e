"""Whole runs, with every figure: digits-v2 in small, and a run that is killed on its way."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.slow  # minutes; make whole and .ci/run run them


def test_the_digits_suite_end_to_end(
    gmbench: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--store", tmp_path / "store", "--results", tmp_path / "results"]
    narrowed = [
        "run",
        "digits-v2",
        "--samples",
        40,
        "--attacks",
        "fgsm",
        "--attacks",
        "pgd-margin",
        "--attacks",
        "cw",
        "--attacks",
        "square",
        *places,
    ]
    assert gmbench(*narrowed) == 0
    folder = tmp_path / "results" / "digits-v2-narrowed"
    for name in (
        "README.md",
        "leaderboard.csv",
        "eer.csv",
        "eer.md",
        "eer.tex",
        "samples.parquet",
        "manifest.json",
    ):
        assert (folder / name).stat().st_size > 200, name
    assert list((folder / "roc").glob("*.png"))
    assert list((folder / "roc").glob("*.svg"))
    listed = json.loads((folder / "manifest.json").read_text())["files"]
    assert not [name for name in listed if name.endswith(".svg")]  # git keeps none, and a clone is complete
    board = pd.read_csv(folder / "leaderboard.csv")
    assert set(board["loss"]) == {"lgm", "center", "softmax"}
    assert board["clean_accuracy"].between(0.9, 1).all()
    strong = board[(board["norm"] == "Linf") & (board["eps"] == 0.3) & (board["access"] == "white-box")]
    assert (strong["robust_accuracy"] < 0.5).all()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert gmbench(*narrowed) == 0
    assert "0 cells computed" in capsys.readouterr().out
    assert gmbench("report", *narrowed[1:]) == 0
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_killed_run_continues_to_the_same_bytes(tmp_path: Path, suite: Path) -> None:

    def command(name: str) -> list[str]:
        script = "from gmbench.benchmark.cli.main import main; main()"
        return [
            sys.executable,
            "-c",
            script,
            "run",
            str(suite),
            "--store",
            str(tmp_path / name),
            "--results",
            str(tmp_path / f"results-{name}"),
        ]

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command("whole"), check=True, capture_output=True, env=environment)
    process = subprocess.Popen(
        command("killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    deadline = time.monotonic() + 60
    while (
        len(list((tmp_path / "killed").glob("??/*/entry.json"))) < 7
        and process.poll() is None
        and time.monotonic() < deadline
    ):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL  # it had not finished
    done = subprocess.run(command("killed"), check=True, capture_output=True, text=True, env=environment)
    assert "0 from the store" not in done.stdout
    for path in (tmp_path / "results-whole" / "small-v1").rglob("*"):
        if path.is_file():
            assert (
                path.read_bytes()
                == (tmp_path / "results-killed" / path.relative_to(tmp_path / "results-whole")).read_bytes()
            ), path.name
