"""A cell: one attack on one model under one threat model, over one set of images.

A pure function of its description.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ...attacks.core.attack import ATTACKS, Attack, check_climbable
from ...attacks.core.examples import Examples
from ...attacks.core.known import KnownDetector
from ...attacks.core.randomness import SampleRandom
from ...attacks.core.threat import ThreatModel
from ...attacks.core.victim import Victim
from ...detectors.detector import OWN
from ...models.classifier import Classifier
from ...models.plugins import code_of
from ..data.image_set import ImageSet
from .entrant import Entrant, fresh
from .entry import Entry
from .guest.client import GuestDetector
from .judge import Cheat, check_logits, judge, predictions
from .machine import describe_machine
from .passes import outputs_of

__all__ = ["NUMERICS", "Cell", "propose", "run_cell"]

NUMERICS = 2
"""Raise it when a change of the code changes what an attack or the judge computes.

Every stored cell is then made again.
"""

_COSTS = ("forwards", "backwards", "zeros")


@dataclass(frozen=True)
class Cell:
    """What is computed; the store keeps it under the hash of `description`.

    Args:
        model: Name of the entrant under attack, for people; its fingerprint is what counts.
        fingerprint: Of that entrant.
        data: Name of the data set.
        data_checksum: Of the images, cut to the first ``samples``.
        split: "test" or "validation".
        samples: How many images.
        label: The attack's name in the suite, for people; "clean" for none.
        attack: Name in the registry, or None for the unattacked images.
        options: The attack's fields.
        threat: What it may do; None for the unattacked images.
        surrogate: Fingerprint of the model whose gradients a transfer attack uses, or None.
        known: Of the detector that the threat model names, its description; None where it names none.
        seed: Of the attack's random numbers.
        batch: Images per pass; part of the description because a kernel's rounding may depend on it.
        device: "cpu" or "cuda", for the same reason.
        precision: One of `PRECISIONS`: what the attack's gradients are computed in. Float32 stands in no
            description, so that cells which were made before there was a choice stay good.
        draws: Passes that each answer of the model is the mean of, see `Victim`; 1 stands in no description.
        examples: Checksum of the images that the attacker has of its own; None, in no description, for none.
    """

    model: str
    fingerprint: str
    data: str
    data_checksum: str
    split: str
    samples: int
    label: str
    attack: str | None
    options: Mapping[str, Any]
    threat: ThreatModel | None
    surrogate: str | None
    known: Mapping[str, Any] | None
    seed: int
    batch: int
    device: str
    precision: str = "float32"
    draws: int = 1
    examples: str | None = None

    @cached_property
    def description(self) -> dict[str, Any]:
        """All that decides the result, as plain values."""
        plain = {
            item.name: getattr(self, item.name)
            for item in fields(self)
            if item.name not in ("model", "label", "threat", "options", "precision", "draws", "examples")
        }
        if self.precision != "float32":
            plain["precision"] = self.precision
        if self.draws != 1:
            plain["draws"] = self.draws
        if self.examples is not None:
            plain["examples"] = self.examples
        options = plain_fields(ATTACKS.build(self.attack, **self.options)) if self.attack else {}
        for name, value in options.items():
            if callable(value):
                raise TypeError(
                    f"expected {name} of attack '{self.attack}' to be a name in a suite, got a function: the "
                    "store could not tell it from another; gmbench.attack takes it"
                )
        code = code_of(ATTACKS[self.attack]) if self.attack else None
        return {
            **plain,
            # a plug-in's attack is another one after an edit; ours are told by NUMERICS
            **({"code": code} if code else {}),
            "options": options,
            "threat": plain_fields(self.threat) if self.threat else None,
            "numerics": NUMERICS,
        }

    @property
    def title(self) -> str:
        """What is done to the model, for people."""
        return f"{self.label} ({self.threat or self.split})"

    def __str__(self) -> str:
        return f"{self.model} / {self.title}"


def run_cell(
    cell: Cell,
    entrant: Entrant,
    surrogate: Entrant | None,
    images: ImageSet,
    *,
    rows: tuple[int, int] | None = None,
    known: KnownDetector | None = None,
    proposed: Entry | None = None,
    device: str = "cpu",
    report: Callable[[int], None] = lambda _: None,
    at_pass: Callable[[], None] = lambda: None,
    validation: ImageSet | None = None,
) -> Entry:
    """Compute a cell, or a part of it.

    Args:
        cell: What to compute.
        entrant: The model under attack, on ``device``; of a guest, one answers the attack and another, who
            knows nothing of it, the judge.
        surrogate: The model whose gradients a transfer attack uses, likewise.
        images: At least ``cell.samples`` images of ``cell.split``.
        rows: The first image and the one behind the last, the first a multiple of the cell's batch; None for
            all images.
        known: The detector that the cell's threat model names, fitted.
        proposed: What this very attack proposed for the whole cell before, if it did; only judged, then.
        device: Where to compute.
        report: Told each number of images that are finished.
        at_pass: Called before each batch and each pass of the attack; may raise to end it.
        validation: What an attacker has of its own where the cell says so: the clean validation images.

    Raises:
        Cheat: The attack broke its threat model, or changed the model or the images.
        BrokenLogits: The model's logits name no class.
    """
    start = time.monotonic()
    tables, proposals, dropped = [], [], 0
    asked = cell.attack is not None and proposed is None
    own = None
    if cell.examples is not None and validation is not None:
        own = Examples(validation.images().to(device), validation.y.to(device))
    with fresh(entrant) if asked else nullcontext(entrant) as attacked, fresh(entrant) as judged:
        known = _known_to(known, attacked)
        for batch in _batches(cell, rows):
            at_pass()
            x, y, ids = images.images(batch).to(device), images.y[batch].to(device), images.ids[batch]
            if cell.attack is None or cell.threat is None:
                table = _clean(judged.classifier, x, y)
            else:
                if proposed is not None:
                    x_adv, costs = _again(proposed, batch, device)
                else:
                    attack = ATTACKS.build(cell.attack, **cell.options)
                    random = SampleRandom.of(f"{cell.attack} {cell.seed}", ids.to(device))
                    target = (
                        surrogate.classifier
                        if surrogate is not None and cell.threat.uses_surrogate
                        else attacked.classifier
                    )
                    how: dict[str, Any] = {
                        "draws": cell.draws,
                        "precision": cell.precision,
                        "at_pass": at_pass,
                        "examples": own,
                    }
                    x_adv, costs = propose(attack, target, x, y, cell.threat, random, known, **how)
                    dropped += int(costs.pop("dropped").sum())
                table = judge(judged.classifier, x, x_adv, y, cell.threat).assign(**costs)
                proposals.append(x_adv.cpu())
            tables.append(table.assign(id=ids.numpy()))
            report(len(x))
    facts = {
        "seconds": round(time.monotonic() - start, 3),
        "machine": describe_machine(device),
        "model": cell.model,
        "label": cell.label,
        "dropped": dropped,  # targets that the attack gave up early, over all images
    }
    return Entry(
        cell.description,
        _typed(pd.concat(tables, ignore_index=True)),
        torch.cat(proposals) if proposals else None,
        facts,
    )


def _batches(cell: Cell, rows: tuple[int, int] | None) -> Iterator[slice]:
    first, end = rows or (0, cell.samples)
    for start in range(first, end, cell.batch):
        yield slice(start, min(start + cell.batch, end))


def _known_to(known: KnownDetector | None, entrant: Entrant) -> KnownDetector | None:
    """Have a guest's own detector answered by the guest that is attacked."""
    detector = entrant.detector
    if known is None or known.name != OWN or not isinstance(detector, GuestDetector):
        return known
    return replace(known, score=detector.score)


def propose(
    attack: Attack,
    target: Classifier,
    x: Tensor,
    y: Tensor,
    threat: ThreatModel,
    random: SampleRandom,
    known: KnownDetector | None = None,
    *,
    draws: int = 1,
    precision: str = "float32",
    at_pass: Callable[[], None] = lambda: None,
    examples: Examples | None = None,
) -> tuple[Tensor, dict[str, Any]]:
    """Let the attack propose; it gets copies, and must leave the model as it was.

    Args:
        attack: Which.
        target: The model that it may ask.
        x: Clean images, (B, *S).
        y: Their classes, (B,).
        threat: What it may do.
        random: Streams of the images.
        known: The detector that the threat model names, fitted.
        draws: Passes that each of the model's answers is the mean of.
        precision: One of `PRECISIONS`, of the gradients.
        at_pass: See `Victim`.
        examples: See `Victim`.

    Returns:
        Images (B, *S), and what each cost: forward and backward passes, gradients of 0, targets dropped.

    Raises:
        Cheat: The attack changed the model.
        ValueError: The attack needs gradients that the detector's score does not have.
    """
    if known is not None:
        check_climbable(attack, type(attack).__name__, known.name, known.differentiable)
    # of the surrogate, everything is known
    access = "white-box" if threat.uses_surrogate else threat.access
    before = _versions(target)
    how: dict[str, Any] = {
        "draws": draws,
        "precision": precision,
        "at_pass": at_pass,
        "examples": examples,
    }
    with Victim(target, len(x), access, known, **how) as victim:
        x_adv = attack(victim, x.clone(), y.clone(), threat, random=random)
    if _versions(target) != before:
        raise Cheat(
            f"expected the attack to leave the model's weights alone, but {type(attack).__name__} changed "
            "them"
        )
    return x_adv, {name: getattr(victim, name).numpy() for name in (*_COSTS, "dropped")}


def _again(proposed: Entry, rows: slice, device: str) -> tuple[Tensor, dict[str, Any]]:
    """Give what was proposed, and what it had cost."""
    if proposed.images is None:
        raise ValueError("expected an attack to have proposed images, got none")
    return proposed.images[rows].to(device), {name: proposed.table[name].to_numpy()[rows] for name in _COSTS}


def _clean(classifier: Classifier, x: Tensor, y: Tensor) -> pd.DataFrame:
    outputs = outputs_of(classifier, x, x.device)
    check_logits(outputs, "clean images")
    found = predictions(outputs, y)
    nothing = np.zeros(len(x), bool)
    return pd.DataFrame(
        {
            **found,
            "clean_predicted": found["predicted"],
            "success": nothing,
            "success_8bit": nothing,
            "size": np.zeros(len(x), np.float32),
        }
    ).assign(forwards=0, backwards=0, zeros=0)


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Small, fixed types: the same bytes whichever library version would choose others."""
    small = dict.fromkeys(
        ("label", "predicted", "clean_predicted", "forwards", "backwards", "zeros"), "int32"
    )
    return table.astype(
        {
            **small,
            "id": "int64",
            "margin": "float32",
            "size": "float32",
            "success": "bool",
            "success_8bit": "bool",
        }
    )


def _versions(model: nn.Module) -> list[int]:
    """Torch counts the in-place changes of each tensor."""
    return [tensor._version for tensor in (*model.parameters(), *model.buffers())]


def plain_fields(thing: object) -> dict[str, Any]:
    """Give a dataclass's constructor fields as plain values."""
    if not is_dataclass(thing):
        raise TypeError(f"expected a dataclass, got {type(thing).__name__}")
    return {item.name: getattr(thing, item.name) for item in fields(thing) if item.init}
