"""The page's tables are replaced and its words stay; pieces hold every image of every cell."""

from pathlib import Path

import pytest

from gmbench.attacks import ThreatModel
from gmbench.benchmark.cli.scale.page import WORKLOADS, Attacked, NetSpeed, pieces, with_rows
from gmbench.benchmark.engine.cell import Cell
from gmbench.benchmark.engine.estimate import Passes
from gmbench.benchmark.engine.speed import PassSpeed, Timed

SPEED = NetSpeed(1.0, PassSpeed(query=Timed(10.0, 2.0), gradient=Timed(10.0, 3.0)))
PAGE = Path(__file__).parents[4] / "docs" / "scale.md"


def attacked(model: str, samples: int, attack: str | None, surrogate: str | None = None) -> Attacked:
    threat = ThreatModel("Linf", 0.1, "transfer" if surrogate else "white-box") if attack else None
    cell = Cell(
        *(model, model, "digits", "0", "test", samples, attack or "clean", attack, {}, threat, surrogate),
        *(None, 0, 250, "cpu"),
    )
    return Attacked(cell, 1.0, Passes(30, 30, 40, 40))


def test_pieces_add_up_to_all_passes() -> None:
    workload = WORKLOADS[0]
    measured = [attacked("a", 500, None), attacked("a", 500, "pgd"), attacked("a", 200, "pgd")]
    one_model = [piece for piece in pieces(workload, measured, SPEED) if piece.model == "model 1"]
    # an inspection, fits, then 1000 clean, 1000 and 400 attacked images in pieces of 250
    assert len(one_model) == 2 + 4 + 4 + 2
    assert one_model[1].seconds == workload.train
    judged = 3 + 1
    assert sum(piece.seconds for piece in one_model[2:]) == 2400 * judged + 1400 * 30 * 3.0 + 6 * 40 * 10.0
    assert sum(piece.sent for piece in one_model) == 1400 * 28 * 28 * 2  # two bytes a pixel


def test_what_transfers_is_proposed_once() -> None:
    measured = [attacked("a", 500, "pgd", surrogate="s")]
    many = list(pieces(WORKLOADS[0], measured, SPEED))
    spent = {
        model: sum(piece.seconds for piece in many if piece.model == model)
        for model in ("model 0", "model 1")
    }
    assert spent["model 0"] - spent["model 1"] == 1000 * 30 * 3.0 + 4 * 40 * 10.0


def test_rows_are_replaced_and_words_stay() -> None:
    page = PAGE.read_text(encoding="utf-8")
    once = with_rows(page, "outcomes", ["| MNIST | 8 |"])
    assert "| MNIST | 8 |" in once
    assert "## Where it ends" in once
    assert with_rows(once, "outcomes", ["| MNIST | 8 |"]) == once
    assert with_rows(once, "outcomes", []).count("| MNIST |") == 0
    assert with_rows(page, "inputs", []).partition("<!-- end -->")[2] == page.partition("<!-- end -->")[2]
    with pytest.raises(ValueError, match="a table 'nothing', got none"):
        with_rows(page, "nothing", [])
