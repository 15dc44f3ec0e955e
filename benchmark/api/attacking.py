"""An attack on a model, from a notebook: proposed by the attack, judged by the suite's judge."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from ...attacks import ATTACKS, Attack, SampleRandom, ThreatModel
from ...attacks.core.attack import check_served
from ...attacks.core.examples import Examples
from ...attacks.core.known import KnownDetector
from ...detectors import Detector
from ...models.classifier import Classifier, Outputs
from ...models.ensemble import Ensemble
from ...models.precision import computed_in
from ..engine.cell import propose
from ..engine.defense import Entrant, fresh
from ..engine.judge import judge
from ..engine.passes import outputs_of
from ..engine.plan import pick_device
from ..engine.scoring import known_as
from .fitting import fitted, split_of
from .model import Images, Model, as_images, as_model
from .progress import Bar
from .shown import table_of

__all__ = ["AttackRun", "attack"]


@dataclass(frozen=True, eq=False)
class AttackRun:
    """What an attack did to a model.

    Args:
        model: Who was attacked.
        attack: With all its settings.
        threat: What it was allowed.
        x: The clean images, (N, *S).
        y: Their classes, (N,).
        x_adv: What it proposed, (N, *S), in the ball and in [0, 1].
        table: One row an image: ``y``, ``clean_predicted``, ``predicted``, ``margin`` (largest wrong logit
            minus the true one), ``success``, ``success_8bit``, ``size`` of the perturbation, and the passes
            that it cost.
        precision: What its gradients were computed in.
    """

    model: Model
    attack: Attack
    threat: ThreatModel
    x: Tensor = field(repr=False)
    y: Tensor = field(repr=False)
    x_adv: Tensor = field(repr=False)
    table: pd.DataFrame = field(repr=False)
    precision: str = "float32"

    @property
    def success(self) -> Tensor:
        """Whether each image was right and is wrong now, (N,)."""
        return torch.tensor(self.table["success"].to_numpy(bool))

    @property
    def success_rate(self) -> float:
        """The share of successes among the images that were right; NaN where none was."""
        right = self._right()
        return float(self.table["success"][right].mean()) if right.any() else float("nan")

    @property
    def clean_accuracy(self) -> float:
        """The share of images that are right before the attack."""
        return float(self._right().mean())

    @property
    def robust_accuracy(self) -> float:
        """The share of images that are right before and after."""
        return float((self._right() & ~self.table["success"]).mean())

    def _right(self) -> "pd.Series[bool]":
        return self.table["clean_predicted"] == self.table["y"]

    def _repr_html_(self) -> str:
        undone = int((self.table["success"] & ~self.table["success_8bit"]).sum())
        return table_of(
            {
                "model": self.model.name,
                "attack": self.attack,
                "threat model": self.threat,
                "images": len(self.x),
                "clean accuracy": f"{self.clean_accuracy:.1%}",
                "robust accuracy": f"{self.robust_accuracy:.1%}",
                "successes": f"{int(self.success.sum())}, of which rounding to 8 bits undoes {undone}",
            }
        )


def attack(
    model: object,
    x: Images,
    y: Images,
    attack: Attack | str,
    *,
    eps: float,
    norm: str = "Linf",
    access: str | None = None,
    detector: Detector | str | None = None,
    surrogate: object | None = None,
    options: Mapping[str, Any] | None = None,
    ids: Images | None = None,
    seed: int = 0,
    batch: int = 250,
    device: str = "auto",
    precision: str = "float32",
    draws: int = 1,
    train: tuple[Images, Images] | None = None,
    validation: tuple[Images, Images] | None = None,
    root: Path | None = None,
    progress: bool = True,
) -> AttackRun:
    """Attack a model and judge what comes out.

    An image's result does not depend on the others, or on the batch: its random numbers are its own.

    Args:
        model: A `Model`, a name, a `Defense`, a `Classifier`, or a module that gives logits for images in
            [0, 1].
        x: Images in [0, 1], (N, C, H, W), a tensor or an array.
        y: Their true classes, (N,).
        attack: Such as ``gm.PGD(steps=40)``, or a name of ``gmbench list``. A ``loss`` of your own is a
            function of logits (B, K) and classes (B,) that gives one value per image, to be raised.
        eps: Largest norm of the perturbation, in input units; ``inf`` where the attack looks for the
            smallest.
        norm: "Linf", "L2".
        access: "white-box", "transfer", "query" or "decision"; None for the weakest that the attack needs.
        detector: The one that the attacker knows, as of `detect`; None where it knows the classifier alone.
        surrogate: The model whose gradients a transfer attack uses; of a list of them, their `Ensemble`'s.
        options: The attack's fields, where it is given by name.
        ids: Of the images, (N,); each has the random numbers of its id. None for 0, 1, ...
        seed: Of the random numbers.
        batch: Images in a pass.
        device: "auto", "cpu" or "cuda".
        precision: What gradients are computed in: "float32", or "bf16" where the device has it natively (else
            float32 again). The judge's passes are float32's.
        draws: Passes that each answer of the model to the attack is the mean of; more than 1 for a model that
            draws random numbers.
        train: Clean images and classes that the detector learns from; None for the training split of the
            model's data.
        validation: Those that set its threshold, likewise; and those that an attacker has of its own, where
            the attack begins at some.
        root: Folder of the data sets.
        progress: Whether to draw a bar.

    Raises:
        Cheat: The attack broke its threat model.
        ValueError: A setting is out of range, or the images and classes do not fit the model.
    """
    victim, place = as_model(model), pick_device(device)
    arithmetic = computed_in(precision, place)
    built, name = _built(attack, options)
    threat = ThreatModel(norm, eps, access or built.access, _name_of(detector))
    check_served(built, name, threat)
    if threat.uses_surrogate != (surrogate is not None):
        raise ValueError(
            f"expected a surrogate with access 'transfer' and with no other, got access '{threat.access}' "
            f"and {'no surrogate' if surrogate is None else 'a surrogate'}"
        )
    images, labels = as_images(x, y)
    numbers = torch.arange(len(images)) if ids is None else torch.as_tensor(ids)
    if numbers.shape != labels.shape:
        raise ValueError(f"expected one id for each of {len(labels)} images, got {tuple(numbers.shape)}")
    victim.classifier.to(place)
    _check_classes(victim.name, outputs_of(victim.classifier, images[:1], place), labels)
    other = None if surrogate is None else _asked(surrogate).to(place)
    proposals, tables = [], []
    with fresh(victim.entrant) as attacked, fresh(victim.entrant) as judged, Bar(show=progress) as bar:
        target = attacked.classifier if other is None else other
        known = None if detector is None else _known(detector, victim, attacked, train, validation, root)
        examples = None
        if built.needs_examples:
            examples = Examples(
                *(part.to(place) for part in split_of(victim, "validation", validation, root))
            )
        bar.begin(len(images))
        bar.doing(f"{victim.name} / {name}")
        for part in torch.arange(len(images)).split(batch):
            clean, true = images[part].to(place), labels[part].to(place)
            random = SampleRandom.of(f"{name} {seed}", numbers[part].to(place))
            how: dict[str, Any] = {"draws": draws, "precision": arithmetic, "examples": examples}
            x_adv, costs = propose(built, target, clean, true, threat, random, known, **how)
            tables.append(judge(judged.classifier, clean, x_adv, true, threat).assign(**costs))
            proposals.append(x_adv.cpu())
            bar.advance(len(part))
    table = pd.concat(tables, ignore_index=True).rename(columns={"label": "y"})
    table.insert(0, "id", numbers.numpy())
    return AttackRun(victim, built, threat, images, labels, torch.cat(proposals), table, arithmetic)


def _asked(surrogate: object) -> Classifier:
    """Give the classifier whose gradients are used."""
    if not isinstance(surrogate, list | tuple):
        return as_model(surrogate).classifier
    members = [as_model(one).classifier for one in surrogate]
    return members[0] if len(members) == 1 else Ensemble(members).eval()


def _check_classes(name: str, outputs: Outputs, y: Tensor) -> None:
    classes = outputs.logits.shape[1]
    if not (int(y.min()) >= 0 and int(y.max()) < classes):
        raise ValueError(
            f"expected y to be classes 0 to {classes - 1} of '{name}', got {int(y.min())} to {int(y.max())}; "
            "are they numbered from 1, or of other data?"
        )


def _name_of(detector: Detector | str | None) -> str:
    if detector is None or isinstance(detector, str):
        return detector or ""
    return type(detector).__name__


def _known(
    detector: Detector | str,
    model: Model,
    entrant: Entrant,
    train: tuple[Images, Images] | None,
    validation: tuple[Images, Images] | None,
    root: Path | None,
) -> KnownDetector:
    """Fit the detector that an attacker knows, and set its threshold."""
    found = fitted(detector, model, entrant, train, root)
    images, classes = split_of(model, "validation", validation, root)
    return known_as(_name_of(detector), found.detector, found.layers, [found.outputs(images)], classes)


def _built(attack: Attack | str, options: Mapping[str, Any] | None) -> tuple[Attack, str]:
    """Give the attack and its name in the registry, or its class's where it has none."""
    if isinstance(attack, str):
        return ATTACKS.build(attack, **(options or {})), attack
    if not isinstance(attack, Attack):
        raise TypeError(
            f"expected an attack, such as gm.PGD(steps=40), or a name, got {type(attack).__name__}"
        )
    if options:
        raise ValueError("expected options with an attack's name alone, got them beside an attack")
    names = [name for name in ATTACKS if ATTACKS[name] is type(attack)]
    return attack, names[0] if names else type(attack).__name__
