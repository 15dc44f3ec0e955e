"""The zoo verified, measured, listed and told.

On copies of the digits' checkpoints, and what lies in models/zoo itself.
"""

import inspect
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import gmbench.benchmark.cli.zoo as cli_zoo
import gmbench.benchmark.engine.zoo.checkpoints as zoo
from gmbench.benchmark.data.datasets import load_data
from gmbench.benchmark.engine.zoo.checkpoints import (
    fetched,
    listed,
    matching,
    measure_checkpoint,
    refresh,
    untrained,
    verify,
)
from gmbench.benchmark.engine.zoo.training import train_checkpoint
from gmbench.benchmark.report.zoo_page import zoo_page
from gmbench.models import HEADS, Card, CheckpointError, checkpoints, load_checkpoint, load_recipe, read_card
from gmbench.models.checkpoint import ZOO, write_card
from gmbench.models.recipe import build_classifier, recipes
from gmbench.models.training import Diverged

NAMES = checkpoints()
DIGITS = [name for name in NAMES if name.startswith("digits-")]
LGM = "digits-lgm-s0"
DOCS = Path(__file__).parents[4] / "docs"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A zoo of two checkpoints."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    for name in (LGM, "digits-softmax-s0"):
        for suffix in (".json", ".safetensors"):
            shutil.copy(ZOO / f"{name}{suffix}", folder)
    return folder


def rewrite(folder: Path, name: str = LGM, **changes: object) -> Card:
    card = read_card(name, folder).model_copy(update=changes)
    write_card(card, folder)
    return card


# The zoo as it is


@pytest.mark.stored
@pytest.mark.parametrize("name", DIGITS)
def test_digits_cards_are_what_is_measured(name: str) -> None:
    assert verify(name).holds
    card, found = read_card(name), measure_checkpoint(name)
    assert card.measurements is not None
    assert found.measurements is not None
    assert card.measurements.model_dump() == pytest.approx(found.measurements.model_dump(), rel=0.01)
    assert found.model_copy(update={"measurements": card.measurements}) == card


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_card_has_the_accuracy_of_its_weights(name: str, mnist_root: Path) -> None:
    verification = verify(name, root=mnist_root)
    assert verification.holds, str(verification)


@pytest.mark.parametrize("name", NAMES)
def test_every_card_is_complete(name: str) -> None:
    card = read_card(name)
    assert card.measurements is not None, f"gmbench zoo measure {name}"
    assert card.measurements.accuracy_low < card.test_accuracy <= card.measurements.accuracy_high
    assert card.licence == "MIT"
    assert ("JPEG" in card.note) == (card.data == "cifar10-jpeg")


def test_the_page_is_that_of_the_cards() -> None:
    page = zoo_page([read_card(name) for name in NAMES], [load_recipe(name) for name in recipes()])
    assert (DOCS / "zoo.md").read_text(encoding="utf-8") == page, "docs/zoo.md is stale: gmbench zoo page"


def test_the_list_has_every_checkpoint_and_no_unknown_recipe() -> None:
    assert len(set(listed())) == len(listed())
    assert {(read_card(name).recipe.name, read_card(name).seed) for name in NAMES} <= set(listed())
    for recipe in {recipe for recipe, _ in listed()}:
        assert load_recipe(recipe).name == recipe


# Verifications and measurements


@pytest.mark.stored
@pytest.mark.parametrize(
    ("recorded", "holds", "told"),
    [
        (500, True, "digits-lgm-s0: equal, 500 of 500 right"),
        (
            498,
            True,
            (
                "digits-lgm-s0: within the 2 images that another machine's rounding may turn, 500 of 500 "
                "right, 498 by its card"
            ),
        ),
        (497, False, "digits-lgm-s0: differs, 500 of 500 right, 497 by its card"),
    ],
)
def test_a_card_may_be_wrong_by_two_images(folder: Path, recorded: int, holds: bool, told: str) -> None:
    rewrite(folder, test_accuracy=recorded / 500)
    verification = verify(LGM, folder)
    assert (
        verification.holds,
        str(verification),
        verification.recorded,
        verification.found,
        verification.of,
    ) == (
        holds,
        told,
        recorded,
        500,
        500,
    )


def test_damage_and_missing_data_are_verdicts(folder: Path, tmp_path: Path) -> None:
    softmax = read_card("digits-softmax-s0", folder)
    rewrite(folder, "digits-softmax-s0", recipe=softmax.recipe.model_copy(update={"data": "mnist"}))
    verification = verify("digits-softmax-s0", folder, tmp_path / "nowhere")
    assert not verification.holds
    assert "gmbench data mnist" in str(verification)
    weights = folder / f"{LGM}.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert not verify(LGM, folder).holds
    assert "the file is damaged" in str(verify(LGM, folder))


def test_distances_are_to_the_means_of_the_training_features() -> None:
    found = measure_checkpoint(LGM).measurements
    classifier, _ = load_checkpoint(LGM)
    train, test = load_data("digits", "train"), load_data("digits", "test")
    with torch.no_grad():
        of_train, of_test = (
            classifier.features(images.images()).double().numpy() for images in (train, test)
        )
    means = np.stack([of_train[train.y.numpy() == k].mean(0) for k in range(10)])
    distances = np.linalg.norm(of_test[:, None] - means, axis=2)
    own = distances[np.arange(500), test.y.numpy()]
    distances[np.arange(500), test.y.numpy()] = np.inf
    assert found is not None
    assert (found.own_distance, found.nearest_distance) == pytest.approx(
        (own.mean(), distances.min(1).mean()), rel=1e-4
    )


@pytest.mark.stored
def test_measuring_adds_to_a_card_and_changes_nothing_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(zoo.NOTES, "digits", "Trained on small digits.")
    bare = rewrite(folder, measurements=None, test_accuracy=499 / 500)
    card = refresh(LGM, folder)
    assert card == read_card(LGM, folder)
    assert card.measurements is not None
    assert card.note == "Trained on small digits."
    assert card.model_copy(update={"measurements": None, "note": ""}) == bare
    rewrite(folder, note="Mine.")
    assert refresh(LGM, folder).note == "Mine."


def test_a_false_card_is_not_measured(folder: Path) -> None:
    rewrite(folder, test_accuracy=0.9)
    before = (folder / f"{LGM}.json").read_bytes()
    with pytest.raises(CheckpointError, match="differs, 500 of 500 right, 450 by its card"):
        refresh(LGM, folder)
    assert (folder / f"{LGM}.json").read_bytes() == before


def test_other_training_images_are_refused(folder: Path) -> None:
    rewrite(folder, data_checksum="0" * 64)
    with pytest.raises(
        CheckpointError,
        match=f"expected the training images of 'digits' to have the sha256 {'0' * 12} of {LGM}'s card",
    ):
        refresh(LGM, folder)


def test_a_training_measures_what_it_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(zoo.NOTES, "digits", "Trained on small digits.")
    card = train_checkpoint(load_recipe("digits-softmax").model_copy(update={"epochs": 1}), 3, tmp_path)
    assert card.measurements is not None
    assert card.note == "Trained on small digits."
    assert measure_checkpoint(card.name, tmp_path) == card == read_card(card.name, tmp_path)


def test_patterns_choose_checkpoints(folder: Path) -> None:
    assert matching([], folder) == [LGM, "digits-softmax-s0"]
    assert matching(["*-lgm-*"], folder) == [LGM]
    with pytest.raises(
        CheckpointError, match="no checkpoint named 'digits-lgn-s0'; did you mean 'digits-lgm-s0'"
    ):
        matching(["*", "digits-lgn-s0"], folder)


# What belongs to the zoo


def test_what_is_listed_and_untrained(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "zoo.toml"
    path.write_text("mnist-gm = [1, 0]\ndigits-lgm = [0, 7]\n[fetched]\ncifar10-gm = [2]\n")
    assert listed(path) == [
        *(("mnist-gm", 1), ("mnist-gm", 0), ("digits-lgm", 0), ("digits-lgm", 7)),
        ("cifar10-gm", 2),
    ]
    assert untrained(folder, path) == [
        *(("mnist-gm", 1), ("mnist-gm", 0), ("digits-lgm", 7)),
        ("cifar10-gm", 2),
    ]
    assert fetched(path) == ["cifar10-gm"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mnist-gm = 1", "expected 'mnist-gm' in zoo.toml to be a list of seeds such as [0, 1, 2], got 1"),
        ("mnist-gm = [true]", "got [True]"),
        ("mnist-gm = [-1]", "got [-1]"),
        ("mnist-gm", "zoo.toml is no valid TOML"),
        ("fetched = [0]", "expected 'fetched' in zoo.toml to be a table of recipes, got [0]"),
        ("[fetched]\ncifar10-gm = 1", "expected 'cifar10-gm' in zoo.toml to be a list of seeds"),
    ],
)
def test_a_wrong_list_is_told(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "zoo.toml"
    path.write_text(text)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - its message is what is tested
        listed(path)
    assert message in str(caught.value)


# The page


def test_the_page_tells_a_card() -> None:
    card = read_card(LGM)
    assert card.measurements is not None
    measured = card.measurements.model_copy(
        update={"accuracy_low": 0.9876, "ece": 0.0123, "own_distance": 1.0, "nearest_distance": 4.0}
    )
    measured = measured.model_copy(
        update={"angle_min": 84.94, "angle_mean": 96.46, "angle_max": 120.0, "spread": 0.00019}
    )
    note = "Trained on JPEG copies."
    page = zoo_page(
        [
            card.model_copy(
                update={"measurements": measured, "note": note, "seconds": 90.0, "validation_accuracy": 0.992}
            )
        ]
    )
    assert f"| [{LGM}](../models/zoo/{LGM}.json) | lgm | digits-conv4, 32-D | 0 |" in page
    assert " | 0 | 100.00 [98.76, 100.00] | 99.20 | 1.23 | 60 | 1.5 |" in page
    assert f"| {LGM} | 1 | 4 | 0.250 | 84.9, 96.5, 120.0 | 0.00019 |" in page
    assert f"`{card.sha256[:16]}` | MIT |" in page
    assert card.machine in page
    assert (
        "1047 training images of 1 x 8 x 8, 10 classes; sha256 of images and labels: "
        f"`{card.data_checksum[:16]}`" in page
    )
    assert f"**{note}**" in page
    assert "[arXiv 1803.02988](https://arxiv.org/abs/1803.02988)" in page.split("### digits-lgm")[1]
    assert "[models/heads/lgm.py](../models/heads/lgm.py): Large-margin Gaussian mixture loss (L-GM)." in page
    assert (DOCS / "../models/heads/lgm.py").exists()


def test_the_page_says_what_was_not_measured() -> None:
    page = zoo_page([read_card(LGM).model_copy(update={"measurements": None})])
    assert "| 100.00 | 99.20 | n/a |" in page
    assert f"| {LGM} | n/a | n/a | n/a | n/a | n/a |" in page
    assert "**" not in page


def test_the_page_tells_options_that_a_recipe_leaves_at_their_defaults() -> None:
    card = read_card("mnist-gccs-s0")
    assert card.recipe.loss == {"name": "gccs"}
    options = inspect.signature(HEADS["gccs"]).parameters
    lines = zoo_page([card]).split("[loss]")[1].split("```")[0].strip().splitlines()
    told = ["name", *(name for name in options if name not in ("features", "classes"))]
    assert [line.split(" = ")[0] for line in lines] == told
    assert len(told) > 2


def test_the_page_names_recipes_without_weights() -> None:
    page = zoo_page(
        [read_card(LGM)],
        [load_recipe(name) for name in ("digits-lgm", "digits-center", "digits-softmax", "mnist-lgm")],
    )
    assert (
        "Recipes without weights here: `digits-center`, `digits-softmax`. `gmbench train RECIPE` trains one."
        in page
    )
    assert "mnist-lgm" not in page


def test_the_page_has_every_setting_of_every_recipe() -> None:
    cards = [read_card(name) for name in NAMES]
    page = zoo_page(cards)
    for card in cards:
        section = page.split(f"### {card.recipe.name}\n")[1].split("```")
        settings = tomllib.loads(section[1].removeprefix("toml"))
        recipe = type(card.recipe)(name=card.recipe.name, source=card.recipe.source, **settings)
        assert recipe.model_dump(exclude={"loss"}) == card.recipe.model_dump(exclude={"loss"})
        options = inspect.signature(HEADS[card.recipe.loss["name"]]).parameters.values()
        assert (
            recipe.loss
            == {one.name: one.default for one in options if one.default is not one.empty} | card.recipe.loss
        )
        build_classifier(recipe, card.classes)  # and none that there is not
        # defaults are settings, too
        assert {"name", "source", *settings} == set(card.recipe.model_dump(exclude_none=True))
        assert card.name in section[0]
    assert page.count("### ") == len({card.recipe.name for card in cards})
    assert [line for line in page.splitlines() if line.startswith("## ")] == [
        f"## {title}" for title in (*dict.fromkeys(card.data for card in cards), "Recipes")
    ]


# The command line


def test_the_list_is_one_line_each(gmbench: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert gmbench("zoo") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        "checkpoint",
        "loss",
        "data",
        "seed",
        "test",
        "accuracy",
        "(%)",
        "ECE",
        "(%)",
        "minutes",
    ]
    assert [line.split()[0] for line in lines[1:]] == NAMES
    card = read_card(LGM)
    assert card.measurements is not None
    accuracy = ["100.00", f"[{100 * card.measurements.accuracy_low:.2f},", "100.00]"]
    [line] = [line for line in lines if line.startswith(LGM)]
    assert line.split() == [
        LGM,
        "lgm",
        "digits",
        "0",
        *accuracy,
        f"{100 * card.measurements.ece:.2f}",
        f"{card.seconds / 60:.1f}",
    ]


@pytest.mark.stored
def test_verify_and_measure_by_command(
    gmbench: Callable[..., int], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gmbench("zoo", "verify", "--folder", folder, "--device", "cpu") == 0
    assert f"{LGM}: equal, 500 of 500 right" in (printed := capsys.readouterr().out)
    assert "2 of 2 checkpoints are what their cards say" in printed
    rewrite(folder, test_accuracy=0.9)
    rewrite(folder, "digits-softmax-s0", measurements=None)
    assert gmbench("zoo", "verify", "*-softmax-*", "--folder", folder) == 0
    assert gmbench("zoo", "verify", "--folder", folder) == 1
    captured = capsys.readouterr()
    assert f"error: {LGM}: differs" in captured.err
    assert "1 of 2 checkpoints" in captured.out
    assert gmbench("zoo", "measure", "--folder", folder) == 1  # and the other one is measured all the same
    assert f"error: {LGM}: differs" in capsys.readouterr().err
    alike(read_card("digits-softmax-s0", folder), read_card("digits-softmax-s0"))


def alike(card: Card, published: Card) -> None:
    """A card measured on another kind of processor differs in its measurements' last digits alone."""
    assert card.model_copy(update={"measurements": None}) == published.model_copy(
        update={"measurements": None}
    )
    assert card.measurements is not None
    assert published.measurements is not None
    assert card.measurements.model_dump() == pytest.approx(published.measurements.model_dump(), rel=1e-4)


def test_the_page_by_command(gmbench: Callable[..., int], folder: Path, tmp_path: Path) -> None:
    assert gmbench("zoo", "page", "--folder", folder, "--out", tmp_path / "new" / "zoo.md") == 0
    expected = zoo_page(
        [read_card(name, folder) for name in checkpoints(folder)], [load_recipe(name) for name in recipes()]
    )
    assert (tmp_path / "new" / "zoo.md").read_text(encoding="utf-8") == expected


@pytest.mark.parametrize("command", ["verify", "measure", "page"])
def test_a_folder_without_checkpoints_is_an_error(
    gmbench: Callable[..., int], tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gmbench("zoo", command, "--folder", tmp_path / "nowhere") == 2
    assert "no checkpoints in" in capsys.readouterr().err


def test_train_leaves_out_what_has_no_data(
    gmbench: Callable[..., int],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cli_zoo, "untrained", lambda _: [("cifar10-gm", 0)])
    command = ("zoo", "train", "--folder", folder, "--data-root", tmp_path)
    assert gmbench(*command) == 0
    said = capsys.readouterr()
    assert said.out.startswith("cifar10-gm s0 left out: CIFAR-10 not found under ")
    assert said.out.endswith("; fetch it with: gmbench data cifar10\n")
    monkeypatch.setattr(cli_zoo, "untrained", lambda _: [("cifar10-jpeg-gm", 0)])
    assert gmbench(*command) == 1
    assert "error: cifar10-jpeg-gm s0: cifar10-jpeg not found" in capsys.readouterr().err


def test_train_makes_what_is_missing(
    gmbench: Callable[..., int],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "zoo.toml"
    path.write_text("digits-lgm = [0]\ndigits-center = [4]\ndigits-surrogate = [2]\n")
    short = {
        name: load_recipe(name).model_copy(update={"epochs": 1})
        for name in ("digits-center", "digits-surrogate")
    }
    monkeypatch.setattr(cli_zoo, "untrained", lambda folder: untrained(folder, path))
    monkeypatch.setattr(cli_zoo, "load_recipe", short.__getitem__)
    original = cli_zoo.train_checkpoint

    def diverging(recipe: object, *arguments: object, **options: object) -> object:
        if recipe == short["digits-center"]:
            raise Diverged("expected the loss to stay finite, got nan")
        return original(recipe, *arguments, **options)

    monkeypatch.setattr(cli_zoo, "train_checkpoint", diverging)
    assert gmbench("zoo", "train", "--folder", folder) == 1
    # the one after the failure, too
    assert checkpoints(folder) == [LGM, "digits-softmax-s0", "digits-surrogate-s2"]
    captured = capsys.readouterr()
    assert "error: digits-center s4: expected the loss to stay finite" in captured.err
    assert "digits-surrogate-s2: test accuracy" in captured.out
    monkeypatch.setattr(cli_zoo, "train_checkpoint", original)
    assert gmbench("zoo", "train", "--folder", folder) == 0
    assert untrained(folder, path) == []
    written = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert gmbench("zoo", "train", "--folder", folder) == 0
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == written


@pytest.mark.parametrize("command", ["verify", "measure"])
def test_a_wrong_name_is_one_line(
    gmbench: Callable[..., int], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gmbench("zoo", command, "digits-lgn-s0") == 2
    error = capsys.readouterr().err
    assert error == "error: no checkpoint named 'digits-lgn-s0'; did you mean 'digits-lgm-s0'?\n"
