"""The walls between the packages, checked over the source.

Models <- attacks, models <- detectors, all <- benchmark.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "models": {"models"},
    "attacks": {"attacks", "models"},
    "detectors": {"detectors", "models"},
    "benchmark": {"attacks", "benchmark", "detectors", "models"},
}
MODULES = sorted(path.relative_to(ROOT) for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_module_keeps_to_its_layer(module: Path) -> None:
    assert list(breaches(module, (ROOT / module).read_text(encoding="utf-8"))) == []


def test_every_package_is_checked() -> None:
    assert {module.parts[0] for module in MODULES} == set(MAY_IMPORT)


@pytest.mark.parametrize(
    ("module", "source", "breach"),
    [
        ("models/lgm.py", "from ..attacks import FGSM", "models imports attacks"),
        ("models/lgm.py", "from ..detectors.msp import MSP", "models imports detectors"),
        ("models/lgm.py", "from .. import benchmark", "models imports benchmark"),
        ("attacks/pgd.py", "from ..detectors import MSP", "attacks imports detectors"),
        ("attacks/pgd.py", "from ..benchmark import judge", "attacks imports benchmark"),
        (
            "attacks/pgd.py",
            "if TYPE_CHECKING:\n    from ..benchmark import judge",
            "attacks imports benchmark",
        ),
        ("detectors/msp.py", "from ..attacks import FGSM", "detectors imports attacks"),
        ("detectors/msp.py", "def fit():\n    from ..benchmark import judge", "detectors imports benchmark"),
        ("benchmark/cli.py", "from .. import FGSM", "benchmark imports FGSM"),
        ("benchmark/cli.py", "from .. import *", "benchmark imports *"),
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
        ("benchmark/cli.py", "from .. import attacks, detectors, models\nfrom ..detectors.msp import MSP"),
        (
            "attacks/torchattacks_fgsm.py",
            "import torchattacks\nfrom torchattacks.attacks import fgsm\nimport modelscope",
        ),
    ],
)
def test_allowed_imports_pass(module: str, source: str) -> None:
    assert list(breaches(Path(module), source)) == []


def breaches(module: Path, source: str) -> Iterator[str]:
    """Say which imports of ``module`` (its path from the root) break a wall.

    Wherever in the source they stand.
    """
    package = module.parts[0]
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        level = node.level if isinstance(node, ast.ImportFrom) else 0
        written = (
            [node.module]
            if isinstance(node, ast.ImportFrom) and node.module
            else [alias.name for alias in node.names]
        )
        for name in written:
            if level == 0 and name.split(".")[0] in {"gmbench", *MAY_IMPORT}:
                yield f"{module}:{node.lineno}: imports {name} by its full name"
            if level > 0 and (target := _target(module, level, name)) not in MAY_IMPORT[package]:
                yield f"{module}:{node.lineno}: {package} imports {target}"


def _target(module: Path, level: int, name: str) -> str:
    """Resolve a relative import to the first word below the root."""
    folders = module.parts[:-1]
    if level > len(folders) + 1:
        return f"{name}, which leaves gmbench"
    return (*folders[: len(folders) - level + 1], *name.split("."))[0]
