"""What attacks that know the detector share: which image is kept, what is climbed, who is refused."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gmbench.attacks import AccessError, Victim
from gmbench.attacks.core.known import KnownDetector
from gmbench.attacks.core.stealth import Stealthiest, acceptance, known_detector, wrong_then_accepted
from gmbench.attacks.evasion import Evasion
from gmbench.benchmark.contracts.problems import build_conv
from gmbench.detectors import DETECTORS
from gmbench.models import Classifier, Outputs

KNOWN = KnownDetector("first", lambda outputs: outputs.features[:, 0], threshold=3.0, scale=2.0)


def told(logits: list[list[float]], scores: list[float]) -> Outputs:
    z, score = torch.tensor(logits), torch.tensor(scores)
    return Outputs(torch.zeros(len(z), 1), z, z, score=score)


def test_wrong_comes_before_low_and_low_before_high() -> None:
    x, y = torch.zeros(1, 1), torch.tensor([0])
    kept = Stealthiest(x, y)
    offers = (
        # logits, score, taken
        ([1.0, 0.0], 9.0, True),  # anything before the clean image
        ([2.0, 0.0], 1.0, False),  # right, and further from wrong: no score helps
        ([1.0, 0.5], 99.0, True),  # closer to wrong
        ([0.0, 1.0], 50.0, True),  # wrong
        ([0.0, 9.0], 51.0, False),  # surer, but more suspicious
        ([1.0, 0.9], 0.0, False),  # right again
        ([0.0, 0.1], 49.0, True),
        ([0.0, 0.1], float("nan"), False),
        ([0.0, 0.1], 2.0, True),
    )
    for number, (logits, score, taken) in enumerate(offers):
        candidate = torch.full((1, 1), float(number))
        before = kept.x.clone()
        assert kept.update(candidate, told([logits], [score])).tolist() == [taken]
        assert torch.equal(kept.x, candidate if taken else before)
        assert kept.accepted(KNOWN).tolist() == [number == 8]
    assert kept.score.tolist() == [2.0]


def test_rows_name_their_images() -> None:
    kept = Stealthiest(torch.zeros(3, 1), torch.tensor([0, 0, 0]))
    kept.update(
        torch.tensor([[1.0], [2.0]]), told([[0.0, 1.0], [1.0, 0.0]], [4.0, 4.0]), torch.tensor([2, 0])
    )
    assert kept.x.flatten().tolist() == [2, 0, 1]
    assert kept.wrong.tolist() == [False, False, True]


def test_climbs_the_class_first_then_the_acceptance() -> None:
    outputs = told([[5.0, 1.0, 0.0], [0.0, 1.0, -3.0], [0.0, 9.0, 8.0]], [7.0, 7.0, 1.0])
    y, target = torch.tensor([0, 0, 0]), torch.tensor([1, 2, 1])
    assert wrong_then_accepted(KNOWN, y)(outputs).tolist() == [1 - 5, (3 - 7) / 2, (3 - 1) / 2]
    assert wrong_then_accepted(KNOWN, y, target)(outputs).tolist() == [1 - 5, -3 - 1, (3 - 1) / 2]
    assert acceptance(outputs, KNOWN).tolist() == [-2, -2, 1]


@pytest.mark.parametrize(
    ("access", "known", "words"),
    [
        ("query", KNOWN, "expected access to be white-box for Evasion.*got query"),
        ("white-box", None, "expected a threat model that knows a detector.*got none"),
    ],
)
def test_refusals_say_why(access: str, known: KnownDetector | None, words: str) -> None:
    victim = Victim(Classifier(nn.Flatten(), nn.Linear(1, 2)), 1, access, known)
    with pytest.raises(AccessError, match=words):
        known_detector(victim, Evasion())


def fitted(name: str) -> tuple[Classifier, Callable[[Outputs], Tensor], Tensor]:
    """Fit a detector to a convolutional model's features of images around its four classes."""
    classifier, x, y = build_conv(4)
    generator = torch.Generator().manual_seed(0)
    many = (x.repeat(15, 1, 1, 1) + 0.05 * torch.randn(60, *x.shape[1:], generator=generator)).clamp(0, 1)
    detector = DETECTORS.build(name).bind(classifier)
    with torch.no_grad():
        detector.fit(classifier.outputs(many), y.repeat(15))
    return classifier, detector.score, x


@pytest.mark.parametrize(
    "name", [name for name in DETECTORS if getattr(DETECTORS[name], "differentiable", False)]
)
def test_gradients_of_the_score_are_those_of_finite_differences(name: str) -> None:
    classifier, score, x = fitted(name)
    generator = torch.Generator().manual_seed(1)
    x = (x + 0.1 * torch.randn(x.shape, generator=generator)).clamp(0, 1)
    with Victim(classifier, len(x), known=KnownDetector(name, score, 0.0)) as victim:
        _, gradient, _ = victim.gradient(x, score_alone)
        for _ in range(3):
            way = torch.randn(x.shape, generator=generator, dtype=x.dtype)
            ahead, behind = (score_alone(victim.outputs(x + step * way)) for step in (1e-6, -1e-6))
            slope = (gradient * way).flatten(1).sum(1)
            torch.testing.assert_close((ahead - behind) / 2e-6, slope, rtol=1e-4, atol=1e-5)
            assert (slope != 0).all()


def score_alone(outputs: Outputs) -> Any:
    return outputs.score
