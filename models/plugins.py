"""Plug-ins: attacks, detectors, losses, nets and data sets from outside the repository.

An installed package names its own as entry points (``gmbench.attacks``, ``gmbench.detectors``,
``gmbench.losses``, ``gmbench.nets``, ``gmbench.data``), which a `Registry` loads when it is first looked
into. A file registers its own with the decorators when `load_plugin` runs it.
"""

import hashlib
import importlib.util
import sys
from pathlib import Path

from .python_file import first_line

__all__ = ["PluginError", "code_of", "load_plugin", "loaded_plugins", "module_name"]

OWN = __name__.split(".", maxsplit=1)[0]

NAMED = "gmbench_plugin_"
"""How the modules of plug-ins' files begin."""


class PluginError(ValueError):
    """A plug-in that cannot be loaded; one line that says why."""


def load_plugin(path: str | Path, name: str | None = None) -> None:
    """Run a Python file that registers attacks, detectors, losses, nets or data sets.

    Only load files that you trust. What lies beside the file may be imported by it, also later. Loaded again
    after an edit, what it registers takes the place of what it registered before.

    Args:
        path: Of the file.
        name: Of its module; None for `module_name` of the path. A copy elsewhere bears the original's.

    Raises:
        PluginError: There is no such file, it is no Python, it fails, or a name that it registers is taken.
    """
    file = Path(path).expanduser().resolve()
    if file.suffix != ".py" or not file.is_file():
        raise PluginError(f"expected a plug-in to be a Python file (.py), got {path}")
    name = name or module_name(file)
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise PluginError(f"expected a plug-in to be a Python file (.py), got {path}")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module  # where dataclasses and pickle look for it
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    try:
        # not exec_module: Python takes its compiled copy for a file that was edited within the same second
        exec(compile(file.read_bytes(), str(file), "exec"), vars(module))
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before
        raise PluginError(
            f"plug-in {file.name} failed: {type(error).__name__}: {first_line(error)}"
        ) from error


def module_name(file: Path) -> str:
    """Name the module of a plug-in: the same for the same path, so that a second load is known for one."""
    return f"{NAMED}{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"


def loaded_plugins() -> list[Path]:
    """List the files that `load_plugin` has loaded, in its order."""
    modules = [module for name, module in sys.modules.items() if name.startswith(NAMED)]
    return [Path(str(module.__file__)) for module in modules]


def code_of(thing: type | object) -> str | None:
    """Hash the file in which a class is defined, if that is a plug-in's; None for gmbench's own.

    What an installed package registers counts as a plug-in. A class of a notebook has no file: its name alone
    is hashed.
    """
    kind = thing if isinstance(thing, type) else type(thing)
    if kind.__module__.split(".", maxsplit=1)[0] == OWN:
        return None
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    content = Path(file).read_bytes() if file and Path(file).is_file() else kind.__qualname__.encode()
    return hashlib.sha256(content).hexdigest()
