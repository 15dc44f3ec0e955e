"""Which detector a loss is verified with, where several apply."""

from collections.abc import Collection

from .detector import OWN

__all__ = ["verification_detector"]

GENERIC = ("likelihood", "msp")


def verification_detector(declared: str | None, available: Collection[str]) -> str | None:
    """Choose the detector that a loss's paper verifies inputs with.

    Where the loss declares none: the one that a defense brings, else the likelihood where the model has one,
    else MSP, else the first that applies.

    Args:
        declared: By the loss, see `About`.
        available: The detectors that apply, by name.

    Returns:
        Its name, or None where none applies.
    """
    wanted = (declared or OWN, *GENERIC, *available)
    return next((name for name in wanted if name in available), None)
