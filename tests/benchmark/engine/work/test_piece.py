"""Cells are cut between batches, and parts joined are the whole, byte for byte."""

from dataclasses import replace

import pytest

from gmbench.attacks import ThreatModel
from gmbench.benchmark.data.datasets import load_data
from gmbench.benchmark.data.image_set import ImageSet
from gmbench.benchmark.engine.cell import Cell, run_cell
from gmbench.benchmark.engine.defense import Entrant, entrant_from_checkpoint
from gmbench.benchmark.engine.entry import key_of, pack
from gmbench.benchmark.engine.work.piece import PART, joined, part_description, parts_of, work_of

STEPS = 4


@pytest.fixture(scope="module")
def images() -> ImageSet:
    return load_data("digits", "test")


@pytest.fixture(scope="module")
def entrant() -> Entrant:
    return entrant_from_checkpoint("digits-softmax-s0")


@pytest.fixture
def cell(entrant: Entrant, images: ImageSet) -> Cell:
    return Cell(
        model=entrant.name,
        fingerprint=entrant.fingerprint,
        data="digits",
        data_checksum=images.head(50).checksum,
        split="test",
        samples=50,
        label="pgd",
        attack="pgd",
        options={"steps": STEPS, "loss": "ce"},
        threat=ThreatModel("Linf", 0.1),
        surrogate=None,
        known=None,
        seed=3,
        batch=16,
        device="cpu",
    )


@pytest.mark.parametrize("samples", [1, 16, 17, 1000, 100_000])
@pytest.mark.parametrize("steps", [1, 100, 10_000])
def test_parts_are_whole_batches_and_cover_the_cell(cell: Cell, samples: int, steps: int) -> None:
    long = replace(cell, samples=samples, options={"steps": steps})
    parts = parts_of(long)
    assert [first for first, _ in parts] == [0, *(end for _, end in parts[:-1])]
    assert parts[-1][1] == samples
    assert all(first % long.batch == 0 for first, _ in parts)
    each = work_of(long) / samples
    for first, end in parts:
        assert (end - first) * each <= PART or end - first <= long.batch
    for first, end in parts[:-1]:  # no part could take a batch more
        assert (end - first + long.batch) * each > PART


def test_a_short_cell_and_clean_images_are_one_part(cell: Cell) -> None:
    assert parts_of(cell) == [(0, 50)]
    assert parts_of(replace(cell, attack=None, options={}, threat=None, samples=10_000)) == [(0, 10_000)]


def test_parts_joined_are_the_whole_byte_for_byte(cell: Cell, entrant: Entrant, images: ImageSet) -> None:
    whole = run_cell(cell, entrant, None, images)
    parts = [run_cell(cell, entrant, None, images, rows=rows) for rows in ((0, 32), (32, 48), (48, 50))]
    again = joined(cell, parts)
    assert again.description == whole.description
    assert again.facts.keys() == whole.facts.keys()
    same = replace(again, facts=whole.facts)
    assert pack(same) == pack(whole)


def test_parts_are_told_from_each_other_and_from_the_cell(cell: Cell) -> None:
    other = replace(cell, seed=4)
    told = [part_description(one, rows) for one in (cell, other) for rows in ((0, 16), (16, 32))]
    assert len({key_of(one) for one in (*told, cell.description)}) == 5
