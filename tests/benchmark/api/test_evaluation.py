"""A suite from a notebook: what ``gmbench run`` computes, and what the single steps compute."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

import gmbench as gm
from gmbench.benchmark.engine.keeping.archive import read_archive
from gmbench.benchmark.engine.store import Store

NARROW = {"attacks": ["fgsm"], "detectors": ["likelihood", "msp"], "samples": 60}


@pytest.fixture(scope="module")
def net() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def board(net: nn.Module, store: Path) -> gm.Board:
    return gm.evaluate(gm.wrap(net), suite="digits-v2", store=store, **NARROW)


def test_it_is_what_the_command_computes(
    board: gm.Board, gmbench: Callable[..., int], store: Path, tmp_path: Path
) -> None:
    names = {"digits-lgm-s0", "digits-center-s0", "digits-softmax-s0", "mine"}
    assert set(board.leaderboard["model"]) == names
    assert board.folder is None
    narrowed = ["--samples", 60, "--attacks", "fgsm", "--detectors", "likelihood", "--detectors", "msp"]
    assert gmbench("run", "digits-v2", *narrowed, "--store", store, "--results", tmp_path) == 0
    written = pd.read_csv(tmp_path / "digits-v2-narrowed" / "leaderboard.csv").set_index(
        ["model", "eps", "detector"]
    )
    found = board.leaderboard[board.leaderboard["model"] != "mine"].set_index(["model", "eps", "detector"])
    for name in ("robust_accuracy", "eer_all"):
        pd.testing.assert_series_equal(
            found[name].sort_index(), written[name].sort_index(), rtol=1e-4, check_index=True
        )


def test_what_was_computed_travels_as_one_file(board: gm.Board, net: nn.Module, tmp_path: Path) -> None:
    board.export(tmp_path / "mine.tar")
    elsewhere = Store(tmp_path / "store")
    assert read_archive(tmp_path / "mine.tar", elsewhere)[1] == 0
    found = gm.evaluate(gm.wrap(net), suite="digits-v2", store=elsewhere.root, **NARROW)
    assert found.summary.made == 0
    pd.testing.assert_frame_equal(found.samples, board.samples)


def test_single_steps_give_the_same_numbers(board: gm.Board) -> None:
    x, y = gm.load_data("digits", "test", samples=60)
    run = gm.attack("digits-lgm-s0", x, y, gm.FGSM(), eps=39 / 255)
    found = gm.detect(run, "likelihood")
    rows = board.eer.query("model == 'digits-lgm-s0' and detector == 'likelihood' and eps > 0.15")
    told = rows.set_index("population").loc["all"]
    assert found.eer == pytest.approx(told["eer"], abs=1e-4)
    assert found.auroc == pytest.approx(told["auroc"], abs=1e-4)
    assert found.tpr(0.05) == pytest.approx(told["tpr_at_5_fpr"], abs=1e-4)
    best = board.leaderboard.query("model == 'digits-lgm-s0' and eps > 0.15")
    assert run.robust_accuracy == pytest.approx(best["robust_accuracy"].iloc[0])


def test_a_model_of_the_suites_own_is_there_once_and_a_second_run_computes_nothing(store: Path) -> None:
    board = gm.evaluate(gm.load("digits-lgm-s0"), suite="digits-v2", store=store, **NARROW)
    assert set(board.leaderboard["model"]) == {"digits-lgm-s0", "digits-center-s0", "digits-softmax-s0"}
    assert board.summary.made == 0


def test_an_impostor_under_a_models_name_is_refused(net: nn.Module, store: Path) -> None:
    with pytest.raises(
        ValueError, match="expected every defense to have its own name, got 'digits-lgm-s0' twice"
    ):
        gm.evaluate(gm.wrap(net, name="digits-lgm-s0"), suite="digits-v2", store=store, **NARROW)


def test_comparison_shows_and_counts_the_same_images(board: gm.Board) -> None:
    frame = gm.compare(board, "mine", "lgm")
    assert list(frame["eps"]) == pytest.approx([13 / 255, 26 / 255, 39 / 255])
    assert (frame["images"] == 60).all()
    told = board.leaderboard.drop_duplicates(["model", "eps"]).set_index(["model", "eps"])["robust_accuracy"]
    for row in frame.itertuples():
        assert row.value_a == pytest.approx(told["mine", row.eps])
        assert row.value_b == pytest.approx(told["digits-lgm-s0", row.eps])


def test_a_board_shows_itself(board: gm.Board) -> None:
    html = board._repr_html_()
    assert "<table" in html
    assert "mine" in html
    assert len(board.checks) > 0
    assert set(board.samples["model"]) == set(board.leaderboard["model"])


def test_results_can_be_written(net: nn.Module, store: Path, tmp_path: Path) -> None:
    board = gm.evaluate(
        gm.wrap(net), suite="digits-v2", store=store, models=["digits-lgm-s0"], results=tmp_path, **NARROW
    )
    assert board.folder == tmp_path / "digits-v2+mine-narrowed"
    assert "mine" in (board.folder / "leaderboard.csv").read_text()
