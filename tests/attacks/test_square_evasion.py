"""Square attack on a detector: near the exact answer on two pixels, by queries alone."""

import pytest
import torch

from gmbench.attacks import SampleRandom, ThreatModel, Victim
from gmbench.attacks.core.known import KnownDetector
from gmbench.attacks.square_evasion import SquareEvasion

THREAT = ThreatModel("Linf", 0.3, "query", knows="centre")


def attack(pair, square: SquareEvasion, known: KnownDetector | None = None) -> tuple[torch.Tensor, Victim]:
    x = pair.x.view(-1, 1, 1, 2)
    with Victim(pair.flat, len(x), "query", known or pair.known) as victim:
        random = SampleRandom.of("square", torch.arange(len(x)))
        return square(victim, x, pair.y, THREAT, random=random).flatten(1), victim


@pytest.mark.parametrize("differentiable", [True, False])
def test_finds_every_image_that_a_corner_of_the_ball_evades(pair, differentiable: bool) -> None:
    known = KnownDetector("centre", pair.known.score, pair.known.threshold, 1.0, differentiable)
    x_adv, _ = attack(pair, SquareEvasion(queries=200), known)
    corners = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    levels = (76 * corners.double() / 255).unsqueeze(1)  # .3 is 76.5 levels
    predicted, scores = pair.outputs((pair.x + levels).clamp(0, 1).flatten(0, 1))
    wrong = predicted.view(4, -1) != pair.y
    lowest = torch.where(wrong, scores.view(4, -1), torch.inf).amin(0)
    found, score = pair.outputs(x_adv)
    assert 3 < int(lowest.isfinite().sum()) < len(lowest)
    assert torch.equal(found != pair.y, lowest.isfinite())
    torch.testing.assert_close(score[found != pair.y], lowest[lowest.isfinite()])


def test_images_that_are_wrong_and_accepted_are_asked_no_more(pair) -> None:
    x_adv, victim = attack(pair, SquareEvasion(queries=50, stop=True))
    predicted, scores = pair.outputs(x_adv)
    done = (predicted != pair.y) & (scores <= pair.known.threshold)
    assert done.any()
    assert (victim.forwards[done] < 50).all()
    assert victim.forwards[~done].tolist() == [50] * int((~done).sum())
    assert not victim.backwards.any()
