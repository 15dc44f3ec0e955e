"""The same attacks in other libraries, for `make perf`: a function a library and attack, imports inside.

Settings are those of the contest, under the library's own names.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import accumulate, count, takewhile
from math import inf, isinf
from typing import Any

from torch import Tensor

from ...attacks.core.known import KnownDetector
from ...models import Classifier

__all__ = ["PACKAGES", "Peer", "Problem", "missing"]

PACKAGES = {
    "torchattacks": "torchattacks",
    "foolbox": "foolbox",
    "adv-lib": "adv_lib",
    "pyautoattack": "pyautoattack",
}
"""Library -> its module."""

P = {"Linf": inf, "L2": 2}


@dataclass(frozen=True, eq=False)
class Problem:
    """What is to be attacked, and with what settings.

    Args:
        classifier: Whom.
        x: Images, (B, *S).
        y: Their classes, (B,).
        norm: Of the perturbation.
        eps: Its size.
        settings: Our attack's fields, of which a peer takes what it has.
        known: The detector that the attack knows, or None.
    """

    classifier: Classifier
    x: Tensor
    y: Tensor
    norm: str
    eps: float
    settings: Mapping[str, Any]
    known: KnownDetector | None = None


Peer = Callable[[Problem], Tensor]
"""Gives adversarial images, (B, *S)."""


def missing() -> list[str]:
    """Name the libraries that are not installed."""
    return [package for package, module in PACKAGES.items() if find_spec(module) is None]


def torchattacks_pgd(problem: Problem) -> Tensor:
    import torchattacks

    steps = problem.settings["steps"]
    attack = torchattacks.PGD(problem.classifier, problem.eps, 2.5 * problem.eps / steps, steps)
    return attack(problem.x, problem.y)  # type: ignore[no-any-return]


def torchattacks_apgd(problem: Problem) -> Tensor:
    import torchattacks

    settings = problem.settings
    attack = torchattacks.APGD(
        problem.classifier, problem.norm, problem.eps, steps=settings["steps"], loss=settings["loss"]
    )
    return attack(problem.x, problem.y)  # type: ignore[no-any-return]


def torchattacks_square(problem: Problem) -> Tensor:
    import torchattacks

    queries = problem.settings["queries"]
    attack = torchattacks.Square(problem.classifier, problem.norm, problem.eps, n_queries=queries)
    return attack(problem.x, problem.y)  # type: ignore[no-any-return]


def foolbox_pgd(problem: Problem) -> Tensor:
    import foolbox

    steps = problem.settings["steps"]
    attack = foolbox.attacks.LinfPGD(abs_stepsize=2.5 * problem.eps / steps, steps=steps)
    return _foolbox(attack, problem)


def foolbox_cw(problem: Problem) -> Tensor:
    import foolbox

    return _foolbox(foolbox.attacks.L2CarliniWagnerAttack(binary_search_steps=5, steps=100), problem)


def foolbox_ddn(problem: Problem) -> Tensor:
    import foolbox

    return _foolbox(foolbox.attacks.DDNAttack(steps=problem.settings["steps"]), problem)


def foolbox_fmn(problem: Problem) -> Tensor:
    import foolbox

    kind = {"Linf": foolbox.attacks.LInfFMNAttack, "L2": foolbox.attacks.L2FMNAttack}[problem.norm]
    return _foolbox(kind(steps=problem.settings["steps"]), problem)


def foolbox_hopskipjump(problem: Problem) -> Tensor:
    import foolbox

    constraint = {"Linf": "linf", "L2": "l2"}[problem.norm]
    # it counts steps, of which the t-th asks about 100 sqrt(t) times, and some thirty times for its length
    asked = accumulate(100 * step**0.5 + 30 for step in count(1))
    steps = sum(1 for _ in takewhile(lambda queries: queries <= problem.settings["queries"], asked))
    return _foolbox(foolbox.attacks.HopSkipJumpAttack(steps=steps, constraint=constraint), problem)


def adv_lib_cw(problem: Problem) -> Tensor:
    from adv_lib.attacks import carlini_wagner_l2

    return carlini_wagner_l2(  # type: ignore[no-any-return]
        problem.classifier, problem.x, problem.y, binary_search_steps=5, max_iterations=100
    )


def adv_lib_apgd(problem: Problem) -> Tensor:
    from adv_lib.attacks import apgd

    settings = problem.settings
    return apgd(  # type: ignore[no-any-return]
        problem.classifier,
        problem.x,
        problem.y,
        problem.eps,
        P[problem.norm],
        n_iter=settings["steps"],
        loss_function=settings["loss"],
    )


def adv_lib_fab(problem: Problem) -> Tensor:
    from adv_lib.attacks import fab

    how = {"n_iter": problem.settings["steps"], "ε": None if isinf(problem.eps) else problem.eps}
    images, norm = (problem.classifier, problem.x, problem.y), P[problem.norm]
    return fab(*images, norm, targeted_restarts=True, **how)  # type: ignore[no-any-return]


def adv_lib_ddn(problem: Problem) -> Tensor:
    from adv_lib.attacks import ddn

    steps = problem.settings["steps"]
    return ddn(problem.classifier, problem.x, problem.y, steps=steps)  # type: ignore[no-any-return]


def adv_lib_fmn(problem: Problem) -> Tensor:
    from adv_lib.attacks import fmn

    norm, steps = P[problem.norm], problem.settings["steps"]
    return fmn(problem.classifier, problem.x, problem.y, norm, steps=steps)  # type: ignore[no-any-return]


def official(*names: str) -> Peer:
    """Make a peer of some of AutoAttack's four, as pyautoattack has them; of all without names."""

    def peer(problem: Problem) -> Tensor:
        from pyautoattack import AutoAttack

        version, kinds = ("custom", list(names)) if names else ("standard", None)
        ensemble = AutoAttack(
            problem.classifier,
            attacks=kinds,
            eps=problem.eps,
            norm=problem.norm,
            seed=0,
            version=version,
        )
        for part in (ensemble.apgd, ensemble.fab):
            part.n_restarts = 1
        if "steps" in problem.settings:
            for part in (ensemble.apgd, ensemble.apgd_targeted, ensemble.fab):
                part.n_iter = problem.settings["steps"]
        if "queries" in problem.settings:
            ensemble.square.n_queries = problem.settings["queries"]
        found: Tensor = ensemble.run_standard_evaluation(problem.x, problem.y, batch_size=len(problem.x))[0]
        return found

    return peer


def _foolbox(attack: Any, problem: Problem) -> Tensor:
    import foolbox

    model = foolbox.PyTorchModel(problem.classifier, bounds=(0, 1), device="cpu")
    eps = None if isinf(problem.eps) else problem.eps
    found: Tensor = attack(model, problem.x, problem.y, epsilons=eps)[1]
    return found
