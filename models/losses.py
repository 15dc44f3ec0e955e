"""Losses by the names that tables group models under: what each declares, and in which order they stand."""

import tomllib
from collections.abc import Iterable
from dataclasses import replace
from functools import cache

from .about import ADVERSARIAL, About, Variant, about_of
from .files import RECIPES
from .heads.head import HEADS

__all__ = ["about_loss", "in_order", "is_adversarial", "known_losses", "loss_name"]


def about_loss(loss: str) -> About:
    """Look up what a loss declares, or a recipe that has a name of its own.

    What is neither, a user's own defense, is called by its name and has neither paper nor family.
    """
    if loss in HEADS:
        return about_of(loss, HEADS[loss])
    return _variants().get(loss) or About(title=loss)


def loss_name(loss: str) -> str:
    """Write a loss for people."""
    return about_loss(loss).title


def is_adversarial(loss: str) -> bool:
    """Tell whether the loss is trained on adversarial images."""
    return about_loss(loss).family == ADVERSARIAL


def known_losses() -> list[str]:
    """Name every loss that is declared, by a head or a recipe, in the order of tables and legends."""
    return in_order([*HEADS, *_variants()])


def in_order(losses: Iterable[str]) -> list[str]:
    """Sort losses: L-GM and what its paper compares it with first, what declares no place last, by name."""
    return sorted(set(losses), key=lambda loss: (about_loss(loss).place, loss))


@cache
def _variants() -> dict[str, Variant]:
    """Read what the recipes of gmbench declare, {name: declaration}; the family follows from the training."""
    recipes = [tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(RECIPES.glob("*.toml"))]
    found = {}
    for recipe in recipes:
        if table := recipe.get("about"):
            head = about_of("", HEADS[recipe["loss"]["name"]])
            family = ADVERSARIAL if "adversary" in recipe else head.family
            found[table["name"]] = replace(Variant(**table), family=family)
    return found
