"""The zoo's page, docs/zoo.md.

A table per data set and a section per recipe, written from the cards alone.
"""

import inspect
import json
import re
import sys
from collections.abc import Mapping, Sequence

from ...models.checkpoint import Card
from ...models.heads.head import HEADS
from ...models.losses import about_loss
from ...models.recipe import Recipe
from .tables import markdown

__all__ = ["accuracy_text", "ece_text", "zoo_page"]

UNMEASURED = "n/a"

TABLES = ("loss", "adversary", "about")
"""Of a recipe file, after all else."""

_HEAD = """# The zoo

Written by `gmbench zoo page` from the cards in [models/zoo](../models/zoo), which have every number in full,
the whole hashes and the versions; do not edit. `gmbench zoo verify` recomputes every test accuracy from the
weights, `make zoo` trains what is missing, and [models/zoo.toml](../models/zoo.toml) says what belongs here.

Per cent: test accuracy with its 95 % Wilson interval, validation accuracy, ECE (expected calibration error,
15 bins of the largest softmax value; Guo et al., [arXiv 1706.04599](https://arxiv.org/abs/1706.04599)).
Minutes are wall time and include what other work took from the machine.

Features: *own mean* is the mean distance of a test image's feature to the mean of its class's training
features, *nearest other* the one to the nearest mean of another class, and *own / other* their ratio.
*Angles* are those between the class means around the centre of all (smallest, mean, largest, in degrees; a
simplex of 10 classes has 96.4 everywhere). *Spread* is the variance of the softmax values of the classes that
are not the true one, averaged over the test images; where a results page tells it, over those that are
classified rightly."""


def zoo_page(cards: Sequence[Card], recipes: Sequence[Recipe] = ()) -> str:
    """Write the page; a data set's models and the recipes stand in the order of ``cards``.

    Args:
        cards: Of the checkpoints.
        recipes: All there are; those that no card is of are named with their data set.
    """
    parts = [_HEAD]
    trained = {card.recipe.name for card in cards}
    for data in dict.fromkeys(card.data for card in cards):
        parts += _data_set(data, [card for card in cards if card.data == data])
        if without := [
            f"`{recipe.name}`" for recipe in recipes if recipe.data == data and recipe.name not in trained
        ]:
            parts.append(
                f"Recipes without weights here: {', '.join(without)}. `gmbench train RECIPE` trains one."
            )
    parts.append("## Recipes")
    for name, recipe in {card.recipe.name: card.recipe for card in cards}.items():
        parts += _recipe(recipe, [card for card in cards if card.recipe.name == name])
    return "\n\n".join(parts) + "\n"


def accuracy_text(card: Card) -> str:
    """Write the test accuracy in per cent, with its interval where it was measured.

    "99.70 [99.57, 99.79]".
    """
    text = f"{card.test_accuracy:.2%}".removesuffix("%")
    measured = card.measurements
    return (
        text
        if measured is None
        else f"{text} [{100 * measured.accuracy_low:.2f}, {100 * measured.accuracy_high:.2f}]"
    )


def ece_text(card: Card) -> str:
    """Write the expected calibration error in per cent."""
    return UNMEASURED if card.measurements is None else f"{100 * card.measurements.ece:.2f}"


def _data_set(data: str, cards: Sequence[Card]) -> list[str]:
    hashes = ", ".join(
        f"`{checksum[:16]}`" for checksum in dict.fromkeys(card.data_checksum for card in cards)
    )
    first = cards[0]
    size = " x ".join(map(str, first.shape))
    return [
        f"## {data}",
        (
            f"{first.train_images} training images of {size}, {first.classes} classes; sha256 of images and "
            f"labels: {hashes}."
        ),
        *(f"**{note}**" for note in dict.fromkeys(card.note for card in cards) if note),
        markdown([_training_row(card) for card in cards]),
        markdown([_feature_row(card) for card in cards]),
    ]


def _training_row(card: Card) -> dict[str, str]:
    return {
        "model": f"[{card.name}](../models/zoo/{card.name}.json)",
        "loss": card.loss,
        "net": f"{card.recipe.net}, {card.recipe.features}-D",
        "seed": str(card.seed),
        "test accuracy (%)": accuracy_text(card),
        "validation (%)": f"{100 * card.validation_accuracy:.2f}",
        "ECE (%)": ece_text(card),
        "epochs": str(card.epochs),
        "minutes": f"{card.seconds / 60:.1f}",
        "machine": card.machine,
        "sha256": f"`{card.sha256[:16]}`",
        "licence": card.licence,
    }


def _feature_row(card: Card) -> dict[str, str]:
    row = dict.fromkeys(("own mean", "nearest other", "own / other", "angles", "spread"), UNMEASURED)
    if (found := card.measurements) is not None:
        row = {
            "own mean": f"{found.own_distance:.3g}",
            "nearest other": f"{found.nearest_distance:.3g}",
            "own / other": f"{found.own_distance / found.nearest_distance:.3f}",
            "angles": f"{found.angle_min:.1f}, {found.angle_mean:.1f}, {found.angle_max:.1f}",
            "spread": f"{found.spread:.2g}",
        }
    return {"model": card.name, **row}


def _recipe(recipe: Recipe, cards: Sequence[Card]) -> list[str]:
    source = sys.modules[HEADS[recipe.loss["name"]].__module__]
    module, formula = (
        source.__name__.rsplit(".", maxsplit=1)[-1],
        (source.__doc__ or "").split("\n\n")[0].replace("\n", " "),
    )
    return [
        f"### {recipe.name}",
        f"[models/heads/{module}.py](../models/heads/{module}.py): {formula}{_hardened(recipe)}",
        re.sub(r"arXiv[: ](\d{4}\.\d{4,5})", r"[arXiv \1](https://arxiv.org/abs/\1)", recipe.source),
        (
            f"Trained: {', '.join(card.name for card in cards)}. Again: `gmbench train {recipe.name} --seed "
            f"{cards[0].seed}`."
        ),
        f"```toml\n{_toml(recipe)}\n```",
    ]


def _hardened(recipe: Recipe) -> str:
    if recipe.adversary is None:
        return ""
    path = "models/heads/adversarial.py"
    return f" On adversarial images alone ([{path}](../{path}), {about_loss(recipe.group).citation})."


def _toml(recipe: Recipe) -> str:
    """Write every setting but name and source, defaults too, as a recipe file has it.

    JSON writes strings and numbers as TOML does.
    """
    settings = recipe.model_dump(exclude={"name", "source", *TABLES}, exclude_none=True)
    options = inspect.signature(HEADS[recipe.loss["name"]]).parameters.values()
    defaults = {option.name: option.default for option in options if option.default is not option.empty}
    loss = {"name": recipe.loss["name"]} | defaults | recipe.loss
    tables = recipe.model_dump(include=set(TABLES), exclude_none=True) | {"loss": loss}
    return "\n\n".join(
        [_lines(settings), *(f"[{name}]\n{_lines(tables[name])}" for name in TABLES if name in tables)]
    )


def _lines(table: Mapping[str, object]) -> str:
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in table.items() if value != "")
