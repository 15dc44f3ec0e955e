"""Which code computes: results of another version are another's results."""

import hashlib
import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import torch

__all__ = ["differences", "versions"]

ROOT = Path(__file__).parents[4]
PACKAGES = ("attacks", "benchmark", "detectors", "models")


@cache
def versions() -> Mapping[str, str]:
    """Tell the versions that decide what is computed here; gmbench's is a hash of its files."""
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    code = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:8]
    return {"gmbench": code, "torch": torch.__version__, "python": platform.python_version()}


def differences(ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """Say what another process has that this one has not; "" where they agree."""
    return ", ".join(
        f"{name} {theirs.get(name, 'none')} instead of {ours[name]}"
        for name in ours
        if theirs.get(name) != ours[name]
    )
