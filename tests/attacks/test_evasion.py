"""Per-target evasion: the exact answer on two pixels, what is dropped, when it stops, and known breaks."""

import numpy as np
import pytest
import torch
from torch import Tensor

from gmbench.attacks import SampleRandom, ThreatModel, Victim
from gmbench.attacks.core.known import KnownDetector
from gmbench.attacks.evasion import LOOK, Evasion
from gmbench.detectors import DETECTORS
from gmbench.detectors.threshold import threshold_at_fpr
from gmbench.models import load_checkpoint

from ..stored_data import data

THREATS = [ThreatModel("Linf", 0.3, knows="centre"), ThreatModel("L2", 0.35, knows="centre")]


def attack(pair, evasion: Evasion, threat: ThreatModel) -> tuple[Tensor, Victim]:
    with Victim(pair.classifier, len(pair.x), known=pair.known) as victim:
        random = SampleRandom.of("evasion", torch.arange(len(pair.x)))
        return evasion(victim, pair.x, pair.y, threat, random=random), victim


@pytest.mark.parametrize("threat", THREATS, ids=str)
def test_score_is_the_lowest_that_there_is(pair, threat: ThreatModel) -> None:
    lowest = pair.lowest(threat)
    assert 3 < int(lowest.isfinite().sum()) < len(lowest)  # some can be made wrong, some cannot
    x_adv, _ = attack(pair, Evasion(restarts=1), threat)
    predicted, scores = pair.outputs(x_adv)
    assert torch.equal(predicted != pair.y, lowest.isfinite())
    wrong = predicted != pair.y
    assert (scores[wrong] <= lowest[wrong] + 0.1 * pair.known.scale).all()
    assert torch.equal(scores[wrong] <= pair.known.threshold, lowest[wrong] <= pair.known.threshold)


def test_far_targets_are_dropped_and_counted(pair) -> None:
    threat = ThreatModel("Linf", 0.1, knows="centre")
    all_of_them, none = (attack(pair, Evasion(restarts=2, near=near), threat)[1] for near in (1.0, 0.0))
    assert none.dropped.tolist() == [0] * len(pair.x)
    assert none.backwards.tolist() == [2 * 2 * 100] * len(pair.x)
    dropped = all_of_them.dropped
    assert 0 < int(dropped.sum()) < 2 * len(pair.x)
    assert torch.equal(all_of_them.backwards, dropped * LOOK + (2 - dropped) * 200)
    # a target that was dropped is one that nothing in the ball becomes: near = 1 asks for the class itself
    predicted, _ = pair.outputs(attack(pair, Evasion(near=1.0), threat)[0])
    assert torch.equal(predicted != pair.y, pair.lowest(threat).isfinite())


def test_images_that_are_wrong_and_accepted_are_asked_no_more(pair) -> None:
    x_adv, stopped = attack(pair, Evasion(stop=True), THREATS[0])
    further, spent = attack(pair, Evasion(), THREATS[0])
    (predicted, scores), (_, lower) = pair.outputs(x_adv), pair.outputs(further)
    done = (predicted != pair.y) & (scores <= pair.known.threshold)
    assert done.any()
    assert (stopped.backwards[done] < spent.backwards[done]).all()
    assert torch.equal(stopped.backwards[~done], spent.backwards[~done])
    assert (lower[done] <= scores[done]).all()
    assert (lower[done] < scores[done]).any()


def test_proposals_lie_on_the_grid(pair) -> None:
    x_adv, _ = attack(pair, Evasion(steps=7), ThreatModel("Linf", 0.1234, knows="centre"))
    torch.testing.assert_close(x_adv * 255, (x_adv * 255).round(), rtol=0, atol=1e-9)


def robust_with_detection(name: str, detector: str, eps: float, images: int, evasion: Evasion) -> float:
    """Measure the share of images that are right and accepted when clean, and right or rejected attacked."""
    classifier, card = load_checkpoint(name)
    train, validation, test = (data(card.data, split) for split in ("train", "validation", "test"))
    x, y = test.images(slice(0, images)), test.y[:images]
    ready = DETECTORS.build(detector)
    with torch.no_grad():
        ready.fit(classifier.outputs(train.images(slice(0, 5000))), train.y[:5000])
        clean = ready.score(classifier.outputs(validation.images(slice(0, 2000)))).double().numpy()
    threshold = threshold_at_fpr(clean, 0.05)
    known = KnownDetector(detector, ready.score, threshold, float(np.std(clean)))
    with Victim(classifier, images, known=known) as victim:
        random = SampleRandom.of("evasion", torch.arange(images))
        x_adv = evasion(victim, x, y, ThreatModel("Linf", eps, knows=detector), random=random)
    with torch.no_grad():
        before, after = classifier.outputs(x), classifier.outputs(x_adv)
        right = (before.predicted == y) & (ready.score(before) <= threshold)
        evaded = (after.predicted != y) & (ready.score(after) <= threshold)
    return float((right & ~evaded).double().mean())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "detector", "robust"),
    [
        ("digits-lgm-s0", "gaussian", 0.05),
        ("digits-lgm-s0", "kde", 0.04),
        ("digits-center-s0", "kde", 0.01),
        ("digits-softmax-s0", "gaussian", 0.01),
    ],
)
def test_digits_detectors_are_evaded(name: str, detector: str, robust: float) -> None:
    evasion = Evasion(restarts=1, stop=True)
    assert robust_with_detection(name, detector, 0.15, 200, evasion) <= robust


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "detector", "eps", "robust"),
    [
        ("mnist-lgm-s0", "kde", 0.2, 0.01),
        ("mnist-mcat-s0", "likelihood", 0.3, 0.05),
        ("mnist-mmc-s0", "likelihood", 0.3, 0.01),
    ],
)
def test_mnist_detectors_are_evaded(name: str, detector: str, eps: float, robust: float) -> None:
    evasion = Evasion(restarts=1, stop=True)
    assert robust_with_detection(name, detector, eps, 100, evasion) <= robust
