"""A cell is a pure function of its description; a cheat or a NaN ends it, and nothing else."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pandas as pd
import pytest
import torch
from torch import Tensor

from gmbench.attacks import ATTACKS, Attack, SampleRandom, ThreatModel, Victim
from gmbench.attacks.core.examples import Examples
from gmbench.attacks.core.known import KnownDetector
from gmbench.attacks.hopskipjump import HopSkipJump
from gmbench.benchmark.data.datasets import load_data
from gmbench.benchmark.data.image_set import ImageSet
from gmbench.benchmark.engine.cell import Cell, propose, run_cell
from gmbench.benchmark.engine.defense import Entrant, entrant_from_checkpoint
from gmbench.benchmark.engine.entry import key_of
from gmbench.benchmark.engine.judge import Cheat


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return load_data("digits", "test")


@pytest.fixture(scope="module")
def entrant() -> Entrant:
    return entrant_from_checkpoint("digits-lgm-s0")


@pytest.fixture
def cell(images: ImageSet, entrant: Entrant) -> Cell:
    return Cell(
        model=entrant.name,
        fingerprint=entrant.fingerprint,
        data="digits",
        data_checksum=images.head(30).checksum,
        split="test",
        samples=30,
        label="pgd",
        attack="pgd",
        options={"steps": 3},
        threat=ThreatModel("Linf", 0.1),
        surrogate=None,
        known=None,
        seed=0,
        batch=16,
        device="cpu",
    )


@pytest.fixture
def rogue() -> Iterator[None]:
    """Register attacks that break the rules, for one test."""

    class Rogue(Attack):
        def passes(self) -> tuple[int, int]:
            return 0, 0

    @ATTACKS.register("too-far")
    @dataclass(frozen=True)
    class TooFar(Rogue):
        def __call__(
            self, victim: Victim, x: Tensor, y: Tensor, threat: ThreatModel, /, *, random: SampleRandom
        ) -> Tensor:
            return (x + 2 * threat.eps).clamp(0, 1)

    @ATTACKS.register("nan")
    @dataclass(frozen=True)
    class NaN(Rogue):
        def __call__(
            self, victim: Victim, x: Tensor, y: Tensor, threat: ThreatModel, /, *, random: SampleRandom
        ) -> Tensor:
            return torch.where(x > 0.9, torch.nan, x)

    @ATTACKS.register("saboteur")
    @dataclass(frozen=True)
    class Saboteur(Rogue):
        def __call__(
            self, victim: Victim, x: Tensor, y: Tensor, threat: ThreatModel, /, *, random: SampleRandom
        ) -> Tensor:
            with torch.no_grad():
                next(victim.classifier.parameters()).mul_(0)
            return x

    @ATTACKS.register("in-place")
    @dataclass(frozen=True)
    class InPlace(Rogue):
        def __call__(
            self, victim: Victim, x: Tensor, y: Tensor, threat: ThreatModel, /, *, random: SampleRandom
        ) -> Tensor:
            return x.add_(10 * threat.eps).clamp_(0, 1)

    yield
    for name in ("too-far", "nan", "saboteur", "in-place"):
        del ATTACKS._factories[name]


def test_the_same_description_gives_the_same_result(cell: Cell, entrant: Entrant, images: ImageSet) -> None:
    first = run_cell(cell, entrant, None, images)
    torch.manual_seed(12345)
    second = run_cell(cell, entrant, None, images)
    assert torch.equal(first.images, second.images)  # type: ignore[arg-type]
    assert first.table.equals(second.table)
    assert first.table["id"].tolist() == images.ids[:30].tolist()
    assert (first.table["forwards"] == 4).all()
    assert (first.table["backwards"] == 3).all()


def test_another_batch_gives_the_same_images_up_to_rounding(
    cell: Cell, entrant: Entrant, images: ImageSet
) -> None:
    first = run_cell(cell, entrant, None, images)
    second = run_cell(replace(cell, batch=7), entrant, None, images)
    same = (first.images - second.images).abs().flatten(1).amax(1) < 1e-5  # type: ignore[operator]
    assert same.float().mean() > 0.9  # a gradient's sign may flip where it is 0 but for rounding
    assert (first.table["success"] == second.table["success"]).mean() > 0.9


@pytest.mark.parametrize(
    "change",
    [
        {"fingerprint": "other"},
        {"data_checksum": "other"},
        {"samples": 29},
        {"split": "validation"},
        {"attack": "fgsm", "options": {}},
        {"options": {"steps": 4}},
        {"threat": ThreatModel("Linf", 0.2)},
        {"threat": ThreatModel("L2", 0.1)},
        {"threat": ThreatModel("Linf", 0.1, knows="kde")},
        {"surrogate": "other"},
        {"seed": 1},
        {"batch": 8},
        {"device": "cuda"},
    ],
)
def test_everything_that_decides_is_in_the_key(cell: Cell, change: dict[str, object]) -> None:
    assert key_of(replace(cell, **change).description) != key_of(cell.description)  # type: ignore[arg-type]


def test_what_does_not_decide_is_not_in_the_key(cell: Cell) -> None:
    # margin is the default
    same = replace(cell, model="renamed", label="renamed", options={"steps": 3, "loss": "margin"})
    assert key_of(same.description) == key_of(cell.description)


@pytest.mark.parametrize(
    ("name", "message"),
    [("too-far", "norm at most 0.1, got 0.2"), ("nan", "finite"), ("in-place", "norm at most")],
)
@pytest.mark.usefixtures("rogue")
def test_rogue_attacks_are_caught(
    cell: Cell, entrant: Entrant, images: ImageSet, name: str, message: str
) -> None:
    with pytest.raises(Cheat, match=message):
        run_cell(replace(cell, attack=name, options={}), entrant, None, images)


@pytest.mark.usefixtures("rogue")
def test_an_attack_may_not_touch_the_weights(cell: Cell, images: ImageSet) -> None:
    with pytest.raises(Cheat, match="weights alone, but Saboteur changed them"):
        run_cell(
            replace(cell, attack="saboteur", options={}),
            entrant_from_checkpoint("digits-lgm-s0"),
            None,
            images,
        )


def test_a_transfer_attack_asks_the_surrogate_alone(cell: Cell, entrant: Entrant, images: ImageSet) -> None:
    surrogate = entrant_from_checkpoint("digits-surrogate-s0")
    transfer = replace(cell, threat=ThreatModel("Linf", 0.1, "transfer"), surrogate=surrogate.fingerprint)
    got = run_cell(transfer, entrant, surrogate, images)
    on_surrogate = run_cell(replace(cell, fingerprint=surrogate.fingerprint), surrogate, None, images)
    assert torch.equal(got.images, on_surrogate.images)  # type: ignore[arg-type]
    clean = entrant.classifier.outputs(images.images(slice(0, 30))).predicted
    assert got.table["clean_predicted"].tolist() == clean.tolist()  # judged on the victim


def test_what_a_transfer_attack_proposed_is_judged_on_another_victim(
    cell: Cell, entrant: Entrant, images: ImageSet
) -> None:
    surrogate, other = (
        entrant_from_checkpoint("digits-surrogate-s0"),
        entrant_from_checkpoint("digits-softmax-s0"),
    )
    on_lgm = replace(cell, threat=ThreatModel("Linf", 0.3, "transfer"), surrogate=surrogate.fingerprint)
    on_softmax = replace(on_lgm, model=other.name, fingerprint=other.fingerprint)
    proposed = run_cell(on_lgm, entrant, surrogate, images)
    anew = run_cell(on_softmax, other, surrogate, images)
    again = run_cell(on_softmax, other, surrogate, images, proposed=proposed)
    assert again.description == anew.description
    assert torch.equal(again.images, anew.images)  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(again.table, anew.table)
    assert (again.table["backwards"] == 3).all()
    assert again.table["predicted"].tolist() != proposed.table["predicted"].tolist()


def test_a_proposal_from_the_store_is_judged_like_any_other(
    cell: Cell, entrant: Entrant, images: ImageSet
) -> None:
    proposed = run_cell(cell, entrant, None, images)
    assert proposed.images is not None
    with pytest.raises(Cheat, match="norm at most"):
        run_cell(
            cell,
            entrant,
            None,
            images,
            proposed=replace(proposed, images=(proposed.images + 0.2).clamp(0, 1)),
        )


def test_bf16_is_part_of_the_description_and_float32_is_not(
    cell: Cell, entrant: Entrant, images: ImageSet
) -> None:
    assert "precision" not in cell.description
    rough = replace(cell, precision="bf16")
    assert rough.description == {**cell.description, "precision": "bf16"}
    assert "draws" not in cell.description
    assert replace(cell, draws=5).description == {**cell.description, "draws": 5}
    one, other = (run_cell(each, entrant, None, images) for each in (cell, rough))
    assert not torch.equal(one.images, other.images)
    # judged in float32: what both leave alone has the same logits
    assert (one.table["clean_predicted"] == other.table["clean_predicted"]).all()
    assert abs(one.table["success"].sum() - other.table["success"].sum()) <= 1


def test_a_detector_without_gradients_is_no_match_for_an_attack_that_climbs_it(entrant: Entrant) -> None:
    @dataclass(frozen=True)
    class Climber(Attack):
        reads_score = needs_score_gradients = True

        def passes(self) -> tuple[int, int]:
            return 1, 1

        def __call__(self, victim, x, y, threat, /, *, random) -> Tensor:
            return x

    def run(known: KnownDetector) -> None:
        x, y = torch.rand(2, 1, 8, 8), torch.tensor([0, 1])
        threat = ThreatModel("Linf", 0.1, knows="lid")
        random = SampleRandom.of("climb", torch.arange(2))
        propose(Climber(), entrant.classifier, x, y, threat, random, known)

    score = KnownDetector("lid", lambda outputs: outputs.logits.amax(1), threshold=0.0)
    run(score)
    with pytest.raises(
        ValueError, match="detector 'lid' to have gradients for attack 'Climber', got none; take an att"
    ):
        run(replace(score, differentiable=False))


def test_an_attack_that_begins_at_clean_images_is_given_the_validation_split(
    cell: Cell, entrant: Entrant, images: ImageSet
) -> None:
    held = load_data("digits", "validation")
    few = {"queries": 300, "probes": 20, "targets": 1}
    asked = replace(
        cell,
        attack="hopskipjump",
        options=few,
        samples=8,
        threat=ThreatModel("L2", float("inf"), "decision"),
        examples=held.checksum,
    )
    assert asked.description["examples"] == held.checksum
    assert "examples" not in cell.description
    found = run_cell(asked, entrant, None, images, validation=held)
    with Victim(entrant.classifier, 8, "decision", examples=Examples(held.images(), held.y)) as victim:
        first = images.head(8)
        random = SampleRandom.of("hopskipjump 0", first.ids)
        x_adv = HopSkipJump(**few)(victim, first.images(), first.y, asked.threat, random=random)
    assert torch.equal(found.images, x_adv)
    with pytest.raises(ValueError, match="expected examples of two classes"):
        run_cell(asked, entrant, None, images)
