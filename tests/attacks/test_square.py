"""The Square attack: its start, its squares, its schedule and its cost."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gmbench.attacks import SampleRandom, ThreatModel, Victim
from gmbench.attacks.core.losses import margin
from gmbench.attacks.square import Square, _bump, _bumps, _moved, _square, _window
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
    delta = _square(x, x, 0.2, side, SampleRandom.of("", torch.arange(600))) - x
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
        candidate = _square(x, x_adv, 0.2, 2, SampleRandom.of("", torch.arange(400)))
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
    assert Square(queries).side(query, torch.empty(1, 1, 28, 28)) == side


@pytest.mark.parametrize(("query", "side"), [(10, 25), (11, 18), (2001, 3), (4001, 2), (4998, 2)])
def test_schedule_of_autoattack_is_not_scaled_to_the_queries(query: int, side: int) -> None:
    assert Square(5000, rescale=False).side(query, torch.empty(1, 1, 28, 28)) == side


def test_schedule_fits_narrow_images() -> None:
    assert Square(p_init=1.0).side(0, torch.empty(1, 1, 3, 40)) == 3


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


# L2


def eta(side: int) -> list[list[float]]:
    """The paper's equation 2, with its indices from 1: M(r, s) and the sum of 1 / (n + 1 - k)^2."""

    def hill(h1: int, h2: int) -> list[list[float]]:
        n = h1 // 2
        return [
            [
                sum(
                    1 / (n + 1 - k) ** 2
                    for k in range(n - max(abs(r - h1 // 2 - 1), abs(s - h2 // 2 - 1)) + 1)
                )
                for s in range(1, h2 + 1)
            ]
            for r in range(1, h1 + 1)
        ]

    left, right = hill(side, side // 2), hill(side, side - side // 2)
    return [[*a, *(-value for value in b)] for a, b in zip(left, right, strict=True)]


@pytest.mark.parametrize("side", [2, 3, 5, 8, 13])
def test_bump_is_the_papers(side: int) -> None:
    expected = torch.tensor(eta(side), dtype=torch.float64)
    bump = _bump(side, torch.float64)
    torch.testing.assert_close(bump, (expected / expected.norm()).T, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("size", "covered"), [(28, 25), (32, 30), (8, 8), (6, 6)])
def test_search_in_l2_starts_from_bumps_all_over_the_image(size: int, covered: int) -> None:
    x = torch.full((50, 2, size, size), 0.5, dtype=torch.float64)
    delta = _bumps(x, 0.7, SampleRandom.of("", torch.arange(50)))
    torch.testing.assert_close(delta.flatten(1).norm(dim=1), torch.full((50,), 0.7, dtype=torch.float64))
    changed = delta.abs().sum((0, 1)) > 0
    assert int(changed.any(1).sum()) == int(changed.any(0).sum()) == covered
    assert len(delta.sign().flatten(1).unique(dim=0)) == 50  # each image has its own signs


@pytest.mark.parametrize(("side", "odd"), [(1, 3), (4, 5), (6, 6)])
def test_change_in_l2_is_algorithm_3(side: int, odd: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.full((200, 3, 6, 6), 0.5, dtype=torch.float64)
    delta = 0.01 * torch.randn(x.shape, generator=generator, dtype=torch.float64)
    eps = 0.4
    found = _moved(x, x + delta, eps, side, SampleRandom.of("", torch.arange(200))) - x
    again = SampleRandom.of("", torch.arange(200))
    to, cleared = _window(x, odd, again).expand_as(x), _window(x, odd, again).expand_as(x)
    hill = torch.tensor(eta(odd), dtype=torch.float64)
    ups = 0
    for i in range(200):
        unused = eps**2 - delta[i].square().sum()
        for c in range(3):
            w1, w2 = to[i, c], cleared[i, c]
            available = (delta[i, c][w1 | w2].square().sum() + unused / 3).sqrt()
            old = delta[i, c][w1].view(odd, odd)
            candidates = []
            for turned in (hill, hill.T):
                for sign in (1, -1):
                    new = sign * turned / hill.norm() + old / old.norm()
                    candidates.append(new / new.norm() * available)
            got = found[i, c][w1].view(odd, odd)
            apart = [float((got - candidate).abs().max()) for candidate in candidates]
            assert min(apart) < 1e-9
            ups += apart.index(min(apart)) % 2 == 0
            assert (found[i, c][w2 & ~w1] == 0).all()
            torch.testing.assert_close(found[i, c][~w1 & ~w2], delta[i, c][~w1 & ~w2], rtol=0, atol=1e-12)
    assert 240 < ups < 360  # of 600, each channel draws its sign
    # what a change takes away, and what the box took before, goes into the square: the whole eps is used
    torch.testing.assert_close(found.flatten(1).norm(dim=1), torch.full((200,), eps, dtype=torch.float64))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "norm", "eps"),
    [("mnist-softmax-s0", "Linf", 0.15), ("mnist-softmax-s0", "L2", 2.0), ("mnist-lgm-s0", "L2", 2.0)],
)
def test_as_strong_as_the_authors(
    model: str, norm: str, eps: float, zoo: Callable[[str, int], tuple[Classifier, Tensor, Tensor]]
) -> None:
    """With 300 queries on 60 images, at most two images more are left than by their code."""
    theirs = pytest.importorskip(
        "pyautoattack.square", reason="needs pyautoattack: pip install 'gmbench[perf]'"
    )
    classifier, x, y = zoo(model, 60)
    with Victim(classifier, len(x), "query") as victim:
        random = SampleRandom.of("square", torch.arange(len(x)))
        ours = Square(queries=300)(victim, x, y, ThreatModel(norm, eps, access="query"), random=random)
    options = {"n_queries": 300, "n_restarts": 1, "p_init": 0.8, "resc_schedule": True, "seed": 0}
    peer = theirs.SquareAttack(classifier, norm=norm, eps=eps, device="cpu", **options)
    left = [int((classifier(x_adv).argmax(1) == y).sum()) for x_adv in (ours, peer.perturb(x, y))]
    assert left[0] <= left[1] + 2, left
