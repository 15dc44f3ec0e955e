"""Selective and orthogonal PGD: what they step along, and the exact answer on two pixels."""

import pytest
import torch
from torch import Tensor

from gmbench.attacks import SampleRandom, ThreatModel, Victim
from gmbench.attacks.core.losses import objective
from gmbench.attacks.core.stealth import acceptance
from gmbench.attacks.orthogonal_pgd import OrthogonalPGD, orthogonal
from gmbench.attacks.selective_pgd import SelectivePGD

THREAT = ThreatModel("L2", 0.35, knows="centre")


def attack(pair, attack: SelectivePGD) -> Tensor:
    with Victim(pair.classifier, len(pair.x), known=pair.known) as victim:
        random = SampleRandom.of("selective", torch.arange(len(pair.x)))
        return attack(victim, pair.x, pair.y, THREAT, random=random)


@pytest.mark.parametrize("targets", [0, 2])
def test_selective_pgd_finds_the_lowest_score(pair, targets: int) -> None:
    lowest = pair.lowest(THREAT)
    predicted, scores = pair.outputs(attack(pair, SelectivePGD(targets=targets)))
    wrong = predicted != pair.y
    assert not wrong[lowest.isinf()].any()
    close = scores[wrong] <= lowest[wrong] + 0.3 * pair.known.scale
    # without targets, the nearest class need not be the one with the lowest score
    assert torch.equal(wrong, lowest.isfinite()) and close.all() if targets else close.any()


def test_orthogonal_pgd_steps_along_no_component_of_the_other_gradient(pair) -> None:
    x = pair.x.roll(1, 0)  # other images, so that some are wrong
    with Victim(pair.classifier, len(x), known=pair.known) as victim:
        lead, to_wrong, _ = victim.gradient(x, objective("margin", pair.y))
        _, to_accepted, _ = victim.gradient(x, lambda outputs: acceptance(outputs, pair.known))
        climbed, _ = OrthogonalPGD().ascent(victim, pair.known, x, pair.y, None)
    wrong = lead > 0
    assert wrong.any()
    assert not wrong.all()
    for rows, along, against in ((wrong, to_accepted, to_wrong), (~wrong, to_wrong, to_accepted)):
        torch.testing.assert_close(
            (climbed * against).sum(1)[rows], torch.zeros_like(lead[rows]), rtol=0, atol=1e-12
        )
        assert ((climbed * along).sum(1)[rows] > 0).all()


def test_tiny_and_parallel_gradients_keep_a_direction() -> None:
    gradient = torch.tensor([[3e-30, 4e-30]] * 4)
    other = torch.tensor([[0.0, 2e-30], [0.0, 0.0], [6.0, 8.0], [-6.0, -8.0]])
    whole = [0.6, 0.8]
    torch.testing.assert_close(orthogonal(gradient, other), torch.tensor([[0.6, 0.0], whole, whole, whole]))


def test_orthogonal_pgd_evades_where_that_is_possible(pair) -> None:
    predicted, scores = pair.outputs(attack(pair, OrthogonalPGD(targets=2, restarts=4)))
    evaded = (predicted != pair.y) & (scores <= pair.known.threshold)
    assert evaded.any()
    assert not evaded[pair.lowest(THREAT) > pair.known.threshold].any()
