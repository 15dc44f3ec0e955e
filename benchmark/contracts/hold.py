"""How a contract is held."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["hold", "refused", "works"]


def hold(kept: object, broken: str) -> None:
    """Raise unless a promise was kept.

    Raises:
        AssertionError: It was not; ``broken`` says which.
    """
    if not bool(kept):
        raise AssertionError(broken)


def refused(what: str, call: Callable[[], Any], kind: type[Exception], *words: str) -> None:
    """Raise unless a call raises ``kind`` with these words in its message."""
    try:
        call()
    except kind as error:
        missing = [word for word in words if word not in str(error)]
        hold(not missing, f"expected {what} to be refused with '{' '.join(missing)}', got: {error}")
    else:
        raise AssertionError(f"expected {what} to raise {kind.__name__}, got no error")


@contextmanager
def works(what: str) -> Iterator[None]:
    """Say in one line that something failed that must not."""
    try:
        yield
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"expected {what} to work, got {type(error).__name__}: {error}") from error
