"""Would the tests notice? Mutants of the modules that judge, against these modules' tests: `make mutants`.

A mutant is killed by a failing test, an error or a time-out. Those that no test can kill are listed in
survivors.toml with the reason. An unlisted survivor, a listed one that dies, or fewer than 95 % killed make
the command fail. Begin reading at `sample`; `trial` runs the tests.
"""

import os
import time
import tomllib
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from .sample import Mutant, Name, sample
from .tested import TESTS
from .trial import SURVIVED, try_all

SURVIVORS = Path(__file__).with_name("survivors.toml")
ENOUGH = 0.95


def main(
    modules: Annotated[list[str] | None, typer.Argument(help="Only modules of these names (norms).")] = None,
    size: Annotated[int, typer.Option(min=1, help="Mutants in the sample, over all modules.")] = 480,
    workers: Annotated[int, typer.Option(min=1, help="How many are tried at once.")] = 2,
) -> None:
    """Tell which mutants of the modules that judge survive their tests."""
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    console, started = Console(soft_wrap=True, highlight=False), time.monotonic()
    mutants = [mutant for mutant in sample(TESTS, size) if not modules or Path(mutant.module).stem in modules]
    outcomes = try_all(mutants, workers, console)
    survivors = {mutant.name for mutant, outcome in outcomes.items() if outcome == SURVIVED}
    listed = {
        Name(row["module"], row["was"], row["becomes"])
        for row in tomllib.loads(SURVIVORS.read_text()).get("survivor", [])
    }
    console.print(_table(mutants, outcomes, listed))
    wrong = {
        "survives, in no list": survivors - listed,
        "listed, but killed": {mutant.name for mutant in mutants} & listed - survivors,
        "listed, but no line of the module": {name for name in listed if not name.was_found()},
    }
    for title, names in wrong.items():
        for name in sorted(names):
            console.print(f"{title}: {name.module}\n  {name.was}\n  {name.becomes}", markup=False)
    killed = sum(outcome != SURVIVED for outcome in outcomes.values()) / len(mutants)
    console.print(f"{killed:.1%} of {len(mutants)} killed, {(time.monotonic() - started) / 60:.0f} minutes")
    raise typer.Exit(killed < ENOUGH or any(wrong.values()))


def _table(mutants: list[Mutant], outcomes: dict[Mutant, str], listed: set[Name]) -> Table:
    table = Table("module", "mutants", "killed", "listed", "unlisted")
    for module in dict.fromkeys(mutant.module for mutant in mutants):
        own = [mutant for mutant in mutants if mutant.module == module]
        left = [mutant.name in listed for mutant in own if outcomes[mutant] == SURVIVED]
        counts = len(own), len(own) - len(left), sum(left), len(left) - sum(left)
        table.add_row(module, *map(str, counts))
    return table


if __name__ == "__main__":
    typer.run(main)
