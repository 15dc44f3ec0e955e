"""The command line. Exit codes.

0 done, 1 something failed and the rest is finished, 2 wrong usage or input, 130 interrupted.
"""

import sys
import warnings
from collections.abc import Callable
from importlib import metadata
from typing import Annotated, Any

import typer

from ...models import CheckpointError
from ...models.registry import PluginWarning
from ...models.training import Diverged
from ..data.datasets import DataError
from ..engine.defense import DefenseError
from ..engine.entry import StoreError
from ..engine.work.crew import CrewError
from .console import console, fail, warn
from .diff import diff
from .keeping import store
from .known import data, list_names, show
from .run import report, run
from .transfer import transfer
from .zoo import train, zoo

__all__ = ["app", "main"]

WRONG_INPUT = (
    CheckpointError,
    DataError,
    DefenseError,
    StoreError,
    ValueError,
    KeyError,
    ImportError,
    FileExistsError,
    PermissionError,
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def _version(wanted: bool) -> None:
    if wanted:
        console.print(f"gmbench {metadata.version('gmbench')}")
        raise typer.Exit


@app.callback()
def whole(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Does a classifier with a likelihood-based defense really hold?

    Start with: gmbench run digits-v2
    """


app.command()(run)
app.command()(report)
app.command()(diff)
app.command()(transfer)
app.command()(train)
app.command("list")(list_names)
app.command()(data)
app.command()(show)
app.add_typer(zoo, name="zoo")
app.add_typer(store, name="store")


def main() -> None:
    """Run the command line; every expected error is one line."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", PluginWarning)
        warnings.showwarning = _tell_plugin(warnings.showwarning)
        sys.exit(_run())


def _tell_plugin(other: Callable[..., None]) -> Callable[..., None]:
    """Make what shows warnings tell a plug-in's in one line, and leave all else to ``other``."""

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, PluginWarning):
            warn(message)
        else:
            other(message, category, *where, **more)

    return show


def _run() -> int:
    try:
        code = app(standalone_mode=False)
    except typer.Exit as error:
        code = error.exit_code
    except KeyboardInterrupt:
        fail("interrupted")
        code = 130
    except (typer.Abort, EOFError):
        code = 130
    except (CrewError, Diverged) as error:
        fail(error)
        code = 1
    except WRONG_INPUT as error:
        fail(error)
        code = 2
    except Exception as error:
        if type(error).__module__.split(".")[0] not in ("click", "typer"):
            raise
        fail(error.format_message() if hasattr(error, "format_message") else error)
        code = 2
    return code or 0


if __name__ == "__main__":
    main()
