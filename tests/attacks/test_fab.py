"""FAB against exact answers: its projection, the linear model; and beside other libraries' on the zoo's."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gmbench.attacks import SampleRandom, ThreatModel, Victim
from gmbench.attacks.core.norms import NORMS
from gmbench.attacks.fab import FAB, _onto_plane
from gmbench.models import Classifier

from .peers import attack, measured

Build = Callable[..., tuple[Classifier, Tensor, Tensor]]
EACH = pytest.mark.parametrize("norm", ["Linf", "L2"])
DISTANCE = {"Linf": 0.04, "L2": 0.2}


def shortest(x: Tensor, gradient: Tensor, rise: Tensor, norm: str) -> Tensor:
    """Find the length at which delta = the norm's direction times it, clipped to the box, gives the rise.

    By bisection; infinite where the box has no such delta.
    """
    direction = gradient.sign() if norm == "Linf" else gradient
    direction = direction * rise.sign().unsqueeze(1)
    low, high = torch.zeros_like(rise), torch.full_like(rise, 1e6)
    for _ in range(200):
        middle = (low + high) / 2
        delta = (x + middle.unsqueeze(1) * direction).clamp(0, 1) - x
        enough = (gradient * delta).sum(1).abs() >= rise.abs()
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    delta = (x + high.unsqueeze(1) * direction).clamp(0, 1) - x
    return torch.where(high < 9e5, NORMS[norm].size(delta), math.inf)


@EACH
@pytest.mark.parametrize("scale", [1.0, 1e-25, 1e20])
def test_projection_is_the_nearest_point_of_the_plane_in_the_box(norm: str, scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    x = (1.4 * torch.rand(300, 20, generator=generator, dtype=torch.float64) - 0.2).clamp(0, 1)
    gradient = torch.randn(300, 20, generator=generator, dtype=torch.float64)
    gradient[:, 3] = 0
    rise = 4 * torch.randn(300, generator=generator, dtype=torch.float64)
    rise[:40] *= 100  # of which the box has none
    delta = _onto_plane(x, scale * gradient, scale * rise, NORMS[norm])
    assert (x + delta).min() >= -1e-12
    assert (x + delta).max() <= 1 + 1e-12
    exact = shortest(x, gradient, rise, norm)
    there = exact.isfinite()
    assert 40 <= int((~there).sum()) < 150
    reached = (gradient * delta).sum(1)
    torch.testing.assert_close(reached[there], rise[there], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(NORMS[norm].size(delta)[there], exact[there], rtol=1e-9, atol=1e-9)
    corner = torch.where(gradient * rise.unsqueeze(1) > 0, 1.0, 0.0) - x
    corner[:, 3] = 0
    torch.testing.assert_close(delta[~there], corner[~there], rtol=0, atol=1e-12)


def test_a_plane_without_a_normal_moves_nothing() -> None:
    x = torch.rand(3, 1, 2, 2)
    assert not _onto_plane(x, torch.zeros_like(x), torch.ones(3), NORMS["L2"]).any()


@EACH
@pytest.mark.parametrize("margin", [1e-2, 10.0, 1e4])
@pytest.mark.parametrize("batch", [1, 5])
def test_finds_the_nearest_boundary_of_a_linear_model(
    norm: str, batch: int, margin: float, linear: Build
) -> None:
    exact = DISTANCE[norm]
    classifier, x, y = linear(batch, (1, 12, 12), norm, exact, margin)
    found = measured(classifier, x, y, attack(FAB(steps=5), classifier, x, y, norm), norm)
    assert found.left == 0
    assert (found.size >= exact).all()
    assert (found.size <= 1.001 * exact).all()


@EACH
def test_finds_it_among_pixels_of_exactly_0_and_1(norm: str) -> None:
    generator = torch.Generator().manual_seed(1)
    layer = nn.Linear(64, 3).double()
    weight = torch.randn(3, 64, generator=generator, dtype=torch.float64)
    layer.weight.data, layer.bias.data = weight, -weight.sum(1) / 2
    classifier = Classifier(nn.Flatten(), layer).double().eval()
    x = (2 * torch.rand(40, 1, 8, 8, generator=generator, dtype=torch.float64) - 0.5).clamp(0, 1)
    with torch.no_grad():
        z = classifier(x)
    y = z.argmax(1)
    exact = torch.stack(
        [
            shortest(
                x.flatten(1), weight[k] - weight[y], z.gather(1, y.unsqueeze(1)).squeeze(1) - z[:, k], norm
            )
            for k in range(3)
        ],
        1,
    )
    exact = exact.scatter(1, y.unsqueeze(1), math.inf).amin(1)
    found = measured(classifier, x, y, attack(FAB(steps=20), classifier, x, y, norm), norm)
    assert found.left == 0
    assert (found.size / exact).max() < 1.01
    assert (found.size / exact).min() > 1 - 1e-9


@EACH
def test_the_nearest_of_the_targets_counts(norm: str) -> None:
    """The least likely class is the nearest here: its boundary lies across a steep slope."""
    layer = nn.Linear(4, 3).double()
    layer.weight.data = torch.tensor([[0.0] * 4, [1.0, 0, 0, 0], [20.0] * 4], dtype=torch.float64)
    layer.bias.data = torch.tensor([0.0, -0.6, -44.0], dtype=torch.float64)
    classifier = Classifier(nn.Flatten(), layer).double().eval()
    x, y = torch.full((1, 1, 2, 2), 0.5, dtype=torch.float64), torch.tensor([0])
    sizes = [
        float(NORMS[norm].size(attack(FAB(targets=n, steps=5), classifier, x, y, norm) - x)) for n in (1, 2)
    ]
    assert sizes[0] == pytest.approx(0.1, rel=0.01)
    assert sizes[1] == pytest.approx(0.05 if norm == "Linf" else 0.1, rel=0.01)


@EACH
def test_passes_are_what_is_promised_and_wrong_images_cost_one(norm: str, linear: Build) -> None:
    classifier, x, y = linear(4, (1, 6, 6), norm, DISTANCE[norm])
    y[0] = (y[0] + 1) % 4
    built = FAB(steps=6, targets=2, restarts=2)
    with Victim(classifier, 4) as victim:
        x_adv = built(victim, x, y, ThreatModel(norm, math.inf), random=SampleRandom.of("t", torch.arange(4)))
    assert torch.equal(x_adv[0], x[0])
    assert (victim.forwards[0], victim.backwards[0]) == (1, 0)
    assert {(int(f), int(b)) for f, b in zip(victim.forwards[1:], victim.backwards[1:], strict=True)} == {
        built.passes()
    }


@EACH
def test_what_is_longer_than_eps_comes_back_clean(norm: str, linear: Build) -> None:
    classifier, x, y = linear(5, (1, 6, 6), norm, DISTANCE[norm])
    free = attack(FAB(steps=5), classifier, x, y, norm)
    assert torch.equal(attack(FAB(steps=5), classifier, x, y, norm, 0.95 * DISTANCE[norm]), x)
    assert torch.equal(attack(FAB(steps=5), classifier, x, y, norm, 1.5 * DISTANCE[norm]), free)


def test_with_stop_an_image_fooled_within_eps_costs_nothing_more(conv: Build) -> None:
    classifier, x, y = conv(8)
    free = measured(classifier, x, y, attack(FAB(steps=10), classifier, x, y, "L2"), "L2").size
    eps = float(free.median())
    built = FAB(steps=10, stop=True)
    with Victim(classifier, 8) as victim:
        x_adv = built(victim, x, y, ThreatModel("L2", eps), random=SampleRandom.of("t", torch.arange(8)))
    fooled = classifier(x_adv).argmax(1) != y
    assert 0 < fooled.sum() < 8
    assert (fooled == (free <= eps)).all()
    assert (victim.backwards[~fooled] == 30).all()
    # one of them may come within eps in the final search alone
    assert (victim.backwards[fooled] <= 5).sum() >= fooled.sum() - 1


@EACH
@pytest.mark.parametrize("eps", [math.inf, 0.05])
def test_restarts_begin_half_as_far_away_as_what_was_found_or_eps(norm: str, eps: float, conv: Build) -> None:
    classifier, x, y = conv(8)
    seen: list[Tensor] = []
    net = classifier.get_submodule("net")
    hook = net.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone()))
    attack(FAB(steps=1, targets=1, restarts=2), classifier, x, y, norm, eps)
    hook.remove()
    clean, first, found, second = seen[:4]
    assert torch.equal(clean, x)
    assert torch.equal(first, x)
    fooled = classifier(found).argmax(1) != y
    nearest = torch.where(fooled, NORMS[norm].size(found - x), math.inf)
    farthest = nearest.clamp_max(min(eps, 1.0 if norm == "Linf" else 6.0))
    size = NORMS[norm].size(second - x)
    assert (size > 0).all()
    assert (size <= farthest / 2 + 1e-12).all()
    assert size.max() > 0.3 * farthest.min()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": 0}, "expected targets to be at least 1, got 0"),
        ({"overshoot": 0.9}, r"expected overshoot to be >= 1 and finite, got 0.9"),
        ({"backward": 0.0}, r"expected backward to be in \(0, 1\], got 0.0"),
        ({"alpha_max": 1.1}, r"expected alpha_max to be in \[0, 1\], got 1.1"),
    ],
)
def test_bad_options(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FAB(**options)  # type: ignore[arg-type]


@pytest.mark.slow
@EACH
@pytest.mark.parametrize(
    ("model", "images", "steps"),
    [("digits-softmax-s0", 200, 50), ("digits-lgm-s0", 200, 50), ("mnist-lgm-s0", 50, 20)],
)
def test_perturbations_are_as_short_as_other_libraries(
    model: str,
    images: int,
    steps: int,
    norm: str,
    zoo: Callable[[str, int], tuple[Classifier, Tensor, Tensor]],
) -> None:
    """Towards all nine targets, one run each: at most 1.02 times their mean norm, no image less fooled."""
    libraries = pytest.importorskip("adv_lib.attacks", reason="needs adv-lib: pip install 'gmbench[perf]'")
    auto = pytest.importorskip(
        "pyautoattack.fab_pt", reason="needs pyautoattack: pip install 'gmbench[perf]'"
    )
    classifier, x, y = zoo(model, images)
    ours = measured(classifier, x, y, attack(FAB(steps=steps), classifier, x, y, norm), norm)
    # where it does not fool, theirs gives back the image only beyond its eps
    peer = auto.FABAttack_PT(
        classifier,
        norm=norm,
        n_iter=steps,
        n_restarts=1,
        targeted=True,
        n_target_classes=9,
        eps=1e3,
        device="cpu",
    )
    number = {"Linf": math.inf, "L2": 2.0}[norm]
    other = libraries.fab(classifier, x, y, number, n_iter=steps, restarts=9, targeted_restarts=True)
    for theirs in (peer.perturb(x, y), other):
        found = measured(classifier, x, y, theirs.detach(), norm)
        both = ours.size.isfinite() & found.size.isfinite()
        assert ours.left <= found.left
        assert ours.size[both].mean() <= 1.02 * found.size[both].mean()
