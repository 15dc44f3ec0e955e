"""Feature matching: the exact answer on two pixels without gradients of the score, and its guides."""

from dataclasses import replace

import pytest
import torch

from gmbench.attacks import SampleRandom, ThreatModel, Victim
from gmbench.attacks.core.known import KnownDetector
from gmbench.attacks.feature_matching import FeatureMatching, nearest


def test_needs_no_gradients_of_the_score(pair) -> None:
    threat = ThreatModel("L2", 0.35, knows="centre")
    known = replace(pair.known, differentiable=False)
    with Victim(pair.classifier, len(pair.x), known=known) as victim:
        random = SampleRandom.of("matching", torch.arange(len(pair.x)))
        x_adv = FeatureMatching(restarts=1)(victim, pair.x, pair.y, threat, random=random)
    lowest, (predicted, scores) = pair.lowest(threat), pair.outputs(x_adv)
    # the centre of the other class is its guide: where it draws an image across, it draws it all the way
    evadable = lowest <= pair.known.threshold
    assert 3 < int(evadable.sum()) < len(evadable)
    assert torch.equal((predicted != pair.y) & (scores <= pair.known.threshold), evadable)
    assert (scores[evadable] <= lowest[evadable] + 0.1 * pair.known.scale).all()


def test_guide_is_the_nearest_of_the_target() -> None:
    guides = torch.tensor([[0.0], [10.0]]), torch.tensor([[4.0], [6.0], [-9.0]])
    known = KnownDetector("", lambda outputs: outputs.logits[:, 0], 0.0, guides=guides)
    features, target = torch.tensor([[4.5], [5.5], [5.5]]), torch.tensor([0, 1, 0])
    assert nearest(known, features, target).flatten().tolist() == [0, 6, 10]


@pytest.mark.parametrize("guides", [(), (torch.ones(0, 1), torch.ones(0, 1))])
def test_without_any_guide_it_is_refused(guides: tuple[torch.Tensor, ...]) -> None:
    known = KnownDetector("odd", lambda outputs: outputs.logits[:, 0], 0.0, guides=guides)
    with pytest.raises(ValueError, match="expected guides for feature-matching, got none: odd"):
        nearest(known, torch.ones(1, 1), torch.tensor([1]))
