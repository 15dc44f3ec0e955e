"""How the command line speaks: one console for each stream, errors in one line."""

from rich.console import Console
from rich.text import Text

__all__ = ["console", "errors", "fail", "warn"]

# No markup: messages hold brackets of their own, "gmbench[torchattacks]".
console = Console(highlight=False, markup=False, soft_wrap=True)

errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def fail(message: object) -> None:
    """Print one line on standard error."""
    errors.print(Text.assemble(("error: ", "red"), " ".join(str(message).split())))


def warn(message: object) -> None:
    """Print one line on standard error that stops nothing."""
    errors.print(Text.assemble(("warning: ", "yellow"), " ".join(str(message).split())))
