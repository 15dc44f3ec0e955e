"""The package as a user meets it: imported from anywhere, silent, complete in a wheel, its examples true."""

import doctest
import importlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import gmbench

ROOT = Path(__file__).parents[1]
PACKAGES = ("models", "attacks", "detectors", "benchmark")
MODULES = sorted(
    ".".join(["gmbench", *path.relative_to(ROOT).with_suffix("").parts])
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
)

IMPORT_ALL = """
import importlib, sys
for extra in sys.argv[1].split(","):
    sys.modules[extra] = None  # as if it were not installed
for module in sys.argv[2:]:
    importlib.import_module(module)
"""

EXTRAS = (
    "torchattacks",
    "foolbox",
    "adv_lib",
    "pyautoattack",
    "pytest",
    "dask",
    "distributed",
)
WORKERS = "gmbench.benchmark.engine.work.workers."
"""The room whose modules need the extra ``distributed``; nobody imports them who may lack it."""


@pytest.mark.parametrize("lacking", [EXTRAS, pytest.param(EXTRAS[:5], marks=pytest.mark.slow)])
def test_every_module_imports_anywhere_without_extras_and_in_silence(
    tmp_path: Path, lacking: tuple[str, ...]
) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text(
        "raise ImportError('a user\\'s own models/ was taken for gmbench.models')"
    )
    done = python(
        tmp_path,
        "-W",
        "error",
        "-c",
        IMPORT_ALL,
        ",".join(lacking),
        "gmbench",
        "gmbench.testing",
        *(
            name.removesuffix(".__init__")
            for name in MODULES
            if not (name.startswith(WORKERS) and "distributed" in lacking)
        ),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings_are_true(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module.removesuffix(".__init__"))).failed == 0


def test_wheel_holds_every_module_and_data_file(tmp_path: Path) -> None:
    source, ignored = tmp_path / "source", shutil.ignore_patterns("__pycache__")
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "__init__.py", "testing.py"):
        shutil.copy(ROOT / name, source)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=ignored, copy_function=_copy)
    built = python(
        source,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--wheel-dir",
        str(tmp_path),
        ".",
    )
    assert built.returncode == 0, built.stderr
    [wheel] = tmp_path.glob("*.whl")
    expected = {
        f"gmbench/{path.relative_to(ROOT).as_posix()}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix in {".py", ".toml", ".json", ".safetensors"}
    }
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == expected | {"gmbench/__init__.py", "gmbench/testing.py"}


def test_import_waits_for_nothing_that_torch_does_not_bring(tmp_path: Path) -> None:
    script = "import gmbench, sys; print([name for name in sys.argv[1:] if name in sys.modules])"
    heavy = ("sklearn", "scipy", "pandas", "pyarrow", "matplotlib", "rich", "typer")
    done = python(tmp_path, "-c", script, *heavy)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_every_public_name_is_there() -> None:
    assert [name for name in gmbench.__all__ if getattr(gmbench, name, None) is None] == []
    assert sorted(set(gmbench.__all__)) == sorted(gmbench.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'atack'"):
        gmbench.atack  # noqa: B018


def test_constraints_pin_every_named_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    pinned = {_canonical(name) for name in pins}
    named = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    assert {_canonical(name) for name in named} <= pinned


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def _copy(source: str, target: str) -> None:
    """Copy a file, but of weights the name alone: forty megabytes take seconds to pack."""
    if source.endswith(".safetensors"):
        Path(target).touch()
    else:
        shutil.copy2(source, target)


def _canonical(requirement: str) -> str:
    """Reduce ``Pre_commit>=4`` and ``pre-commit<5`` to ``pre-commit``."""
    name = re.split("[=<>]", requirement)[0]
    return name.lower().replace("_", "-")
