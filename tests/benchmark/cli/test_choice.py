"""The options of a choice stand once and are every command's that takes one."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from gmbench.benchmark.cli.choice import Choice, takes_choice
from gmbench.benchmark.cli.run import report, run


def test_a_command_gets_what_was_chosen_and_its_own() -> None:
    heard: list[tuple[Choice, bool]] = []

    @takes_choice
    def command(choice: Choice, loud: bool = False) -> None:
        """Hear."""
        heard.append((choice, loud))

    app = typer.Typer()
    app.command()(command)
    given = ["mnist-v2", "--models", "a", "--models", "b", "--samples", "7", "--loud", "--store", "kept"]
    assert CliRunner().invoke(app, given).exit_code == 0
    chosen = Choice("mnist-v2", models=["a", "b"], samples=7, store=Path("kept"))
    assert heard == [(chosen, True)]
    assert chosen.narrows
    assert CliRunner().invoke(app, []).exit_code == 0
    assert heard[-1] == (Choice(), False)
    assert not heard[-1][0].narrows
    assert "Hear." in CliRunner().invoke(app, ["--help"]).output


@pytest.mark.parametrize("command", [run, report])
def test_commands_take_every_option_of_a_choice(command: Callable[..., None]) -> None:
    taken = inspect.signature(command).parameters
    for item in fields(Choice):
        assert taken[item.name].annotation == item.type
        assert taken[item.name].default == item.default
