"""What every registered attack must keep to; a new file in attacks/ is tested the moment it exists."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from gmbench.attacks import ATTACKS, Attack
from gmbench.attacks.core.losses import LOSSES
from gmbench.benchmark.contracts.attack import (
    EPS,
    asks_nothing,
    check_access,
    check_batch,
    check_costs,
    check_extremes,
    check_fields,
    check_inside,
    check_left_alone,
    check_linear,
    check_repeats,
    check_result,
    check_shift,
    check_values,
    propose,
)
from gmbench.benchmark.contracts.problems import changed
from gmbench.models import Classifier

Build = Callable[..., tuple[Classifier, Tensor, Tensor]]

FAST: dict[str, dict[str, Any]] = {
    "apgd": {"steps": 20},
    "apgd-fab-square": {"steps": 5, "queries": 20},
    "fab": {"steps": 8},
    "cw": {"binary_steps": 3, "steps": 40},
    "ddn": {"steps": 60},
    "fmn": {"steps": 40},
    "evasion": {"steps": 21, "restarts": 1},
    "hopskipjump": {"queries": 400, "probes": 40},
    "feature-matching": {"steps": 21, "restarts": 1},
    "minimal-evasion": {"steps": 40},
    "orthogonal-pgd": {"steps": 15},
    "selective-pgd": {"steps": 20},
    "mi-fgsm": {"steps": 15},
    "pgd": {"steps": 15},
    "square": {"queries": 200},
    "square-evasion": {"queries": 80},
    "ti-dim": {"steps": 15},
    "torchattacks-pgd": {"steps": 15},
    "torchattacks-cw": {"steps": 100},
    "torchattacks-square": {"queries": 200},
}
"""Options that keep an attack fast here."""

LINEAR: dict[str, dict[str, Any]] = {
    "hopskipjump": {"queries": 3000},  # a direction in 108 dimensions takes some hundred answers
    "square-evasion": {"queries": 500},
    # a smoothed gradient is not the nearest way; it is for victims that nothing is known of
    "ti-dim": {"diversity": 0.0, "kernel": 1},
    "square": {"queries": 500},  # 108 signs are to be found
    "square-L2": {"queries": 1000},
    "apgd-fab-square": {"steps": 20, "queries": 20},
    "square-evasion-L2": {"queries": 1000},
    "torchattacks-cw": {"lr": 0.01},  # a step of Adam at .1 is longer than the way to the boundary
}
"""Options for the linear model, of an attack or of an attack in one norm."""

EXTREMES: dict[str, dict[str, Any]] = {"square-evasion": {"queries": 200}}
"""Options where all pixels are 0 or 1."""

MARGIN_LOSSES = {
    "square",
    "torchattacks-square",
    "cw",
    "torchattacks-cw",
    "fmn",
    "fab",
    "evasion",
    "square-evasion",
}
"""Attacks that ascend the margin without a field that says so."""

ASKS_NOTHING = {"uniform-noise"}
"""Attacks that never look at the victim, so that it decides neither their success nor their failure."""

REACH = {
    "likelihood-fgsm": 2.0,  # climbs towards a mean, not away from the true one
    # its squares never reach the last row and column, and one square serves all images
    "torchattacks-square": 3.0,
    "square-L2": 2.5,  # its bumps are smooth, the linear model's axes are not
    "square-evasion-L2": 2.5,
    "orthogonal-pgd": 2.0,  # its steps leave out what the class's gradient has of the score's
}
"""How many times the minimal perturbation an attack may need on a linear model; 1.25 where it is not said."""

IMAGES_ONLY = {
    "autoattack",
    "apgd-fab-square",
    "square",
    "torchattacks-square",
    "torchattacks-pgd",
    "square-evasion",
    "ti-dim",
}
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
    yield Case("apgd", "L2", {"loss": "ce", "restarts": 2, "stop": True})
    yield Case("apgd", "Linf", {"loss": "dlr", "targets": 9})
    yield Case("fab", "Linf", {"restarts": 2, "targets": 2, "stop": True})
    yield Case("apgd", "Linf", {"loss": "likelihood", "targets": 3})
    yield from (Case("hopskipjump", norm, {"targets": 3, "queries": 900}) for norm in ("Linf", "L2"))
    yield from (
        Case("pgd", "Linf", {"loss": loss, "targets": targets}) for loss in LOSSES for targets in (0, 3)
    )


SLOW = {"autoattack"}
"""Attacks without options that would keep them fast; `apgd-fab-square` shares the code."""

CASES = list(cases())


def marked(*cases: Any) -> Any:
    """Leave the slow ones to `make test-slow`."""
    return pytest.param(*cases, marks=[pytest.mark.slow] if cases[0].name in SLOW else [])


EACH = pytest.mark.parametrize("case", [marked(case) for case in CASES], ids=str)
ASKING = pytest.mark.parametrize(
    "case", [marked(case) for case in CASES if case.name not in ASKS_NOTHING], ids=str
)


# Strength


def linear_problems() -> Iterator[tuple[Case, int, tuple[int, ...], float]]:
    for case in CASES:
        if case.name not in ASKS_NOTHING:
            yield case, 1, (1, 6, 6), 300.0
            yield case, 6, (1, 6, 6), 10.0
            yield case, 5, (3, 6, 6), 300.0
            if case.name not in IMAGES_ONLY:
                yield case, 5, (36,), 10.0


@pytest.mark.parametrize(
    ("case", "batch", "shape", "margin"), [marked(*problem) for problem in linear_problems()], ids=str
)
def test_linear_model_is_fooled_near_the_minimal_perturbation(
    case: Case, batch: int, shape: tuple[int, ...], margin: float
) -> None:
    in_norm = f"{case.name}-{case.norm}"
    built = case.build(**LINEAR.get(in_norm, LINEAR.get(case.name, {})))
    check_linear(built, case.norm, batch, shape, margin, REACH.get(in_norm, REACH.get(case.name, 1.25)))


@EACH
def test_linear_model_is_not_fooled_inside_the_minimal_perturbation(case: Case) -> None:
    check_inside(case.build(), case.norm)


@ASKING
@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_at_0_and_1_move(case: Case, channels: int) -> None:
    check_extremes(case.build(**EXTREMES.get(case.name, {})), case.norm, channels)


# What must not matter


def ascends_a_margin(case: Case) -> bool:
    # a field's default is an attribute of the class
    loss = case.options.get("loss", getattr(ATTACKS[case.name], "loss", None))
    return loss in ("margin", "dlr", "log-odds") or case.name in MARGIN_LOSSES


@ASKING
def test_shift_of_all_logits_changes_nothing(case: Case) -> None:
    check_shift(case.build(), case.norm)


@pytest.mark.parametrize("case", [marked(case) for case in CASES if ascends_a_margin(case)], ids=str)
@pytest.mark.parametrize("eps", [0.25, 0.5])
def test_larger_logits_do_not_weaken_margin_losses(case: Case, eps: float, conv: Build) -> None:
    classifier, x, y = conv(8)
    built, size = case.build(), eps * EPS[case.norm]
    victims = classifier, changed(classifier, scale=100.0)
    attacked = [propose(built, case.norm, victim, x, y, size) for victim in victims]
    fooled = [int((classifier(x_adv).argmax(1) != y).sum()) for x_adv in attacked]
    assert fooled[1] >= fooled[0]


@pytest.mark.parametrize("case", [marked(case) for case in CASES if case.batch_independent], ids=str)
def test_batch_does_not_matter(case: Case) -> None:
    check_batch(case.build(), case.norm)


def test_only_the_foreign_engine_may_depend_on_the_batch() -> None:
    dependent = {case.name for case in CASES if not case.batch_independent}
    # traps: global generator, stop on the batch's loss
    assert dependent == {"torchattacks-pgd", "torchattacks-cw", "torchattacks-square"}


@EACH
def test_second_run_gives_the_same_bytes(case: Case) -> None:
    check_repeats(case.build(), case.norm)


# What must stay as it was, and what comes out


@EACH
@pytest.mark.parametrize(("channels", "dtype"), [(1, torch.float64), (3, torch.float32)])
def test_result_is_in_the_ball_and_the_box(case: Case, channels: int, dtype: torch.dtype) -> None:
    check_result(case.build(), case.norm, channels, dtype)


@EACH
@pytest.mark.parametrize("fails", [False, True], ids=["returns", "raises"])
def test_model_and_random_state_are_left_alone(case: Case, fails: bool) -> None:
    check_left_alone(case.build(), case.norm, fails=fails)


@EACH
def test_access_is_enforced(case: Case) -> None:
    check_access(case.build(), case.norm)


@EACH
def test_passes_are_counted_and_at_most_what_is_promised(case: Case) -> None:
    assert asks_nothing(case.build(), case.norm) == (case.name in ASKS_NOTHING)
    check_costs(case.build(), case.norm)


# The configuration


@pytest.mark.parametrize("case", [Case(name, "") for name in ATTACKS], ids=str)
def test_fields_are_the_configuration(case: Case) -> None:
    check_fields(case.build())


@pytest.mark.parametrize("case", [Case(name, "") for name in ATTACKS], ids=str)
def test_bad_values_are_refused(case: Case) -> None:
    check_values(case.build())
