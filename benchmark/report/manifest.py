"""manifest.json of a results folder: what it was made of, and the checksums of its files."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...models.files import write_file
from ..engine.cell import Cell
from ..engine.entry import key_of
from .results_folder import MANIFEST

__all__ = ["cell_keys", "read_manifest", "write_manifest"]

DIGITS = 16
"""Of a key, which is a sha256: enough to tell a suite's thousand cells apart."""


def cell_keys(cells: Iterable[Cell]) -> list[str]:
    """Name cells by all that decides them but the kind of device, for which the numerics answer."""
    return sorted(key_of({**cell.description, "device": ""})[:DIGITS] for cell in cells)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a folder, empty where there is none or none of ours."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) and isinstance(manifest.get("files"), dict) else {}


def write_manifest(folder: Path, told: Mapping[str, Any]) -> None:
    """Write what a report was made of, and the checksums of the files that are there.

    Args:
        folder: Of the report.
        told: What decided it.
    """
    files = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        # git has no SVG: a clone's folder is complete without
        if path.is_file() and path.suffix != ".svg" and path.name != MANIFEST
    }
    write_file(folder / MANIFEST, (json.dumps({**told, "files": files}, indent=1) + "\n").encode())
