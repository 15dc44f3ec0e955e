"""Estimates against sums by hand, for a machine whose passes take some seconds an image."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from gmbench.benchmark.engine import estimate as estimating
from gmbench.benchmark.engine.entry import key_of
from gmbench.benchmark.engine.estimate import Attacked, Cost, Passes, estimate, published_passes
from gmbench.benchmark.engine.inspection.cost import inspection_cost
from gmbench.benchmark.engine.inspection.inspect import middle_threats
from gmbench.benchmark.engine.plan import Plan, make_plan
from gmbench.benchmark.engine.run import run_plan
from gmbench.benchmark.engine.speed import PassSpeed, Speed, Timed
from gmbench.benchmark.engine.store import Store
from gmbench.benchmark.engine.suite import load_suite
from gmbench.benchmark.engine.work.crews import in_process
from gmbench.detectors.kde import KDE
from gmbench.models import Classifier

SUITE = """
name = "told-v1"
data = "digits"
samples = 20
models = ["digits-softmax-s0", "digits-lgm-s0"]
surrogate = "digits-surrogate-s0"
detectors = ["msp"]

[[attacks]]
label = "pgd"
attack = "pgd"
options = { steps = 4 }
eps = [0.1, 0.3]

[[attacks]]
label = "square"
attack = "square"
options = { queries = 30 }
eps = [0.3]
access = "query"

[[attacks]]
label = "moved"
attack = "pgd"
options = { steps = 4 }
eps = [0.3]
access = "transfer"
"""
FORWARD, QUERY, GRADIENT, CALL, FIT, SCORE = 1.0, 2.0, 3.0, 10.0, 7.0, 0.5


class Slow(Speed):
    """Measures nothing."""

    forward = FORWARD

    def passes(self, precision: str = "float32", knows: str = "") -> PassSpeed:
        return PassSpeed(Timed(CALL, QUERY), Timed(CALL, GRADIENT))

    def fitting(self, name: str) -> float:
        return FIT

    def scoring(self, name: str) -> float:
        return SCORE


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setattr(estimating, "Speed", Slow)
    (tmp_path / "told.toml").write_text(SUITE, encoding="utf-8")
    return make_plan(load_suite(str(tmp_path / "told.toml")))


def by_name(costs: Iterable[Cost], model: str) -> dict[str, Cost]:
    return {cost.what: cost for cost in costs if cost.model == model}


def test_an_empty_store_costs_every_pass(plan: Plan, tmp_path: Path) -> None:
    found = by_name(estimate(plan, Store(tmp_path / "store")), "digits-softmax-s0")
    validation, train = len(plan.data["validation"]), len(plan.data["train"])
    judged = 3 * FORWARD
    assert found["clean"] == Cost("digits-softmax-s0", "clean", 2, 0, (20 + validation) * FORWARD)
    # each step is a gradient, and a last pass looks at what came out
    assert found["pgd"].seconds == 2 * (20 * (4 * GRADIENT + QUERY + judged) + 5 * CALL)
    assert found["square"].seconds == 20 * (30 * QUERY + judged) + 30 * CALL
    assert found["fitting"].seconds == FIT + train * FORWARD
    assert found["scoring"].seconds == (20 * 5 + validation) * (FORWARD + SCORE)
    assert (found["scoring"].missing, found["scoring"].found) == (6, 0)
    cost = inspection_cost(middle_threats(plan.jobs[0].cells), 20 + validation)
    scores = cost.scores * (FORWARD + SCORE)
    attacks = cost.gradients * GRADIENT + cost.gradients / 128 * CALL
    assert found["inspection"].seconds == pytest.approx(cost.forwards * FORWARD + attacks + scores)


def test_a_transfer_attack_is_paid_for_once(plan: Plan, tmp_path: Path) -> None:
    costs = list(estimate(plan, Store(tmp_path / "store")))
    first, second = (by_name(costs, job.entrant.name)["moved"].seconds for job in plan.jobs)
    assert first == 20 * (4 * GRADIENT + QUERY + 3 * FORWARD) + 5 * CALL
    assert second == 20 * 3 * FORWARD


def test_what_is_stored_costs_nothing_and_tells_what_attacks_spend(plan: Plan, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with in_process(plan) as crew:
        run_plan(Plan(plan.suite, "cpu", plan.surrogate, plan.data, plan.jobs[:1]), store, crew)
    costs = list(estimate(plan, store))
    assert {cost.seconds for cost in costs if cost.model == "digits-softmax-s0"} == {0.0}
    assert {cost.missing for cost in costs if cost.model == "digits-softmax-s0"} == {0}
    assert by_name(costs, "digits-softmax-s0")["fitting"].found == 1
    square = next(cell for cell in plan.jobs[0].cells if cell.label == "square")
    entry = store.read(square.description)
    assert entry is not None
    spent, most = entry.table["forwards"].mean(), entry.table["forwards"].max()
    assert spent < 30  # it stops once it has fooled
    found = by_name(costs, "digits-lgm-s0")
    assert found["square"].seconds == pytest.approx(20 * (spent * QUERY + 3 * FORWARD) + most * CALL)
    assert found["moved"].seconds == 20 * 3 * FORWARD


def test_what_was_learned_is_not_paid_for_again(plan: Plan, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with in_process(plan) as crew:
        run_plan(plan, store, crew)
    cell = next(cell for cell in plan.jobs[0].cells if cell.label == "pgd")
    for key in (key_of(cell.description), *store.about(key_of(cell.description))):
        store.remove(key)
    found = by_name(estimate(plan, store), "digits-softmax-s0")
    assert found["pgd"].missing == found["scoring"].missing == 1
    assert found["fitting"] == Cost("digits-softmax-s0", "fitting", 0, 1, 0.0)


def test_published_passes_are_means_over_models_and_images(plan: Plan, tmp_path: Path) -> None:
    rows = [
        ("a", "clean", "", 0.0, "", 0, 0),
        ("a", "pgd", "Linf", 0.1, "white-box", 5, 4),
        ("a", "square", "Linf", 0.3, "query", 10, 0),
        ("digits-softmax-s0", "square", "Linf", 0.3, "query", 20, 0),
    ]
    frame = pd.DataFrame(rows, columns=["model", "label", "norm", "eps", "access", "forwards", "backwards"])
    published = published_passes(frame.astype({"norm": "category"}))
    assert published == {
        Attacked("", "pgd", "Linf", 0.1, "white-box"): Passes(5, 4, 5, 4),
        Attacked("a", "pgd", "Linf", 0.1, "white-box"): Passes(5, 4, 5, 4),
        Attacked("", "square", "Linf", 0.3, "query"): Passes(15, 0, 20, 0),
        Attacked("a", "square", "Linf", 0.3, "query"): Passes(10, 0, 10, 0),
        Attacked("digits-softmax-s0", "square", "Linf", 0.3, "query"): Passes(20, 0, 20, 0),
    }
    costs = list(estimate(plan, Store(tmp_path / "store"), published))
    own = by_name(costs, "digits-softmax-s0")["square"]  # what it had cost this very model
    assert own.seconds == 20 * (20 * QUERY + 3 * FORWARD) + 20 * CALL
    found = by_name(costs, "digits-lgm-s0")
    assert found["square"].seconds == 20 * (15 * QUERY + 3 * FORWARD) + 20 * CALL


def test_a_model_without_gradients_costs_what_its_passes_cost(plan: Plan) -> None:
    """The attack fails in the run, which says so; its estimate does not end the run before it begins."""

    class Cut(nn.Flatten):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).detach()

    speed = Speed(Classifier(Cut(), nn.Linear(64, 10)).eval(), {}, plan.data, 20, "cpu")
    found = speed.passes()
    assert found.gradient == Timed(0.0, speed.forward)
    assert found.query != found.gradient


def test_a_model_that_always_fails_costs_next_to_nothing(plan: Plan) -> None:
    class Broken(nn.Flatten):
        def forward(self, x: Tensor) -> Tensor:
            raise ArithmeticError("too many images")

    detectors = {"kde": KDE()}
    speed = Speed(Classifier(Broken(), nn.Linear(64, 10)).eval(), detectors, plan.data, 20, "cpu")
    assert 0 < speed.forward < 0.1
    assert speed.passes(knows="kde").gradient.image == speed.forward
    assert speed.scoring("kde") == 0.0


def test_measuring_leaves_detectors_and_random_numbers_alone(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimating, "Speed", Speed)
    state = torch.random.get_rng_state()
    costs = by_name(estimate(plan, Store(tmp_path / "store")), "digits-softmax-s0")
    assert min(cost.seconds for cost in costs.values()) > 0
    assert [one.fitted_on_ for job in plan.jobs for one in job.detectors.values()] == [None, None]
    assert torch.random.get_rng_state().equal(state)
