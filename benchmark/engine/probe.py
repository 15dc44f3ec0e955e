"""Outputs on a few images, kept beside the cells: do the same files still compute the same?

A fingerprint is of files and tensors. What a defense reads while it is built, what code of ours or of an
installed package has changed since, shows in its outputs alone. Floats differ from machine to machine, so
they are compared with a tolerance and are no part of a hash: outputs that agree with none that are kept under
the fingerprint begin a generation of their own, whose cells are made anew.
"""

import hashlib
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np
import pandas as pd

from ..data.image_set import ImageSet
from .cell import NUMERICS
from .defense import Entrant, is_random
from .entry import Entry
from .passes import outputs_of
from .store import Store

__all__ = ["IMAGES", "Probed", "of_generation", "probe"]

IMAGES = 8
"""The first so many test images."""

TOLERANCE = 1e-3
"""Of the largest logit or feature: far above what machines differ by, far below what moves a decision."""


@dataclass(frozen=True, eq=False)
class Probed:
    """An entrant after its outputs were compared.

    Args:
        entrant: Its fingerprint is that of the files and of the generation.
        outputs: To be stored; None where they are.
        changed: Under these files other outputs are stored, so that it has no cells yet.
    """

    entrant: Entrant
    outputs: Entry | None
    changed: bool


def probe(entrant: Entrant, test: ImageSet, store: Store, device: str) -> Probed:
    """Compare an entrant's outputs with those that are stored under its fingerprint.

    Args:
        entrant: On ``device``.
        test: The test split.
        store: Read, not written to.
        device: Where to compute.
    """
    few = test.head(min(IMAGES, len(test)))
    if is_random(entrant.classifier, few.images().to(device)):
        return Probed(entrant, None, changed=False)  # outputs that never agree say nothing of what changed
    outputs = outputs_of(entrant.classifier, few.images(), device)
    table = pd.DataFrame({"id": few.ids.numpy()}).join(
        [
            pd.DataFrame(values.float().cpu().numpy()).add_prefix(name)
            for name, values in (("logit_", outputs.logits), ("feature_", outputs.features))
        ]
    )
    for generation in count():
        description: dict[str, Any] = {
            "probe": entrant.fingerprint,
            "data_checksum": few.checksum,
            "device": device.split(":", maxsplit=1)[0],
            "generation": generation,
            "numerics": NUMERICS,
        }
        kept = store.read(description)
        if kept is None or agree(kept.table, table):
            break
    new = Entry(description, table) if kept is None else None
    fingerprint = of_generation(entrant.fingerprint, generation)
    return Probed(replace(entrant, fingerprint=fingerprint), new, kept is None and generation > 0)


def of_generation(fingerprint: str, generation: int) -> str:
    """Give the fingerprint under which the cells of a generation are kept; of the first, it is the files'."""
    return hashlib.sha256(f"{fingerprint} {generation}".encode()).hexdigest() if generation else fingerprint


def agree(kept: pd.DataFrame, found: pd.DataFrame) -> bool:
    """Tell whether two tables of outputs are equal but for what machines differ by."""
    if list(kept.columns) != list(found.columns) or not kept["id"].equals(found["id"]):
        return False
    for kind in ("logit_", "feature_"):
        columns = [name for name in kept.columns if name.startswith(kind)]
        before, now = kept[columns].to_numpy(np.float64), found[columns].to_numpy(np.float64)
        scale = np.abs(before[np.isfinite(before)]).max(initial=0.0)
        if not np.allclose(before, now, rtol=TOLERANCE, atol=TOLERANCE * scale, equal_nan=True):
            return False
    return True
