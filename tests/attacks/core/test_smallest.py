"""The keeper of the smallest perturbations against what it is shown, and ties that are no success."""

import math

import pytest
import torch
from torch import Tensor

from gmbench.attacks.core.norms import NORMS
from gmbench.attacks.core.smallest import Smallest, annealed, leads, of_length
from gmbench.models import Outputs


def outputs(*leading: float) -> Outputs:
    """Logits of two classes: how far class 1 leads class 0."""
    logits = torch.tensor([[0.0, lead] for lead in leading], dtype=torch.float64)
    return Outputs(logits, logits, logits)


def test_the_nearest_image_that_fools_is_kept() -> None:
    x = torch.zeros(3, 1, 1, 2, dtype=torch.float64)
    best = Smallest(x, torch.tensor([0, 0, 0]), NORMS["L2"])

    def show(rows: list[int], sizes: list[float], leading: list[float]) -> None:
        x_adv = torch.tensor(sizes, dtype=torch.float64).view(-1, 1, 1, 1).expand(-1, 1, 1, 2) / math.sqrt(2)
        best.update(x_adv, outputs(*leading), torch.tensor(rows))

    show([0, 1, 2], [0.5, 0.5, 0.5], [1.0, 1.0, -1.0])
    show([1, 2], [0.6, 0.1], [1.0, -1.0])  # farther away; nearer, and right
    show([0], [0.4], [1.0])
    assert best.size.tolist() == pytest.approx([0.4, 0.5, math.inf])
    sizes = NORMS["L2"].size(best.within(math.inf))
    assert sizes.tolist() == pytest.approx([0.4, 0.5, 0.0])
    assert NORMS["L2"].size(best.within(0.45)).tolist() == pytest.approx([0.4, 0.0, 0.0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_lead_within_rounding_is_a_tie(dtype: torch.dtype) -> None:
    def told(lead: float) -> list[bool]:
        logits = torch.tensor([[-2e6, -2e6 + lead, -3e6]], dtype=dtype)
        found = Outputs(logits, logits, logits)
        zero, one = torch.tensor([0]), torch.tensor([1])
        return [*leads(found, zero).tolist(), *leads(found, zero, one).tolist()]

    ulp = 2e6 * torch.finfo(dtype).eps
    assert told(0.0) == told(4 * ulp) == [False, False]
    assert told(40 * ulp) == [True, True]


def test_the_pace_falls_along_half_a_cosine() -> None:
    assert [annealed(1, 0.01, done) for done in (0, 0.5, 1)] == pytest.approx([1, 0.505, 0.01])


def test_a_perturbation_gets_its_length_and_nothing_stays_nothing() -> None:
    delta: Tensor = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    assert of_length(delta, torch.tensor([10.0, 1.0])).tolist() == [[6.0, 8.0], [0.0, 0.0]]
