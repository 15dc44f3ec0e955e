"""Runs a user's Python file, for what it builds; only give it files you trust."""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

__all__ = ["first_line", "running"]


@contextmanager
def running(path: Path, kind: type[Exception]) -> Iterator[ModuleType]:
    """Run the file and give its module; inside the context it may import what lies beside it.

    Args:
        path: Of a file that exists.
        kind: The error to raise where it is no Python or fails, in one line.
    """
    spec = importlib.util.spec_from_file_location(f"gmbench_file_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise kind(f"expected a Python file (.py), got {path.name}")
    module = importlib.util.module_from_spec(spec)
    folder = str(path.parent.resolve())
    sys.path.insert(0, folder)
    try:
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            raise kind(f"{path.name} failed: {type(error).__name__}: {first_line(error)}") from error
        yield module
    finally:
        sys.path.remove(folder)


def first_line(error: BaseException) -> str:
    """Say an error in a line."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
