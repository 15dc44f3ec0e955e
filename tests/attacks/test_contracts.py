"""What every registered attack must keep to; a new file in attacks/ is tested the moment it exists."""

import contextlib
import dataclasses
import json
import random as python_random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gmbench.attacks import ATTACKS, AccessError, Attack, SampleRandom, ThreatModel, Victim
from gmbench.attacks.core.losses import LOSSES
from gmbench.attacks.core.norms import NORMS
from gmbench.models import Classifier

Build = Callable[..., tuple[Classifier, Tensor, Tensor]]

EPS = {"Linf": 0.4, "L2": 2.5}
"""At which every attack fools the convolutional model."""

DISTANCE = {"Linf": 0.04, "L2": 0.2}
"""From the linear model's images to its boundary."""

FAST: dict[str, dict[str, Any]] = {
    "cw": {"binary_steps": 3, "steps": 40},
    "mi-fgsm": {"steps": 15},
    "pgd": {"steps": 15},
    "square": {"queries": 200},
    "torchattacks-pgd": {"steps": 15},
    "torchattacks-cw": {"steps": 100},
    "torchattacks-square": {"queries": 200},
}
"""Options that keep an attack fast here."""

LINEAR: dict[str, dict[str, Any]] = {
    "square": {"queries": 500},  # 108 signs are to be found
    "torchattacks-cw": {"lr": 0.01},  # a step of Adam at .1 is longer than the way to the boundary
}
"""Options for the linear model."""

MARGIN_LOSSES = {"square", "torchattacks-square", "cw", "torchattacks-cw"}
"""Attacks that ascend the margin without a field that says so."""

ASKS_NOTHING = {"uniform-noise"}
"""Attacks that never look at the victim, so that it decides neither their success nor their failure."""

REACH = {
    "likelihood-fgsm": 2.0,  # climbs towards a mean, not away from the true one
    # its squares never reach the last row and column, and one square serves all images
    "torchattacks-square": 3.0,
}
"""How many times the minimal perturbation an attack may need on a linear model; 1.25 where it is not said."""

IMAGES_ONLY = {"square", "torchattacks-square", "torchattacks-pgd"}
"""Attacks that need (B, C, H, W).

Squares have two dimensions, and torchattacks' PGD writes out four in L2.
"""


@dataclass(frozen=True)
class Case:
    name: str
    norm: str
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return "-".join([self.name, self.norm, *(f"{key}={value}" for key, value in self.options.items())])

    def build(self, **options: Any) -> Attack:
        if self.name.startswith("torchattacks-"):
            pytest.importorskip(
                "torchattacks", reason="needs torchattacks: pip install 'gmbench[torchattacks]'"
            )
        return ATTACKS.build(self.name, **{**FAST.get(self.name, {}), **self.options, **options})

    @property
    def access(self) -> str:
        return str(getattr(ATTACKS[self.name], "access"))  # noqa: B009  a factory is typed as any callable

    @property
    def batch_independent(self) -> bool:
        return bool(getattr(ATTACKS[self.name], "batch_independent", True))


def cases() -> Iterator[Case]:
    for name in ATTACKS:
        for norm in getattr(ATTACKS[name], "norms"):  # noqa: B009
            yield Case(name, norm)
    yield Case("fgsm", "L2", {"loss": "margin"})
    yield Case("pgd", "L2", {"random_start": False, "restarts": 2})
    yield from (
        Case("pgd", "Linf", {"loss": loss, "targets": targets}) for loss in LOSSES for targets in (0, 3)
    )


CASES = list(cases())
EACH = pytest.mark.parametrize("case", CASES, ids=str)
ASKING = pytest.mark.parametrize("case", [case for case in CASES if case.name not in ASKS_NOTHING], ids=str)


def attack(
    case: Case,
    classifier: Classifier,
    x: Tensor,
    y: Tensor,
    eps: float | None = None,
    ids: Tensor | None = None,
    **options: Any,
) -> Tensor:
    threat = ThreatModel(case.norm, EPS[case.norm] if eps is None else eps, access=case.access)
    random = SampleRandom.of("contract", torch.arange(len(x)) if ids is None else ids)
    with Victim(classifier, len(x), case.access) as victim:
        return case.build(**options)(victim, x, y, threat, random=random)


class Changed(nn.Module):
    """Another head, its logits and its likelihood scaled and shifted alike.

    It can count its calls and fail at one of them.
    """

    def __init__(self, head: nn.Module, scale: float, shift: float) -> None:
        super().__init__()
        self.head = head
        self.scale, self.shift = scale, shift
        self.calls = self.fail_at = 0

    def forward(self, features: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == self.fail_at:
            raise RuntimeError("power cut")
        logits: Tensor = self.head(features)
        return logits * self.scale + self.shift

    def log_likelihood(self, features: Tensor) -> Tensor:
        logits: Tensor = self.head(features)
        return logits * self.scale + self.shift


def changed(classifier: Classifier, scale: float = 1.0, shift: float = 0.0) -> Classifier:
    return Classifier(classifier.net, Changed(classifier.head, scale, shift)).eval()


# Strength


def linear_problems() -> Iterator[tuple[Case, int, tuple[int, ...], float]]:
    for case in CASES:
        if case.name not in ASKS_NOTHING:
            yield case, 1, (1, 6, 6), 300.0
            yield case, 6, (1, 6, 6), 10.0
            yield case, 5, (3, 6, 6), 300.0
            if case.name not in IMAGES_ONLY:
                yield case, 5, (36,), 10.0


@pytest.mark.parametrize(("case", "batch", "shape", "margin"), list(linear_problems()), ids=str)
def test_linear_model_is_fooled_near_the_minimal_perturbation(
    case: Case, batch: int, shape: tuple[int, ...], margin: float, linear: Build
) -> None:
    classifier, x, y = linear(batch, shape, case.norm, DISTANCE[case.norm], margin)
    eps = REACH.get(case.name, 1.25) * DISTANCE[case.norm]
    x_adv = attack(case, classifier, x, y, eps, **LINEAR.get(case.name, {}))
    assert (classifier(x_adv).argmax(1) != y).all()
    assert (NORMS[case.norm].size(x_adv - x) <= eps * (1 + 1e-9)).all()


@EACH
def test_linear_model_is_not_fooled_inside_the_minimal_perturbation(case: Case, linear: Build) -> None:
    classifier, x, y = linear(4, (1, 6, 6), case.norm, DISTANCE[case.norm])
    x_adv = attack(case, classifier, x, y, 0.99 * DISTANCE[case.norm])
    assert (classifier(x_adv).argmax(1) == y).all()


@ASKING
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_at_0_and_1_move(case: Case, channels: int, conv: Build) -> None:
    classifier, x, y = conv(4, channels, margin=10, binary=True)
    x_adv = attack(case, classifier, x, y)
    moved = (x_adv - x).abs() > 1e-3
    assert (classifier(x_adv).argmax(1) != y).all()
    assert (moved & (x == 0)).any()
    assert (moved & (x == 1)).any()


# What must not matter


def ascends_a_margin(case: Case) -> bool:
    # a field's default is an attribute of the class
    loss = case.options.get("loss", getattr(ATTACKS[case.name], "loss", None))
    return loss in ("margin", "dlr") or case.name in MARGIN_LOSSES


@ASKING
def test_shift_of_all_logits_changes_nothing(case: Case, conv: Build) -> None:
    classifier, x, y = conv(5)
    x_adv = attack(case, classifier, x, y)
    assert (x_adv != x).flatten(1).any(1).all()
    for shift in (1000.0, -1000.0, -20_000.0):
        torch.testing.assert_close(
            attack(case, changed(classifier, shift=shift), x, y), x_adv, rtol=0, atol=1e-6
        )


@pytest.mark.parametrize("case", [case for case in CASES if ascends_a_margin(case)], ids=str)
@pytest.mark.parametrize("eps", [0.25, 0.5])
def test_larger_logits_do_not_weaken_margin_losses(case: Case, eps: float, conv: Build) -> None:
    classifier, x, y = conv(8)
    fooled = [
        int((classifier(attack(case, victim, x, y, eps * EPS[case.norm])).argmax(1) != y).sum())
        for victim in (classifier, changed(classifier, scale=100.0))
    ]
    assert fooled[1] >= fooled[0]


@pytest.mark.parametrize("case", [case for case in CASES if case.batch_independent], ids=str)
def test_batch_does_not_matter(case: Case, conv: Build) -> None:
    classifier, x, y = conv(4)
    ids = torch.tensor([5, 2, 77, 0])
    whole = attack(case, classifier, x, y, ids=ids)
    for size in (1, 2):
        parts = [
            attack(case, classifier, x[i : i + size], y[i : i + size], ids=ids[i : i + size])
            for i in range(0, 4, size)
        ]
        torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-6)


def test_only_the_foreign_engine_may_depend_on_the_batch() -> None:
    dependent = {case.name for case in CASES if not case.batch_independent}
    # traps: global generator, stop on the batch's loss
    assert dependent == {"torchattacks-pgd", "torchattacks-cw", "torchattacks-square"}


@EACH
def test_second_run_gives_the_same_bytes(case: Case, conv: Build) -> None:
    classifier, x, y = conv(5)
    first = attack(case, classifier, x, y)
    torch.manual_seed(99)
    assert torch.equal(attack(case, classifier, x, y), first)


# What must stay as it was, and what comes out


@EACH
@pytest.mark.parametrize(("channels", "dtype"), [(1, torch.float64), (3, torch.float32)])
def test_result_is_in_the_ball_and_the_box(
    case: Case, channels: int, dtype: torch.dtype, conv: Build
) -> None:
    classifier, x, y = conv(5, channels)
    classifier, x = classifier.to(dtype), x.to(dtype)
    given = x.clone()
    x_adv = attack(case, classifier, x, y)
    assert torch.equal(x, given)
    assert (x_adv.shape, x_adv.dtype, x_adv.requires_grad) == (x.shape, dtype, False)
    assert (NORMS[case.norm].size(x_adv - x) <= EPS[case.norm] + 1e-6).all()
    assert (x_adv >= 0).all()
    assert (x_adv <= 1).all()


@EACH
@pytest.mark.parametrize("fails", [False, True], ids=["returns", "raises"])
def test_model_and_random_state_are_left_alone(case: Case, fails: bool, conv: Build) -> None:
    classifier, x, y = conv(4)
    classifier = changed(classifier)
    head = classifier.head
    assert isinstance(head, Changed)
    attack(case, classifier, x, y)
    classifier.train().requires_grad_()
    classifier.get_submodule("net.1").eval()  # a frozen batch norm in a model in training
    classifier.get_parameter("net.0.weight").requires_grad_(False)
    classifier.get_parameter("net.0.bias").grad = torch.full((8,), 3.0, dtype=torch.float64)
    head.fail_at, head.calls = ((head.calls + 1) // 2 if fails else 0), 0
    before = state(classifier)
    expected = (
        pytest.raises(RuntimeError, match="power cut")
        if fails and case.name not in ASKS_NOTHING
        else contextlib.nullcontext()
    )
    with expected:
        attack(case, classifier, x, y)
    after = state(classifier)
    assert before.keys() == after.keys()
    assert [key for key in before if not same(before[key], after[key])] == []


def state(classifier: Classifier) -> dict[str, Any]:
    found: dict[str, Any] = {
        f"mode of {name}": module.training for name, module in classifier.named_modules()
    }
    for name, parameter in classifier.named_parameters():
        found[f"flag of {name}"] = parameter.requires_grad
        found[f"gradient of {name}"] = None if parameter.grad is None else parameter.grad.clone()
    found |= {f"value of {name}": value.clone() for name, value in classifier.state_dict().items()}
    found["torch"] = torch.get_rng_state()
    found["numpy"] = [str(part) for part in np.random.get_state()]  # noqa: NPY002
    found["python"] = python_random.getstate()
    found["defaults"] = (torch.get_num_threads(), torch.is_grad_enabled(), torch.get_default_dtype())
    return found


def same(a: Any, b: Any) -> bool:
    return torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else bool(a == b)


@EACH
def test_access_is_enforced(case: Case, conv: Build) -> None:
    classifier, x, y = conv(2)
    weaker = {"white-box": ("query", "decision"), "query": ("decision",), "decision": ()}[case.access]
    built = case.build()
    for access in weaker:
        with (
            Victim(classifier, 2, access) as victim,
            pytest.raises(AccessError, match=f"expected access .* got {access}"),
        ):
            built(
                victim,
                x,
                y,
                ThreatModel(case.norm, EPS[case.norm]),
                random=SampleRandom.of("", torch.arange(2)),
            )


@EACH
def test_passes_are_counted(case: Case, conv: Build) -> None:
    classifier, x, y = conv(3)
    with Victim(classifier, 3, case.access) as victim:
        case.build()(
            victim, x, y, ThreatModel(case.norm, EPS[case.norm]), random=SampleRandom.of("", torch.arange(3))
        )
    assert (victim.forwards > 0).all() == (case.name not in ASKS_NOTHING)
    assert (victim.backwards > 0).all() == (case.access == "white-box")


# The configuration


@pytest.mark.parametrize("case", [Case(name, "") for name in ATTACKS], ids=str)
def test_fields_are_the_configuration(case: Case) -> None:
    built: Any = case.build()
    kind = type(built)
    assert eval(repr(built), {kind.__name__: kind}) == built
    assert ATTACKS.build(case.name, **json.loads(json.dumps(dataclasses.asdict(built)))) == built
    assert hash(built) == hash(case.build())
    for entry in dataclasses.fields(built):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(built, entry.name, None)


@pytest.mark.parametrize("case", [Case(name, "") for name in ATTACKS], ids=str)
def test_bad_values_are_refused(case: Case) -> None:
    built: Any = case.build()
    for entry in dataclasses.fields(built):
        default = getattr(built, entry.name)
        if isinstance(default, str):
            with pytest.raises(ValueError, match=f"no {entry.name} named 'nonsense'"):
                case.build(**{entry.name: "nonsense"})
        elif not isinstance(default, bool):
            bad = [-1] if isinstance(default, int) else [-1.0, float("nan")]
            for value in bad:
                with pytest.raises(ValueError, match=f"expected {entry.name} to be .*, got {value}"):
                    case.build(**{entry.name: value})


@EACH
def test_costs_at_most_what_it_promises(case: Case, conv: Build) -> None:
    classifier, x, y = conv(3)
    with Victim(classifier, len(x), case.access) as victim:
        built = case.build()
        built(
            victim,
            x,
            y,
            ThreatModel(case.norm, 0.05, access=case.access),
            random=SampleRandom.of("cost", torch.arange(3)),
        )
    forwards, backwards = built.passes()
    assert int(victim.forwards.max()) <= forwards
    assert int(victim.backwards.max()) <= backwards
