"""The client's loop: whoever computes, in whatever order and however badly, the store ends up the same."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gmbench.attacks.fgsm import FGSM
from gmbench.benchmark.engine.entry import HEAD, Entry, Packed, key_of, pack, unpack
from gmbench.benchmark.engine.plan import Plan, make_plan
from gmbench.benchmark.engine.run import TRIES, Summary, run_plan
from gmbench.benchmark.engine.store import Store
from gmbench.benchmark.engine.suite import load_suite
from gmbench.benchmark.engine.work import piece as pieces
from gmbench.benchmark.engine.work.crews import in_process
from gmbench.benchmark.engine.work.piece import Attack, Done, Piece, Supply
from gmbench.detectors.msp import MSP
from gmbench.models import Outputs

SUITE = """
name = "looped-v1"
data = "digits"
samples = 40
batch = 16
models = ["digits-lgm-s0", "digits-softmax-s0"]
surrogate = ["digits-surrogate-s0"]
detectors = ["msp", "likelihood"]

[[attacks]]
label = "fgsm"
attack = "fgsm"
eps = [0.1, 0.3]

[[attacks]]
label = "knows"
attack = "selective-pgd"
options = { steps = 2 }
eps = [0.1]
knows = "msp"

[[attacks]]
label = "transfer"
attack = "fgsm"
eps = [0.1]
access = "transfer"
"""

Mend = Callable[[Piece, Done], Done]


class Crowd:
    """A crew of several, in this process: the last to be asked is the first to be done.

    Args:
        plan: Whose pieces.
        mend: Changes what comes back.
        room: How many pieces it takes at once.
    """

    def __init__(self, plan: Plan, mend: Mend = lambda _, done: done, room: int = 3) -> None:
        self._here, self._mend, self._most = in_process(plan), mend, room
        self._waiting: list[tuple[Piece, Supply]] = []
        self.asked: list[Piece] = []

    @property
    def room(self) -> int:
        return self._most - len(self._waiting)

    def submit(self, piece: Piece, supply: Supply) -> None:
        self.asked.append(piece)
        self._waiting.append((piece, supply))

    def finished(self, report: Callable[[float], None]) -> tuple[Piece, Done]:
        with self._here as here:
            here.submit(*self._waiting.pop())
            piece, done = here.finished(report)
        return piece, self._mend(piece, done)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    path = tmp_path_factory.mktemp("suite") / "suite.toml"
    path.write_text(SUITE, encoding="utf-8")
    return make_plan(load_suite(str(path)))


@pytest.fixture(scope="module")
def expected(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """What one after the other gives."""
    store = Store(tmp_path_factory.mktemp("expected"))
    with in_process(plan) as crew:
        summary = run_plan(plan, store, crew)
    assert summary == Summary(12, 0)
    return contents(store)


def contents(store: Store) -> dict[str, dict[str, bytes]]:
    """Give the files of all entries by key, without their heads, which tell how long they took."""
    return {
        key: {name: file for name, file in store.read_packed(key).files.items() if name != HEAD}
        for key in store.keys()  # noqa: SIM118 - no mapping
    }


def cell_titles(asked: Sequence[Piece]) -> list[str]:
    return [str(one) for one in asked if isinstance(one, Attack)]


def test_the_order_in_which_pieces_are_done_changes_nothing(
    plan: Plan, tmp_path: Path, expected: dict[str, dict[str, bytes]]
) -> None:
    crew = Crowd(plan)
    assert run_plan(plan, Store(tmp_path), crew) == Summary(12, 0)
    assert contents(Store(tmp_path)) == expected
    assert len(set(cell_titles(crew.asked))) == len(cell_titles(crew.asked)) == 12
    again = Crowd(plan)
    assert run_plan(plan, Store(tmp_path), again) == Summary(0, 12)
    assert again.asked == []


def spoiled(packed: Packed) -> Packed:
    return Packed(
        {name: file if name == HEAD else file[:-8] + bytes(8) for name, file in packed.files.items()}
    )


def of_other_images(entry: Entry) -> Entry:
    return replace(entry, table=entry.table.assign(id=entry.table["id"] + 1))


def without_images(entry: Entry) -> Entry:
    return replace(entry, images=None)


def of_fewer_images(entry: Entry) -> Entry:
    images = None if entry.images is None else entry.images[:8]
    return replace(entry, table=entry.table[:8], images=images)


def of_another_cell(entry: Entry) -> Entry:
    return replace(entry, description={**entry.description, "seed": 99})


WRONG = [spoiled, of_other_images, without_images, of_fewer_images, of_another_cell]


def made_wrong(packed: Packed, key: str, how: Callable[[Any], Any]) -> dict[str, Packed]:
    if how is spoiled:
        return {key: spoiled(packed)}
    entry = how(unpack(packed, key))
    return {key_of(entry.description): pack(entry)}


@pytest.mark.parametrize("how", WRONG)
@pytest.mark.parametrize("times", [1, TRIES])
def test_what_comes_back_wrong_is_not_stored_but_asked_for_again(
    plan: Plan,
    tmp_path: Path,
    expected: dict[str, dict[str, bytes]],
    how: Callable[[Any], Any],
    times: int,
) -> None:
    few = replace(plan, jobs=(replace(plan.jobs[1], cells=plan.jobs[1].cells[2:4], detectors={}),))
    [cell, other] = few.jobs[0].cells
    key, wrong = key_of(cell.description), []

    def mend(piece: Piece, done: Done) -> Done:
        if key not in done.entries or len(wrong) == times:
            return done
        wrong.append(piece)
        return replace(done, entries=made_wrong(done.entries[key], key, how))

    crew, store = Crowd(few, mend), Store(tmp_path)
    summary = run_plan(few, store, crew)
    assert cell_titles(crew.asked).count(str(cell)) == min(times + 1, TRIES)
    assert store.sound(other.description)
    if times < TRIES:
        assert summary == Summary(2, 0)
        assert contents(store)[key] == expected[key]
    else:
        assert summary.made == 1
        [failure] = summary.failures
        assert (failure.model, failure.what) == (cell.model, cell.title)
        assert failure.why.startswith(f"came back damaged {TRIES} times: ")
        assert not store.has(cell.description)


def test_scores_of_something_else_are_refused(plan: Plan, tmp_path: Path) -> None:
    few = replace(plan, jobs=(replace(plan.jobs[0], cells=plan.jobs[0].cells[2:3]),))
    [cell] = few.jobs[0].cells
    seen = []

    def mend(_: Piece, done: Done) -> Done:
        for key, packed in done.entries.items():
            entry = unpack(packed, key)
            if entry.description.get("of") == key_of(cell.description) and not seen:
                seen.append(key)
                other = {**entry.description["scores"], "msp": {"detector": "another"}}
                wrong = replace(entry, description={**entry.description, "scores": other})
                return replace(
                    done,
                    entries={one: pack(wrong) if one == key else file for one, file in done.entries.items()}
                    | {key_of(wrong.description): pack(wrong)},
                )
        return done

    crew = Crowd(few, mend)
    run_plan(few, Store(tmp_path), crew)
    assert seen
    assert cell_titles(crew.asked) == [str(cell)] * 2


def test_a_long_cell_in_parts_is_the_whole_and_no_part_is_made_twice(
    plan: Plan, tmp_path: Path, expected: dict[str, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "PART", 50)
    store, before = Store(tmp_path), Crowd(plan, room=1)
    finished: list[Piece] = []

    def interrupted(piece: Piece, done: Done) -> Done:
        finished.append(piece)
        if sum(isinstance(one, Attack) and one.rows is not None for one in finished) == 5:
            raise KeyboardInterrupt
        return done

    before = Crowd(plan, interrupted, room=1)
    with pytest.raises(KeyboardInterrupt):
        run_plan(plan, store, before)
    kept = store.keys()
    after = Crowd(plan)
    summary = run_plan(plan, store, after)
    assert summary.made + summary.found == 12
    made = [(one.cell, one.rows) for one in (*finished[:-1], *after.asked) if isinstance(one, Attack)]
    assert len({(str(cell), rows) for cell, rows in made}) == len(made)
    attacked = {rows for cell, rows in made if cell.threat is not None}
    assert attacked == {(0, 16), (16, 32), (32, 40)}
    assert contents(store) == expected  # the parts are gone
    assert not set(kept) <= set(store.keys())


def test_what_another_run_makes_meanwhile_is_not_made_again(
    plan: Plan, tmp_path: Path, expected: dict[str, dict[str, bytes]]
) -> None:
    store = Store(tmp_path)
    meanwhile: list[Piece] = []

    def other(piece: Piece, done: Done) -> Done:
        if isinstance(piece, Attack) and not meanwhile:
            meanwhile.append(piece)
            with in_process(plan) as here:
                run_plan(plan, store, here)
        return done

    crew = Crowd(plan, other)
    summary = run_plan(plan, store, crew)
    assert summary.made + summary.found == 12
    assert summary.found >= 9
    assert contents(store) == expected


def test_a_transfer_attack_that_fails_on_one_is_proposed_by_the_next(
    plan: Plan, tmp_path: Path, expected: dict[str, dict[str, bytes]]
) -> None:
    failed = []

    def mend(piece: Piece, done: Done) -> Done:
        if isinstance(piece, Attack) and piece.cell.surrogate and not failed:
            failed.append(piece)
            return Done(why="RuntimeError: no luck")
        return done

    crew = Crowd(plan, mend)
    summary = run_plan(plan, Store(tmp_path), crew)
    asked = [one for one in crew.asked if isinstance(one, Attack) and one.cell.surrogate]
    assert [one.proposed for one in asked] == [None, None]
    assert [str(one) for one in summary.failures] == [f"{failed[0]}: RuntimeError: no luck"]
    found = contents(Store(tmp_path))
    assert found == {key: expected[key] for key in found}


def test_failures_come_in_the_order_of_the_plan_and_a_detector_fails_once(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> Tensor:
        raise RuntimeError("out of luck")

    def broken(_: MSP, outputs: Outputs) -> Tensor:
        return torch.full((len(outputs.logits),), torch.nan)

    monkeypatch.setattr(FGSM, "__call__", failing)
    monkeypatch.setattr(MSP, "score", broken)
    told = [run_plan(plan, Store(tmp_path / str(room)), Crowd(plan, room=room)).failures for room in (1, 5)]
    whats, others = ([f"{one.model} / {one.what}" for one in failures] for failures in told)
    assert whats == others
    for job in plan.jobs:
        own = [what for what in whats if what.startswith(job.entrant.name)]
        attacked = [str(cell) for cell in job.cells if cell.threat is not None]
        assert own == [*attacked, f"{job.entrant.name} / detector msp"]


def test_a_cell_that_takes_too_long_is_given_up(plan: Plan, tmp_path: Path) -> None:
    few = replace(plan, jobs=(replace(plan.jobs[1], cells=plan.jobs[1].cells[:3], detectors={}),))
    summary = run_plan(few, Store(tmp_path), Crowd(few), limit=1e-9)
    assert summary.made == 0
    assert len(summary.failures) == 3
    assert {one.why for one in summary.failures} == {
        "LateCell: expected a cell to take at most 1e-09 s; give it longer: --cell-limit"
    }
    assert run_plan(few, Store(tmp_path), Crowd(few), limit=1000).made == 3
