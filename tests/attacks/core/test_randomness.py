"""Random numbers that belong to a sample.

The published generator, the right distributions, nothing from the neighbours.
"""

import math

import pytest
import torch

from gmbench.attacks import SampleRandom

SPLITMIX = (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F)
"""The first outputs of SplitMix64 for the seed 0, as its public test vectors have them."""


def streams(count: int) -> SampleRandom:
    return SampleRandom.of("test", torch.arange(count))


@pytest.mark.parametrize(("dtype", "bits"), [(torch.float64, 53), (torch.float32, 24)])
def test_numbers_are_those_of_splitmix(dtype: torch.dtype, bits: int) -> None:
    drawn = SampleRandom(torch.zeros(2, dtype=torch.int64)).uniform(3, dtype=dtype)
    assert drawn.dtype == dtype
    assert drawn.double().tolist() == [[(word >> (64 - bits)) / 2**bits for word in SPLITMIX]] * 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_uniform_numbers_are_uniform(dtype: torch.dtype) -> None:
    drawn = streams(200).uniform(500, dtype=dtype).double()
    assert drawn.amin() >= 0
    assert drawn.amax() < 1
    assert kolmogorov(drawn.flatten()) < 1.95
    assert correlation(drawn[:-1], drawn[1:]) < 4 / math.sqrt(drawn.numel())  # neighbouring ids
    assert correlation(drawn[:, :-1], drawn[:, 1:]) < 4 / math.sqrt(drawn.numel())  # successive numbers


def test_normal_numbers_are_normal() -> None:
    drawn = streams(200).normal(500, dtype=torch.float64).flatten()
    assert kolmogorov(torch.special.ndtr(drawn)) < 1.95


def test_integers_are_equally_likely() -> None:
    drawn = streams(1000).integers(7, 70)
    assert drawn.dtype == torch.int64
    counts = torch.bincount(drawn.flatten(), minlength=7).double()
    assert len(counts) == 7
    assert ((counts - 10_000).square() / 10_000).sum() < 22.5  # chi squared, 6 degrees of freedom, p = .001


def kolmogorov(drawn: torch.Tensor) -> float:
    """sqrt(n) times the largest distance from the uniform distribution; above 1.95 with probability .001."""
    n = len(drawn)
    return float((drawn.sort().values - torch.arange(0.5, n) / n).abs().amax() * math.sqrt(n))


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    return abs(float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]))


def test_neighbours_order_and_batch_do_not_matter() -> None:
    ids = torch.tensor([4, 900, 17, 3])
    whole = SampleRandom.of("test", ids).normal(2, 5)
    for order in ([0, 1, 2, 3], [3, 1, 0, 2], [2]):
        assert torch.equal(SampleRandom.of("test", ids[order]).normal(2, 5), whole[order])


def test_selected_streams_go_on_where_they_stood() -> None:
    random = streams(4)
    random.uniform(3)
    rows = torch.tensor([2, 0])
    selected = random[rows]
    assert len(selected) == 2
    assert torch.equal(selected.uniform(6), random.uniform(6)[rows])


def test_pieces_are_the_whole() -> None:
    random = streams(3)
    assert torch.equal(torch.cat([random.uniform(2), random.uniform(3)], 1), streams(3).uniform(5))


def test_uses_and_samples_differ() -> None:
    ids = torch.arange(1000)
    words = torch.cat(
        [SampleRandom.of(use, ids).uniform(dtype=torch.float64) for use in ("cell 1", "cell 2")]
    )
    assert len(words.unique()) == 2000


def test_shapes() -> None:
    assert streams(3).uniform().shape == (3,)
    assert streams(3).integers(2, 4, 1, 5).shape == (3, 4, 1, 5)


def test_seed_of_a_batch_is_a_valid_one_and_moves_on() -> None:
    random = streams(3)
    first, second = random.seed(), random.seed()
    assert first == streams(3).seed()
    assert len({first, second, streams(2).seed()}) == 3
    assert all(0 <= seed < 2**63 for seed in (first, second))
    torch.Generator().manual_seed(first)
