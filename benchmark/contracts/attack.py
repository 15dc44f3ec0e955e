"""What every attack keeps to, on small models whose exact answers are known."""

import copy
import dataclasses
import json
import random as python_random
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...attacks import AccessError, Attack, SampleRandom, ThreatModel, Victim
from ...attacks.core.examples import Examples
from ...attacks.core.grid import LEVELS
from ...attacks.core.known import KnownDetector
from ...attacks.core.norms import NORMS
from ...attacks.core.threat import ACCESS, grants
from ...detectors.msp import MSP
from ...models.classifier import Classifier
from .hold import hold, refused, works
from .problems import build_conv, build_linear, changed

__all__ = [
    "DISTANCE",
    "EPS",
    "asks_nothing",
    "check_access",
    "check_attack",
    "check_batch",
    "check_costs",
    "check_extremes",
    "check_fields",
    "check_inside",
    "check_left_alone",
    "check_linear",
    "check_repeats",
    "check_result",
    "check_shift",
    "check_values",
    "propose",
]

EPS = {"Linf": 0.4, "L2": 2.5}
"""At which every attack fools the convolutional model."""

DISTANCE = {"Linf": 0.04, "L2": 0.2}
"""From the linear model's images to its boundary."""

KNOWN = KnownDetector("msp", MSP().score, threshold=0.0)
"""What attacks that read a detector's score know here: one that no constant added to all logits moves."""


def check_attack(attack: Attack, *, reach: float = 1.25) -> None:
    """Hold an attack to all that a suite relies on, in every norm that it names.

    It stays in its ball and in [0, 1], fools a linear model within ``reach`` times the minimal perturbation
    and never inside it, moves pixels at 0 and 1, gives each image the same whatever the batch or a constant
    added to all logits, costs what it promises, asks for no more than its access, and leaves images, model
    and global random numbers alone. The strength of one that never looks at the model is not tried.

    Args:
        attack: With settings that make it strong enough, and fast: it runs some thirty times on small models.
        reach: How many times the minimal perturbation it may need on a linear model.

    Raises:
        AssertionError: It breaks one; one line that says which.
    """
    check_fields(attack)
    check_values(attack)
    for norm in attack.norms:
        check_result(attack, norm, 1, torch.float64)
        check_result(attack, norm, 3, torch.float32)
        check_repeats(attack, norm)
        check_costs(attack, norm)
        check_access(attack, norm)
        for fails in (False, True):
            check_left_alone(attack, norm, fails=fails)
        check_inside(attack, norm)
        if type(attack).batch_independent:
            check_batch(attack, norm)
        if not asks_nothing(attack, norm):
            check_linear(attack, norm, 1, (1, 6, 6), reach=reach)
            check_linear(attack, norm, 5, (3, 6, 6), reach=reach)
            check_extremes(attack, norm, 1)
            check_shift(attack, norm)


def propose(
    attack: Attack,
    norm: str,
    classifier: Classifier,
    x: Tensor,
    y: Tensor,
    eps: float | None = None,
    ids: Tensor | None = None,
) -> Tensor:
    """Let an attack propose, at `EPS` where no eps is given, (B, *S), (B,) -> (B, *S)."""
    threat = _threat(attack, norm, EPS[norm] if eps is None else eps)
    random = SampleRandom.of("contract", torch.arange(len(x)) if ids is None else ids)
    with (
        works(f"{attack!r} in {norm} on images of shape {tuple(x.shape)}"),
        _victim(attack, classifier, x, attack.access) as victim,
    ):
        return attack(victim, x, y, threat, random=random)


def asks_nothing(attack: Attack, norm: str) -> bool:
    """Tell whether it never looks at the model, so that the model decides nothing."""
    classifier, x, y = _conv(attack, 2)
    with _victim(attack, classifier, x, attack.access) as victim:
        attack(victim, x, y, _threat(attack, norm, EPS[norm]), random=_numbers(2))
    return not victim.forwards.any() and not victim.backwards.any()


def check_linear(
    attack: Attack, norm: str, batch: int, shape: tuple[int, ...], margin: float = 10.0, reach: float = 1.25
) -> None:
    """It fools a linear model within ``reach`` times the minimal perturbation, on images of this shape."""
    classifier, x, y = _linear(attack, batch, shape, norm, DISTANCE[norm], margin)
    eps = reach * DISTANCE[norm]
    x_adv = propose(attack, norm, classifier, x, y, eps)
    kept = int((classifier(x_adv).argmax(1) == y).sum())
    hold(kept == 0, f"{attack!r} left {kept} of {batch} images at {reach} x the minimal {norm} perturbation")
    size = float(NORMS[norm].size(x_adv - x).max())
    hold(size <= eps * (1 + 1e-9), f"{attack!r} left its {norm} ball of {eps}: a perturbation of {size}")


def check_inside(attack: Attack, norm: str) -> None:
    """It fools no linear model inside the minimal perturbation: nothing can."""
    classifier, x, y = _linear(attack, 4, (1, 6, 6), norm, DISTANCE[norm])
    # images on the grid lie up to half a level nearer to the boundary
    share = 0.9 if attack.reads_score else 0.99
    x_adv = propose(attack, norm, classifier, x, y, share * DISTANCE[norm])
    hold(
        (classifier(x_adv).argmax(1) == y).all(),
        f"{attack!r} fooled a linear model inside the minimal {norm} perturbation: it left its ball",
    )


def check_extremes(attack: Attack, norm: str, channels: int) -> None:
    """Pixels at exactly 0 and 1 move."""
    classifier, x, y = _conv(attack, 4, channels, margin=10, binary=True)
    x_adv = propose(attack, norm, classifier, x, y)
    moved = (x_adv - x).abs() > 1e-3
    kept = int((classifier(x_adv).argmax(1) == y).sum())
    hold(kept == 0, f"{attack!r} left {kept} of 4 images whose pixels are all 0 or 1, {norm} {EPS[norm]}")
    for value in (0, 1):
        hold((moved & (x == value)).any(), f"{attack!r} moved no pixel at exactly {value}")


def check_shift(attack: Attack, norm: str) -> None:
    """A constant added to all logits changes nothing."""
    classifier, x, y = _conv(attack, 5)
    x_adv = propose(attack, norm, classifier, x, y)
    hold((x_adv != x).flatten(1).any(1).all(), f"{attack!r} left an image in {norm} as it was")
    for shift in (1000.0, -1000.0, -20_000.0):
        other = propose(attack, norm, changed(classifier, shift=shift), x, y)
        apart = float((other - x_adv).abs().max())
        hold(apart <= 1e-6, f"{attack!r} differs by {apart:g} in {norm} where all logits are {shift:+g}")


def check_batch(attack: Attack, norm: str) -> None:
    """An image's result is the same in any batch: alone, with others, under its own random numbers."""
    classifier, x, y = _conv(attack, 4)
    ids = torch.tensor([5, 2, 77, 0])
    whole = propose(attack, norm, classifier, x, y, ids=ids)
    for size in (1, 2):
        parts = [
            propose(attack, norm, classifier, x[rows], y[rows], ids=ids[rows])
            for rows in torch.arange(4).split(size)
        ]
        apart = float((torch.cat(parts) - whole).abs().max())
        hold(apart <= 1e-6, f"{attack!r} differs by {apart:g} in {norm} between batches of 4 and of {size}")


def check_repeats(attack: Attack, norm: str) -> None:
    """A second run gives the same bytes, whatever the global random numbers."""
    classifier, x, y = _conv(attack, 5)
    first = propose(attack, norm, classifier, x, y)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(99)
        again = propose(attack, norm, classifier, x, y)
    hold(torch.equal(first, again), f"{attack!r} gave other images in {norm} when it ran again")


def check_result(attack: Attack, norm: str, channels: int, dtype: torch.dtype) -> None:
    """What it proposes lies in the ball and the box, has the images' type, and leaves the images alone."""
    classifier, x, y = _conv(attack, 5, channels)
    classifier, x = classifier.to(dtype), x.to(dtype)
    given = x.clone()
    x_adv = propose(attack, norm, classifier, x, y)
    hold(torch.equal(x, given), f"{attack!r} changed the images that it was given")
    got, wanted = (x_adv.shape, x_adv.dtype, x_adv.requires_grad), (x.shape, dtype, False)
    hold(got == wanted, f"expected {attack!r} to give {wanted} (shape, type, graph), got {got}")
    size = float(NORMS[norm].size(x_adv - x).max())
    hold(size <= EPS[norm] + 1e-6, f"{attack!r} left its {norm} ball of {EPS[norm]}: {size}")
    low, high = float(x_adv.min()), float(x_adv.max())
    hold(low >= 0 and high <= 1, f"{attack!r} left [0, 1] in {norm}: [{low}, {high}]")


def check_left_alone(attack: Attack, norm: str, *, fails: bool) -> None:
    """It leaves model and random numbers as they were, also where the model fails in the middle."""
    classifier, x, y = _conv(attack, 4)
    classifier = changed(classifier)
    head: Any = classifier.head
    propose(attack, norm, classifier, x, y)
    classifier.train().requires_grad_()
    classifier.get_submodule("net.1").eval()  # a frozen batch norm in a model in training
    classifier.get_parameter("net.0.weight").requires_grad_(False)
    classifier.get_parameter("net.0.bias").grad = torch.full((8,), 3.0, dtype=torch.float64)
    calls, head.calls = head.calls, 0
    head.fail_at = (calls + 1) // 2 if fails and calls else 0
    before = _state(classifier)
    try:
        propose(attack, norm, classifier, x, y)
    except AssertionError as error:
        if not head.fail_at or "power cut" not in str(error):
            raise
    else:
        hold(not head.fail_at, f"{attack!r} kept an error of the model in {norm} to itself")
    after = _state(classifier)
    other = [key for key in before if key not in after or not _same(before[key], after[key])]
    hold(not other, f"{attack!r} changed in {norm}: {', '.join(other)}")


def check_access(attack: Attack, norm: str) -> None:
    """It raises AccessError where it is granted less than it says it needs."""
    classifier, x, y = _conv(attack, 2)
    for access in ACCESS:
        if access == "transfer" or grants(access, attack.access):
            continue
        with _victim(attack, classifier, x, access) as victim:
            refused(
                f"{attack!r} with {access} access",
                lambda victim=victim: attack(  # type: ignore[misc]
                    victim, x, y, ThreatModel(norm, EPS[norm]), random=_numbers(2)
                ),
                AccessError,
                "expected access",
                f"got {access}",
            )


def check_costs(attack: Attack, norm: str) -> None:
    """Its passes are counted, and are at most what it promises; gradients mean white-box access."""
    classifier, x, y = _conv(attack, 3)
    promised = attack.passes()
    for eps in (0.05, EPS[norm]):
        with _victim(attack, classifier, x, attack.access) as victim:
            attack(victim, x, y, _threat(attack, norm, eps), random=_numbers(3))
        took = int(victim.forwards.max()), int(victim.backwards.max())
        hold(
            took[0] <= promised[0] and took[1] <= promised[1],
            f"{attack!r} promises {promised} forward and backward passes an image and took {took} in {norm}",
        )
        if attack.access == "white-box" and took != (0, 0):
            hold((victim.backwards > 0).all(), f"{attack!r} says it needs gradients and took none in {norm}")


def check_fields(attack: Attack) -> None:
    """It is a frozen dataclass: its fields are its configuration, all with defaults, and all plain."""
    kind: Any = type(attack)
    hold(dataclasses.is_dataclass(kind), f"expected {kind.__name__} to be a dataclass")
    with works(f"{kind.__name__}() without arguments"):
        plain = kind()
    again = eval(repr(attack), {kind.__name__: kind})
    hold(again == attack, f"expected repr to build {attack!r} again, got {again!r}")
    with works(f"the fields of {attack!r} as JSON"):
        hold(kind(**json.loads(json.dumps(dataclasses.asdict(plain)))) == plain, f"{plain!r} is not plain")
    with works(f"hash({attack!r})"):
        hold(hash(attack) == hash(copy.copy(attack)), f"equal attacks have unequal hashes: {attack!r}")
    for entry in dataclasses.fields(kind):
        refused(
            f"{kind.__name__}.{entry.name} = None",
            lambda name=entry.name: setattr(attack, name, None),  # type: ignore[misc]
            dataclasses.FrozenInstanceError,
        )


def check_values(attack: Attack) -> None:
    """It refuses names that do not exist and numbers that make no sense, and says which field."""
    kind: Any = type(attack)
    plain = kind()
    bad: list[Any]
    for entry in dataclasses.fields(plain):
        default, name = getattr(plain, entry.name), entry.name
        if isinstance(default, str):
            bad, words = ["nonsense"], [f"no {name} named 'nonsense'"]
        elif isinstance(default, bool):
            continue
        else:
            bad = [-1] if isinstance(default, int) else [-1.0, float("nan")]
            words = [f"expected {name} to be "]
        for value in bad:
            refused(
                f"{kind.__name__}({name}={value!r})",
                lambda name=name, value=value: kind(**{name: value}),  # type: ignore[misc]
                ValueError,
                *words,
                *([f", got {value}"] if not isinstance(default, str) else []),
            )


def _threat(attack: Attack, norm: str, eps: float) -> ThreatModel:
    return ThreatModel(norm, eps, attack.access, KNOWN.name if attack.reads_score else "")


def _victim(attack: Attack, classifier: Classifier, x: Tensor, access: str) -> Victim:
    if attack.needs_examples:
        return Victim(classifier, len(x), access, examples=_examples(classifier, x))
    if not attack.reads_score:
        return Victim(classifier, len(x), access)
    means = next(value for name, value in classifier.named_parameters() if name.endswith("means"))
    known = replace(KNOWN, guides=tuple(means.detach().unsqueeze(1)))
    return Victim(classifier, len(x), access, known)


def _examples(classifier: Classifier, like: Tensor) -> Examples:
    """Make images of the shape and type of others, (B, *S), and call each what the classifier calls it."""
    images = _numbers(128).uniform(*like.shape[1:], dtype=like.dtype)
    with Victim(classifier, len(images)) as victim:
        return Examples(images, victim.outputs(images).predicted)


def _conv(attack: Attack, *args: Any, **options: Any) -> tuple[Classifier, Tensor, Tensor]:
    classifier, x, y = build_conv(*args, **options)
    return classifier, _stored(attack, x), y


def _linear(attack: Attack, *args: Any, **options: Any) -> tuple[Classifier, Tensor, Tensor]:
    classifier, x, y = build_linear(*args, **options)
    return classifier, _stored(attack, x), y


def _stored(attack: Attack, x: Tensor) -> Tensor:
    """Round the images if it reads a score: it proposes images on the grid, and clean ones lie on it."""
    return (x * LEVELS).round() / LEVELS if attack.reads_score else x


def _numbers(images: int) -> SampleRandom:
    return SampleRandom.of("contract", torch.arange(images))


def _state(classifier: Classifier) -> dict[str, Any]:
    found: dict[str, Any] = {
        f"mode of {name}": module.training for name, module in classifier.named_modules()
    }
    for name, parameter in classifier.named_parameters():
        found[f"flag of {name}"] = parameter.requires_grad
        found[f"gradient of {name}"] = None if parameter.grad is None else parameter.grad.clone()
    found |= {f"value of {name}": value.clone() for name, value in classifier.state_dict().items()}
    found["torch's random numbers"] = torch.get_rng_state()
    found["numpy's random numbers"] = [str(part) for part in np.random.get_state()]  # noqa: NPY002
    found["Python's random numbers"] = python_random.getstate()
    found["torch's defaults"] = (torch.get_num_threads(), torch.is_grad_enabled(), torch.get_default_dtype())
    return found


def _same(a: Any, b: Any) -> bool:
    return torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else bool(a == b)
