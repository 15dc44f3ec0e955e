"""The Square attack: its start, its squares, its schedule and its cost."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gmbench.attacks import SampleRandom, ThreatModel, Victim
from gmbench.attacks.core.losses import margin
from gmbench.attacks.square import Square, _square
from gmbench.models import Classifier

Build = Callable[..., tuple[Classifier, Tensor, Tensor]]

THREAT = ThreatModel("Linf", 0.2, access="query")


def attack(
    square: Square, classifier: Classifier, x: Tensor, y: Tensor, eps: float = 0.2
) -> tuple[Tensor, Victim]:
    with Victim(classifier, len(x), "query") as victim:
        random = SampleRandom.of("square", torch.arange(len(x)))
        return square(victim, x, y, ThreatModel("Linf", eps, access="query"), random=random), victim


def margins(classifier: Classifier, x: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        return margin(classifier.outputs(x), y)


def test_first_query_is_vertical_stripes(conv: Build) -> None:
    classifier, x, y = conv(8, 3)
    x = x * 0.5 + 0.25
    x_adv, victim = attack(Square(queries=1), classifier, x, y)
    assert victim.forwards.tolist() == [1] * 8
    delta = x_adv - x
    torch.testing.assert_close(delta.abs(), torch.full_like(x, 0.2))
    stripes = delta.sign()
    assert torch.equal(stripes, stripes[:, :, :1].expand_as(stripes))
    assert len(stripes[:, :, 0].flatten(1).unique(dim=0)) == 8  # each image has its own
    assert stripes.mean().abs() < 0.3


@pytest.mark.parametrize(("height", "width", "side"), [(6, 6, 2), (5, 9, 4), (4, 4, 4), (7, 7, 1)])
def test_square_is_one_square_with_one_sign_a_channel(height: int, width: int, side: int) -> None:
    x = torch.full((600, 3, height, width), 0.5)
    delta = _square(x, x, THREAT, side, SampleRandom.of("", torch.arange(600))) - x
    inside = delta != 0
    assert (inside.sum((2, 3)) == side**2).all()
    assert (inside.any(3).sum(2) == side).all()
    assert (inside.any(2).sum(2) == side).all()
    torch.testing.assert_close(delta.sum((2, 3)).abs(), torch.full((600, 3), 0.2 * side**2))
    corners = inside[:, 0].flatten(1).to(torch.int64).argmax(1)
    places = (height - side + 1) * (width - side + 1)
    counts = torch.bincount(corners).double()
    counts = counts[counts > 0]
    assert len(counts) == places  # the last row and column included
    assert ((counts - 600 / places).square() / (600 / places)).sum() < places + 4 * (2 * places) ** 0.5 + 1


@pytest.mark.parametrize("channels", [1, 3])
def test_square_always_changes_something(channels: int) -> None:
    black = torch.zeros(400, channels, 5, 5)
    for x, raised in ((black, 0.0), (black, 0.2), (1 - black, 0.0), (black + 0.5, 0.2), (black + 0.5, -0.2)):
        x_adv = (x + raised).clamp(0, 1)
        candidate = _square(x, x_adv, THREAT, 2, SampleRandom.of("", torch.arange(400)))
        assert (candidate != x_adv).flatten(1).any(1).all()
        assert (candidate - x).abs().amax() <= 0.2 + 1e-6


@pytest.mark.parametrize(
    ("queries", "query", "side"),
    # sqrt(.8 * 784 / 2^n) for 28 x 28 pixels, n as in the authors' schedule
    [
        (10_000, query, side)
        for query, side in (
            (0, 25),
            (10, 25),
            (11, 18),
            (51, 13),
            (201, 9),
            (501, 6),
            (1001, 4),
            (2001, 3),
            (4001, 2),
        )
    ]
    + [
        (10_000, 6001, 2),
        (10_000, 8001, 1),
        (10_000, 9998, 1),
        (1000, 1, 25),
        (1000, 2, 18),
        (1000, 21, 9),
        (100, 1, 13),
    ],
)
def test_schedule_is_the_authors(queries: int, query: int, side: int) -> None:
    assert Square(queries)._side(query, torch.empty(1, 1, 28, 28)) == side


def test_schedule_fits_narrow_images() -> None:
    assert Square(p_init=1.0)._side(0, torch.empty(1, 1, 3, 40)) == 3


def test_fooled_images_are_asked_no_more(conv: Build) -> None:
    classifier, x, y = conv(12)
    x_adv, victim = attack(Square(queries=300), classifier, x, y)
    fooled = classifier(x_adv).argmax(1) != y
    assert fooled.any()
    assert (victim.forwards[fooled] < 300).all()
    assert (victim.forwards[~fooled] == 300).all()
    assert len(set(victim.forwards.tolist())) > 3


def test_without_stopping_the_margin_grows_on(conv: Build) -> None:
    classifier, x, y = conv(6)
    stopped, _ = attack(Square(queries=300), classifier, x, y, 0.3)
    further, victim = attack(Square(queries=300, stop=False), classifier, x, y, 0.3)
    assert victim.forwards.tolist() == [300] * 6
    assert (margins(classifier, stopped, y) > 0).all()
    assert (margins(classifier, further, y) > margins(classifier, stopped, y) + 10).all()


def test_search_only_improves_on_its_start(conv: Build) -> None:
    classifier, x, y = conv(8)
    start, _ = attack(Square(queries=1), classifier, x, y, 0.1)
    found, _ = attack(Square(queries=60), classifier, x, y, 0.1)
    assert (margins(classifier, found, y) > margins(classifier, start, y)).all()
    assert (classifier(found).argmax(1) == y).all()


def test_flat_images_are_refused() -> None:
    x = torch.zeros(2, 36)
    victim = Victim(Classifier(nn.Flatten(), nn.Linear(36, 2)), 2)
    with pytest.raises(ValueError, match=r"expected images to be \(B, C, H, W\) for square, got \(2, 36\)"):
        Square()(
            victim, x, torch.zeros(2, dtype=torch.int64), THREAT, random=SampleRandom.of("", torch.arange(2))
        )
