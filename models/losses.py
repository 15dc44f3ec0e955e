"""Losses by the names that tables group models under: what each declares, and in which order they stand."""

from collections.abc import Iterable

from .about import ADVERSARIAL, About, about_of
from .heads.head import HEADS

__all__ = ["about_loss", "in_order", "is_adversarial", "known_losses", "loss_name"]


def about_loss(loss: str) -> About:
    """Look up what a loss declares.

    What is no loss of ours, a user's own defense, is called by its name and has neither paper nor family.
    """
    return about_of(loss, HEADS[loss]) if loss in HEADS else About(title=loss)


def loss_name(loss: str) -> str:
    """Write a loss for people."""
    return about_loss(loss).title


def is_adversarial(loss: str) -> bool:
    """Tell whether the loss is trained on adversarial images."""
    return about_loss(loss).family == ADVERSARIAL


def known_losses() -> list[str]:
    """Name every loss that is declared, in the order of tables and legends."""
    return in_order(HEADS)


def in_order(losses: Iterable[str]) -> list[str]:
    """Sort losses: L-GM and what its paper compares it with first, what declares no place last, by name."""
    return sorted(set(losses), key=lambda loss: (about_loss(loss).place, loss))
