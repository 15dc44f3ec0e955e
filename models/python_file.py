"""Runs a user's Python file, for what it builds; only give it files you trust."""

import ast
import importlib
import importlib.util
import site
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

__all__ = ["contents", "first_line", "running", "source_files", "sources"]

OWN = __name__.split(".", maxsplit=1)[0]


@contextmanager
def running(path: Path, kind: type[Exception]) -> Iterator[ModuleType]:
    """Run the file and give its module; inside the context it may import what lies beside it.

    What lies there is imported afresh: another file's helper of the same name, or this one's before it was
    edited, is not taken for it.

    Args:
        path: Of a file that exists.
        kind: The error to raise where it is no Python or fails, in one line.
    """
    spec = importlib.util.spec_from_file_location(f"gmbench_file_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise kind(f"expected a Python file (.py), got {path.name}")
    module = importlib.util.module_from_spec(spec)
    folder = path.parent.resolve()
    sys.path.insert(0, str(folder))
    # compiled files are told from their sources by the second: an edit within it would not be seen
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    _forget(folder)
    try:
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            raise kind(f"{path.name} failed: {type(error).__name__}: {first_line(error)}") from error
        yield module
    finally:
        sys.dont_write_bytecode = written
        sys.path.remove(str(folder))


def sources(module: ModuleType) -> list[bytes]:
    """Read the file of a module and of all that it imports of what is not installed; see `source_files`."""
    return contents(Path(str(module.__file__)), source_files(module))


def source_files(module: ModuleType) -> dict[str, Path]:
    """Find all that a module imports, however far away, of what is not installed, {name: file}.

    Installed is Python itself, what lies in its folders of packages, and gmbench.

    Args:
        module: Of a user's file, run; what it imports inside functions counts once that is imported.
    """
    found: dict[str, ModuleType] = {}
    waiting = [module]
    while waiting:
        one = waiting.pop()
        file = getattr(one, "__file__", None)
        if one.__name__ in found or not file or not Path(file).is_file():
            continue
        found[one.__name__] = one
        if file.endswith(".py"):
            names = _imported(Path(file).read_bytes(), one)
            waiting += [
                sys.modules[name] for name in names if name in sys.modules and not _is_installed(name)
            ]
    del found[module.__name__]
    return {name: Path(str(found[name].__file__)).resolve() for name in sorted(found)}


def contents(file: Path, imported: Mapping[str, Path]) -> list[bytes]:
    """Read a file and, with their names, the modules that it imports, {name: file}.

    Names, and not where the files lie, so that a copy of a folder is the same.
    """
    parts = [file.read_bytes()]
    for name in sorted(imported):
        parts += [name.encode(), imported[name].read_bytes()]
    return parts


def first_line(error: BaseException) -> str:
    """Say an error in a line."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _forget(folder: Path) -> None:
    """Have modules that lie beside a file imported anew."""
    beside = {path.stem for path in folder.glob("*.py")} | {
        path.name for path in folder.iterdir() if path.is_dir()
    }
    for name in list(sys.modules):
        if name.split(".", maxsplit=1)[0] in beside and not _is_installed(name):
            del sys.modules[name]
    importlib.invalidate_caches()


def _imported(source: bytes, module: ModuleType) -> Iterator[str]:
    """Name whatever a source may import, modules and what may be one."""
    package = module.__package__ or ""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _with_parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            yield from _with_parents(base)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def _is_installed(name: str) -> bool:
    module = sys.modules[name]
    file = getattr(module, "__file__", None)
    if name.split(".", maxsplit=1)[0] in (OWN, "__main__") or name in sys.builtin_module_names:
        return True
    places = [file] if file else list(getattr(module, "__path__", []))
    if not places:  # built in, or made by hand
        return True
    return any(Path(place).resolve().is_relative_to(folder) for place in places for folder in _installed())


def _installed() -> list[Path]:
    paths = sysconfig.get_paths()
    folders = {paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders |= {*site.getsitepackages(), site.getusersitepackages()}
    return [Path(folder).resolve() for folder in folders]
