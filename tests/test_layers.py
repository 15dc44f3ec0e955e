"""The rooms and the walls between them, checked over the source.

models <- attacks, models <- detectors; all three <- benchmark, and inside it data, engine <- analysis <-
report <- api <- cli. No import climbs, and no chain of imports is longer than `LONGEST`.
"""

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BELOW = {"attacks", "detectors", "models"}
MAY_IMPORT = {
    "models": {"models"},
    "attacks": {"attacks", "models"},
    "detectors": {"detectors", "models"},
    "benchmark.contracts": {"benchmark.contracts", *BELOW},
    "benchmark.data": {"benchmark.data", "models"},
    "benchmark.engine": {"benchmark.data", "benchmark.engine", *BELOW},
    "benchmark.analysis": {"benchmark.data", "benchmark.engine", "benchmark.analysis", *BELOW},
    "benchmark.report": {
        *("benchmark.data", "benchmark.engine", "benchmark.analysis", "benchmark.report"),
        *BELOW,
    },
    "benchmark.api": {
        *("benchmark.data", "benchmark.engine", "benchmark.analysis", "benchmark.report", "benchmark.api"),
        *BELOW,
    },
    "benchmark.perf": {
        *("benchmark.data", "benchmark.engine", "benchmark.analysis", "benchmark.report", "benchmark.api"),
        *("benchmark.perf", *BELOW),
    },
    "benchmark.cli": {
        *("benchmark.data", "benchmark.engine", "benchmark.analysis", "benchmark.report", "benchmark.api"),
        *("benchmark.cli", *BELOW),
    },
}
"""room -> the rooms that its modules may import."""

LONGEST = 12
"""Modules that a chain of imports may have: from the command line down to what imports nothing of ours."""

LINES = 1500
"""So many lines of a room are read in an afternoon; a larger one has rooms of its own."""

PACKAGES = ("attacks", "benchmark", "detectors", "models")
MODULES = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
ROOMS = sorted({path.parent for path in MODULES})


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_module_keeps_to_its_layer(module: Path) -> None:
    assert list(breaches(module, (ROOT / module).read_text(encoding="utf-8"))) == []


def test_every_room_has_its_rule() -> None:
    assert {room_of(module) for module in MODULES} - {"benchmark"} == set(MAY_IMPORT)


@pytest.mark.parametrize("room", ROOMS, ids=str)
def test_a_room_says_what_lives_in_it(room: Path) -> None:
    told = ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text(encoding="utf-8")))
    assert told
    assert "Begin with" in " ".join(told.split()), "say where to begin reading"
    assert len(told) < 900


@pytest.mark.parametrize("room", ROOMS, ids=str)
def test_a_room_can_be_read_in_an_afternoon(room: Path) -> None:
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / room).glob("*.py"))
    assert lines <= LINES or list((ROOT / room).glob("*/__init__.py")), f"{room} has {lines} lines"


def test_no_chain_of_imports_is_long() -> None:
    chain = longest_chain({name: imported(path) for name, path in named().items()})
    assert len(chain) <= LONGEST, " -> ".join(chain)


def test_a_long_chain_and_a_circle_are_seen() -> None:
    tower = {str(floor): {str(floor + 1)} for floor in range(20)} | {"20": set()}
    assert len(longest_chain(tower)) == 21
    with pytest.raises(ValueError, match="circle"):
        longest_chain({"a": {"b"}, "b": {"a"}})


@pytest.mark.parametrize(
    ("module", "source", "breach"),
    [
        ("models/nets.py", "from ..attacks import FGSM", "models imports attacks"),
        ("models/heads/lgm.py", "from ...detectors.msp import MSP", "models imports detectors"),
        ("models/heads/lgm.py", "from ... import benchmark", "models imports benchmark"),
        ("attacks/pgd.py", "from ..detectors import MSP", "attacks imports detectors"),
        ("attacks/pgd.py", "from ..benchmark.engine import judge", "attacks imports benchmark.engine"),
        (
            "attacks/pgd.py",
            "if TYPE_CHECKING:\n    from ..benchmark.engine import judge",
            "attacks imports benchmark.engine",
        ),
        ("detectors/msp.py", "from ..attacks import FGSM", "detectors imports attacks"),
        ("detectors/msp.py", "def fit():\n    from ..benchmark.data import x", "imports benchmark.data"),
        ("benchmark/engine/run.py", "from ..report.publish import publish", "imports benchmark.report"),
        ("benchmark/engine/run.py", "from ..analysis import metrics", "imports benchmark.analysis"),
        ("benchmark/data/folder.py", "from ..engine.store import Store", "imports benchmark.engine"),
        ("benchmark/api/model.py", "from ..cli.console import Bar", "imports benchmark.cli"),
        ("benchmark/analysis/checks.py", "from ..report import tables", "imports benchmark.report"),
        ("benchmark/report/figures/roc.py", "from ...cli.console import fail", "imports benchmark.cli"),
        ("benchmark/cli/main.py", "from ... import FGSM", "benchmark.cli imports FGSM"),
        ("benchmark/cli/main.py", "from ... import *", "benchmark.cli imports *"),
        ("attacks/pgd.py", "from ...models import Classifier", "leaves gmbench"),
        ("attacks/pgd.py", "from gmbench.models import Classifier", "gmbench.models by its full name"),
        ("attacks/pgd.py", "import gmbench.models as models", "gmbench.models by its full name"),
        ("attacks/pgd.py", "import gmbench", "gmbench by its full name"),
        ("attacks/pgd.py", "from models.nets import NETS", "models.nets by its full name"),
        ("attacks/pgd.py", "import models", "models by its full name"),
    ],
)
def test_breach_is_seen(module: str, source: str, breach: str) -> None:
    [found] = breaches(Path(module), source)
    assert breach in found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        (
            "attacks/pgd.py",
            "import torch\nfrom . import losses\nfrom .fgsm import FGSM\nfrom ..models import Classifier",
        ),
        (
            "benchmark/cli/main.py",
            "from ... import attacks, models\nfrom ..engine.plan import Plan\nfrom .console import fail",
        ),
        (
            "attacks/torchattacks_fgsm.py",
            "import torchattacks\nfrom torchattacks.attacks import fgsm\nimport modelscope",
        ),
    ],
)
def test_allowed_imports_pass(module: str, source: str) -> None:
    assert list(breaches(Path(module), source)) == []


def room_of(module: Path) -> str:
    """Name the room of a module, its path from the root: the first folder, inside benchmark the first two."""
    return ".".join(module.parent.parts[: 2 if module.parts[0] == "benchmark" else 1])


def breaches(module: Path, source: str) -> Iterator[str]:
    """Say which imports of ``module``, its path from the root, break a wall, wherever they stand."""
    room = room_of(module)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for level, written in _written(node):
                if level == 0 and written.split(".")[0] in {"gmbench", *PACKAGES}:
                    yield f"{module}:{node.lineno}: imports {written} by its full name"
                if level > 0 and (target := _room_named(module, level, written)) not in MAY_IMPORT[room]:
                    yield f"{module}:{node.lineno}: {room} imports {target}"


def longest_chain(graph: Mapping[str, set[str]]) -> list[str]:
    """Find the longest chain of imports in {module: what it imports}.

    Raises:
        ValueError: Modules import each other in a circle.
    """
    open_: list[str] = []

    @cache
    def below(module: str) -> tuple[str, ...]:
        if module in open_:
            raise ValueError(f"a circle of imports: {' -> '.join([*open_, module])}")
        open_.append(module)
        chain = max((below(other) for other in sorted(graph[module])), key=len, default=())
        open_.remove(module)
        return (module, *chain)

    return list(max((below(module) for module in graph), key=len))


def named() -> dict[str, Path]:
    """List our modules, {dotted name below gmbench: path from the root}."""
    return {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in MODULES}


def imported(module: Path) -> set[str]:
    """Name what a module imports of ours, wherever in its source."""
    known, found = named(), set()
    for node in ast.walk(ast.parse((ROOT / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*module.parts[: len(module.parts) - node.level], *(node.module or "").split(".")]
            package = ".".join(part for part in base if part)
            for alias in node.names:
                inner = f"{package}.{alias.name}"
                found |= {inner} if inner in known else {package} & set(known)
    return found


def _written(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[int, str]]:
    """Give level and name of everything that a statement imports; a bare ``from . import x`` imports x."""
    if isinstance(node, ast.Import):
        yield from ((0, alias.name) for alias in node.names)
    else:
        written = [alias.name for alias in node.names]
        if node.module:
            written = [f"{node.module}.{name}" for name in written] if node.level else [node.module]
        yield from ((node.level, name) for name in written)


def _room_named(module: Path, level: int, name: str) -> str:
    """Resolve a relative import to a room."""
    folders = module.parts[:-1]
    if level > len(folders) + 1:
        return f"{name}, which leaves gmbench"
    target = (*folders[: len(folders) - level + 1], *name.split("."))
    return ".".join(target[: 2 if target[0] == "benchmark" else 1])
