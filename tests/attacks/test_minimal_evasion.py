"""The smallest evasion: the exact answer on two pixels."""

import math

import pytest
import torch

from gmbench.attacks import SampleRandom, ThreatModel, Victim
from gmbench.attacks.minimal_evasion import MinimalEvasion


@pytest.mark.parametrize("eps", [math.inf, 0.45])
def test_size_is_the_smallest_that_there_is(pair, eps: float) -> None:
    with Victim(pair.classifier, len(pair.x), known=pair.known) as victim:
        random = SampleRandom.of("minimal", torch.arange(len(pair.x)))
        threat = ThreatModel("L2", eps, knows="centre")
        x_adv = MinimalEvasion()(victim, pair.x, pair.y, threat, random=random)
    predicted, scores = pair.outputs(x_adv)
    smallest, size = pair.smallest(), (x_adv - pair.x).norm(dim=1)
    near = smallest * 1.02 <= eps
    assert int(near.sum()) > 3
    assert (predicted != pair.y)[near].all()
    assert (scores[near] <= pair.known.threshold).all()
    assert (size[near] <= smallest[near] * 1.02).all()
    far = smallest > eps
    assert torch.equal(x_adv[far], pair.x[far])
