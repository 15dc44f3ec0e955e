"""The trial: a mutant in a copy of the repository, and its module's tests in a process of their own.

Outcomes are kept while a module and its tests stay as they are, so that a stopped run goes on. Other modules
may change under a kept outcome: delete the file `KEPT` to try all mutants anew.
"""

import importlib.util
import json
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from queue import Queue

import platformdirs
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from .sample import ROOT, Mutant, digest
from .tested import TESTS

__all__ = ["SURVIVED", "try_all"]

HERE = Path(__file__).parent
KILLED, SURVIVED, TIMED_OUT = "killed", "survived", "timed out"
KEPT = platformdirs.user_cache_path("gmbench") / "mutants.jsonl"

PATIENCE = 5
"""How many times the unchanged module's time a mutant may take; a minute at least."""

# Imported once, by the server that each trial is forked from: what tests import and no mutant changes.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["pandas", "pytest", "scipy.stats", "sklearn.metrics", "torch", "torchvision"])


class Copies:
    """Copies of the repository, each for one trial at a time; the repository itself is never changed."""

    def __init__(self, folder: Path, count: int) -> None:
        self._free: Queue[Path] = Queue()
        ignored = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info")
        for number in range(count):
            self._free.put(Path(shutil.copytree(ROOT, folder / str(number) / "gmbench", ignore=ignored)))

    @contextmanager
    def one(self) -> Iterator[Path]:
        copy = self._free.get()
        try:
            yield copy
        finally:
            self._free.put(copy)

    def limit(self, module: str) -> float:
        """Tell how many seconds a mutant of the module may take; its tests must pass as it is."""
        started = time.monotonic()
        with self.one() as copy:
            outcome = _tests(copy, module, 600)
            if outcome != SURVIVED:
                output = (copy.parent / "output.txt").read_text()
                raise RuntimeError(f"expected the tests of {module} to pass, got {outcome}:\n{output}")
        return max(60, PATIENCE * (time.monotonic() - started))

    def outcome(self, mutant: Mutant, limit: float) -> str:
        """Run a mutant's tests for at most ``limit`` seconds."""
        with self.one() as copy:
            path = copy / mutant.module
            original = path.read_text()
            _write(path, mutant.code)
            try:
                return _tests(copy, mutant.module, limit)
            finally:
                _write(path, original)


def try_all(mutants: list[Mutant], workers: int, console: Console) -> dict[Mutant, str]:
    """Tell each mutant's outcome; those that an earlier run has kept are not tried again."""
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    KEPT.touch()
    kept = dict(json.loads(line) for line in KEPT.read_text().splitlines())
    keys = {mutant: _key(mutant) for mutant in mutants}
    outcomes = {mutant: kept[key] for mutant, key in keys.items() if key in kept}
    missing = [mutant for mutant in mutants if mutant not in outcomes]
    progress = Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=console)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(workers) as pool, KEPT.open("a") as file:
        copies = Copies(Path(folder), workers if missing else 0)
        modules = sorted({mutant.module for mutant in missing})
        limits = dict(zip(modules, pool.map(copies.limit, modules), strict=True))
        trials = {pool.submit(copies.outcome, mutant, limits[mutant.module]): mutant for mutant in missing}
        try:
            with progress:
                for trial in progress.track(as_completed(trials), len(trials), description="mutants"):
                    mutant = trials[trial]
                    outcomes[mutant] = trial.result()
                    file.write(json.dumps([keys[mutant], outcomes[mutant]]) + "\n")
                    file.flush()
        finally:
            pool.shutdown(cancel_futures=True)
    return outcomes


def _key(mutant: Mutant) -> str:
    """Hash what an outcome hangs on: the mutated module, its tests and what tests share."""
    shared = [path for path in sorted((ROOT / "tests").rglob("*.py")) if not path.name.startswith("test_")]
    read = [ROOT / path for path in TESTS[mutant.module]] + shared
    return digest(mutant.module, mutant.code, *(path.read_text() for path in read if path.parent != HERE))


def _write(path: Path, code: str) -> None:
    """Write a module and drop its bytecode, which knows its source by size and second alone."""
    path.write_text(code)
    Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)


def _tests(copy: Path, module: str, limit: float) -> str:
    process = CONTEXT.Process(target=_pytest, args=(copy, TESTS[module]))
    process.start()
    process.join(limit)
    if process.exitcode is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
        return TIMED_OUT
    return KILLED if process.exitcode else SURVIVED


def _pytest(copy: Path, tests: tuple[str, ...]) -> None:
    """Be the process: run tests in a copy, the output beside it."""
    os.setsid()  # so that a time-out ends what tests have started, too
    with (copy.parent / "output.txt").open("w") as output:
        for stream in (1, 2):
            os.dup2(output.fileno(), stream)
    os.chdir(copy)
    os.environ["PYTHONPATH"] = str(copy.parent)
    sys.path[:] = [str(copy.parent), *(path for path in sys.path if Path(path) != HERE.parent)]

    import pytest

    import gmbench

    if Path(gmbench.__file__).parent != copy:
        raise RuntimeError(f"expected gmbench to be the copy {copy}, got {gmbench.__file__}")
    os._exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow", *tests]))
