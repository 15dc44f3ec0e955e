"""How long whole runs take, and how much memory.

The default suite from an empty store, and again from a full one; part of `make perf`.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.table import Table

__all__ = ["runs_table"]

SUITE = "digits-v2"
FIRST_SECONDS, SECOND_SECONDS, PEAK_GB = 180, 15, 3.0  # the aims on two cores


def runs_table() -> Table:
    """Run the default suite twice in processes of their own; tell wall times and the largest memory.

    Raises:
        CalledProcessError: A run failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        script = "from gmbench.benchmark.cli.main import main; main()"
        places = ["--store", str(Path(folder) / "store"), "--results", str(Path(folder) / "results")]
        seconds = []
        for _ in range(2):
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, "-c", script, "run", SUITE, *places], check=True, capture_output=True
            )
            seconds.append(time.perf_counter() - start)
    # of the largest child; Linux counts in KiB
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    table = Table("", "measured", "aim", title=f"gmbench run {SUITE}")
    table.add_row("first run, seconds", f"{seconds[0]:.1f}", _aim(seconds[0], FIRST_SECONDS))
    table.add_row("second run, seconds", f"{seconds[1]:.1f}", _aim(seconds[1], SECOND_SECONDS))
    table.add_row("peak memory, GB", f"{peak:.2f}", _aim(peak, PEAK_GB))
    return table


def _aim(value: float, most: float) -> str:
    return f"<= {most:g} " + ("[green]met[/]" if value <= most else "[red]missed[/]")
