"""What workers are worth: `make perf-workers` (``python -m gmbench.benchmark.perf.workers``).

Cells an hour in one process with one and with two torch threads and on two workers, whether their bytes are
equal, what the client adds to five hundred short cells, how long ten thousand cells take to plan, and how
much memory client and workers need for all of MNIST's test images. Every contender is a process of its own.
"""

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table

from ..engine.plan import Plan, plan_suite
from ..engine.progress import Silent
from ..engine.run import run_plan
from ..engine.store import Store
from ..engine.work.crew import Crew
from ..engine.work.crews import crew_for, in_process
from ..engine.work.lacking import Lacking
from .made_suites import FORTY, HUNDREDS, MEMORY, THOUSANDS

ONE, TWO_THREADS, WORKERS = "one process, one thread", "one process, two threads", "two workers"
CONTENDERS = (ONE, TWO_THREADS, WORKERS)

OVER_ONE, OVER_THREADS = 1.8, 1.3  # times as many cells an hour, at least
OVERHEAD, PLANNED_SECONDS = 0.05, 10.0  # at most
CLIENT_GB, WORKER_GB = 1.0, 1.5  # at most


class Spent(Silent):
    """Adds up what pieces took."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def finished(self, what: str, seconds: float) -> None:
        """Add what one thing took."""
        self.seconds += seconds


def main(
    part: Annotated[
        list[str] | None, typer.Option(help="speed, overhead, plan or memory; none: all.")
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Where MNIST is; else GMBENCH_DATA, else your cache folder.")
    ] = None,
) -> None:
    """Print what workers are worth on this machine, beside what is aimed at."""
    console = Console(highlight=False)
    table = Table("", "measured", "aim")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name, figures in (
            ("speed", speed),
            ("overhead", overhead),
            ("plan", planned),
            ("memory", memory),
        ):
            if not part or name in part:
                for row in figures(place, data_root):
                    table.add_row(*row)
    console.print(table)


def speed(place: Path, root: Path | None) -> Iterator[tuple[str, str, str]]:
    """Run forty cells of MNIST by each contender, from a store that has fits and inspections alone."""
    full = Store(place / "full")
    ask(WORKERS, FORTY, full, root)
    found, stores = {}, {}
    for name in CONTENDERS:
        stores[name] = without_cells(full, place / name)
        found[name] = ask(name, FORTY, stores[name], root)
        rate = 3600 * found[name]["cells"] / found[name]["seconds"]
        yield name, f"{rate:.0f} cells an hour, start {found[name]['start']:.1f} s", ""
    for other, least in ((ONE, OVER_ONE), (TWO_THREADS, OVER_THREADS)):
        ratio = found[other]["seconds"] / found[WORKERS]["seconds"]
        yield f"two workers to {other}", f"{ratio:.2f}", aim(f">= {least}", ratio >= least)
    equal = contents(stores[ONE]) == contents(stores[WORKERS])
    yield (
        "tables and images of two workers and of one process",
        "equal" if equal else "differ",
        aim("equal", equal),
    )


def overhead(place: Path, root: Path | None) -> Iterator[tuple[str, str, str]]:
    """Run five hundred short cells on two workers: what of their time was spent on no piece?"""
    told = ask(WORKERS, HUNDREDS, Store(place / "hundreds"), root)
    share = 1 - told["spent"] / (2 * told["seconds"])
    yield (
        "of two workers' time, idle in 500 cells",
        f"{share:.1%}",
        aim(f"<= {OVERHEAD:.0%}", share <= OVERHEAD),
    )


def planned(place: Path, root: Path | None) -> Iterator[tuple[str, str, str]]:
    """Plan ten thousand cells, and find that all of them are missing."""
    store = Store(place / "thousands")
    start = time.perf_counter()
    plan = made_plan(THOUSANDS, store, root)
    lacking = Lacking(plan, store, Silent())
    seconds = time.perf_counter() - start
    yield (
        f"{lacking.things} things planned, seconds",
        f"{seconds:.1f}",
        aim(f"<= {PLANNED_SECONDS:g}", seconds <= PLANNED_SECONDS),
    )


def memory(place: Path, root: Path | None) -> Iterator[tuple[str, str, str]]:
    """Run some attacks on all test images of MNIST, and look at the processes' largest memory."""
    told = ask(WORKERS, MEMORY, Store(place / "memory"), root)
    for who, most in (("client", CLIENT_GB), ("worker", WORKER_GB)):
        yield f"{who} on 10 000 images, GB", f"{told[who]:.2f}", aim(f"<= {most:g}", told[who] <= most)


def ask(contender: str, suite: str, store: Store, root: Path | None) -> dict[str, Any]:
    """Have a process of its own run a suite, and read what it tells.

    Raises:
        RuntimeError: It failed.
    """
    given = [contender, str(store.root), str(root or "")]
    done = subprocess.run(
        [sys.executable, "-m", __spec__.name, "--contend", *given],
        check=False,
        input=suite,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{contender} failed: {done.stderr.strip().splitlines()[-1:]}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if told["failures"]:
        raise RuntimeError(f"expected {contender} to fail nowhere, got {told['failures']} failures")
    return told


def contend(contender: str, store: Store, root: Path | None, suite: str) -> dict[str, Any]:
    """Run a suite in this process, and tell how long it took, and how large the processes were."""
    plan, spent = made_plan(suite, store, root), Spent()
    begun = time.perf_counter()
    with crew_of(contender, plan, store) as crew:
        start = time.perf_counter()
        done = run_plan(plan, store, crew, spent)
        seconds = time.perf_counter() - start
    gigabyte = 2**20  # Linux counts in KiB
    return {
        "start": start - begun,
        "cells": done.made,
        "seconds": seconds,
        "spent": spent.seconds,
        "failures": len(done.failures),
        "client": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / gigabyte,
        "worker": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / gigabyte,
    }


@contextmanager
def crew_of(contender: str, plan: Plan, store: Store) -> Iterator[Crew]:
    """Give a contender's crew."""
    if contender == WORKERS:
        with crew_for(plan, store, workers=2) as workers:
            yield workers
        return
    with in_process(plan) as here:
        torch.set_num_threads(2 if contender == TWO_THREADS else 1)
        yield here


def made_plan(suite: str, store: Store, root: Path | None) -> Plan:
    """Plan a suite that is given as text."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "made.toml"
        file.write_text(suite, encoding="utf-8")
        return plan_suite(str(file), root=root, device="cpu", store=store)[0]


def without_cells(full: Store, place: Path) -> Store:
    """Copy what a store has but for cells and their scores."""
    for key in full.keys():  # noqa: SIM118 - a store is no mapping
        description = full.read_head(key)["description"]
        if "inspection" in description or "fit" in description or "probe" in description:
            shutil.copytree(full.path(key), Store(place).path(key))
    return Store(place)


def contents(store: Store) -> dict[str, dict[str, str]]:
    """Give the checksums of all files, by key of their entry; what a computation took is none of them."""
    return {key: store.read_head(key)["files"] for key in store.keys()}  # noqa: SIM118


def aim(told: str, met: bool) -> str:
    """Write an aim, and whether it is met."""
    return f"{told} {'[green]met[/]' if met else '[red]missed[/]'}"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contend"]:
        name, place, data = sys.argv[2:]
        told = contend(name, Store(Path(place)), Path(data) if data else None, sys.stdin.read())
        sys.stdout.write(json.dumps(told) + "\n")
    else:
        typer.run(main)
