"""What the README says is what the repository holds."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from gmbench.benchmark.analysis.metrics import WITH_DETECTION
from gmbench.benchmark.cli.main import app
from gmbench.benchmark.engine.suite import load_suite, suites
from gmbench.models import checkpoints, load_checkpoint, read_card

from .stored_data import data

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PUBLISHED = re.findall(r"\S+", (ROOT / "Makefile").read_text().split("SUITES := ")[1].splitlines()[0])
"""The suites that `make reproduce` runs."""


def block(name: str) -> list[str]:
    """The table rows between two markers, without the head."""
    found = re.search(f"<!-- {name} -->(.*)<!-- /{name} -->", README, re.DOTALL)
    assert found
    rows = [line for line in found[1].splitlines() if line.startswith("| ")]
    return [row for row in rows if "---" not in row]


@pytest.mark.parametrize(
    ("name", "suite", "least"), [("headline", "mnist-v2", 10), ("cifar10", "cifar10-jpeg-v1", 15)]
)
def test_every_number_of_a_table_stands_in_the_results(name: str, suite: str, least: int) -> None:
    published = (ROOT / "results" / suite / "README.md").read_text().splitlines()
    rows = block(name)
    assert len(rows) > least
    assert [row for row in rows if row not in published] == []


def test_four_losses_have_three_seeds_on_mnist_and_all_are_accurate() -> None:
    cards = [read_card(name) for name in checkpoints()]
    for loss in ("lgm", "center", "softmax", "gm"):
        accuracies = {card.seed: card.test_accuracy for card in cards if card.recipe.name == f"mnist-{loss}"}
        assert sorted(accuracies) == [0, 1, 2]
        assert min(accuracies.values()) >= 0.994
    digits = [card for card in cards if card.data == "digits" and "surrogate" not in card.name]
    assert sorted(card.loss for card in digits) == ["center", "lgm", "softmax"]
    assert min(card.test_accuracy for card in digits) >= 0.97


@pytest.mark.stored
@pytest.mark.parametrize("suite", PUBLISHED)
def test_results_are_those_of_the_committed_models(suite: str) -> None:
    board = pd.read_csv(ROOT / "results" / suite / "leaderboard.csv")
    assert set(board["model"]) == set(load_suite(suite).models) <= set(checkpoints())
    for name, rows in board.groupby("model"):
        told, most = read_card(str(name)).test_accuracy, rows.loc[rows["images"].idxmax()]
        chance = (told * (1 - told) / most["images"]) ** 0.5  # of the suite's share of the test images
        assert most["clean_accuracy"] == pytest.approx(told, abs=3 * chance)


@pytest.mark.stored
@pytest.mark.parametrize("suite", PUBLISHED)
def test_the_committed_weights_give_the_published_margins(suite: str) -> None:
    """On twenty clean images: an accuracy hardly tells one training from another, a margin does."""
    samples = pd.read_parquet(
        ROOT / "results" / suite / "samples.parquet", columns=["model", "split", "attack", "id", "margin"]
    )
    clean = samples[(samples["split"] == "test") & (samples["attack"] == "clean")]
    images = data(load_suite(suite).data, "test").head(20)
    own = torch.nn.functional.one_hot(images.y, images.classes).bool()
    for name, rows in clean.groupby("model", observed=True):
        with torch.no_grad():
            logits = load_checkpoint(str(name))[0](images.images())
        margins = logits.masked_fill(own, -torch.inf).amax(1) - logits[own]
        published = torch.tensor(rows.set_index("id")["margin"][images.ids.numpy()].to_numpy())
        torch.testing.assert_close(margins, published, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("suite", PUBLISHED)
def test_what_can_be_reproduced_is_there_and_linked(suite: str) -> None:
    assert suite in suites()
    assert (ROOT / "results" / suite / "manifest.json").is_file()
    assert f"(results/{suite}/README.md)" in README


@pytest.mark.usefixtures("no_figures")
def test_the_readmes_defense_is_short_and_runs(tmp_path: Path) -> None:
    path = ROOT / "docs" / "my_defense.py"
    assert len(path.read_text().splitlines()) < 40
    shown = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert shown
    mine = tmp_path / "mine.py"
    mine.write_text(shown[1])
    for file in (path, mine):
        command = [
            "run",
            "digits-v2",
            "--defense",
            str(file),
            "--samples",
            "20",
            "--attacks",
            "fgsm",
            "--detectors",
            "msp",
            "--models",
            "digits-lgm-s0",
        ]
        app(
            [*command, "--store", str(tmp_path / "store"), "--results", str(tmp_path / file.stem)],
            standalone_mode=False,
        )
        board = pd.read_csv(tmp_path / file.stem / "digits-v2+knn-on-softmax-narrowed" / "leaderboard.csv")
        assert {"knn-on-softmax", "digits-lgm-s0"} == set(board["model"])
        assert "own" in set(board["detector"])


@pytest.mark.slow
def test_the_readmes_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GMBENCH_STORE", str(tmp_path))
    [shown] = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "as gm" in block]
    narrowed = 'suite="digits-v2", samples=20, attacks=["fgsm"], detectors=["msp"]'
    names: dict[str, Any] = {}
    exec(shown.replace('suite="digits-v2"', narrowed).replace("gm.compare", "compared = gm.compare"), names)
    assert names["run"].robust_accuracy < 0.1
    assert 0 < names["found"].eer < 0.5
    assert list(names["compared"]["eps"]) == pytest.approx([13 / 255, 26 / 255, 39 / 255])


def test_the_readme_tells_what_digits_v2_found() -> None:
    board = pd.read_csv(ROOT / "results" / "digits-v2" / "leaderboard.csv")
    asked = (board["access"] == "white-box") & (board["awareness"] == "adaptive") & (board["norm"] == "Linf")
    rows = board[asked & ((board["eps"] * 255).round() == 26)]
    own, kde = (
        [
            f"{100 * rows[(rows['loss'] == loss) & (rows['knows'] == name)].iloc[0][WITH_DETECTION]:.1f}"
            for loss, name in zip(("lgm", "center", "softmax"), names, strict=True)
        ]
        for names in (("likelihood", "likelihood", "msp"), ("kde", "kde", "kde"))
    )
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"leaves {own[0]} % of L-GM's images, {own[1]} of center loss's and {own[2]} of" in text
    assert f"one who knows KDE {kde[0]}, {kde[1]} and {kde[2]}" in text
    assert set(rows["verdict"]) == {"sound"}
