"""How the command line speaks: one console, progress bars with the time left, errors in one line."""

from rich.console import Console
from rich.text import Text

from ..api.progress import Bar as ShownBar

__all__ = ["Bar", "console", "fail", "warn"]

# No markup: messages hold brackets of their own, "gmbench[torchattacks]".
console = Console(highlight=False, markup=False, soft_wrap=True)

errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


def fail(message: object) -> None:
    """Print one line on standard error."""
    errors.print(Text.assemble(("error: ", "red"), " ".join(str(message).split())))


def warn(message: object) -> None:
    """Print one line on standard error that stops nothing."""
    errors.print(Text.assemble(("warning: ", "yellow"), " ".join(str(message).split())))


class Bar(ShownBar):
    """A progress bar on standard error; without a terminal it prints one line per piece of work instead."""

    def __init__(self) -> None:
        super().__init__(errors)

    def doing(self, what: str) -> None:
        if self.shown:
            super().doing(what)
        else:
            errors.print(what)
