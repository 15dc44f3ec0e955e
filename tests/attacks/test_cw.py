"""CW against exact minimal perturbations, on Gaussian logits, and alone as in company."""

import math

import pytest
import torch
from torch import Tensor, nn

from gmbench.attacks import ATTACKS, SampleRandom, ThreatModel, Victim
from gmbench.attacks.core.norms import NORMS
from gmbench.attacks.cw import CW
from gmbench.models import Classifier
from gmbench.models.heads.lgm import LGM

MINIMAL = ThreatModel("L2", math.inf)


def attack(cw: CW, classifier: Classifier, x: Tensor, y: Tensor, threat: ThreatModel = MINIMAL) -> Tensor:
    with Victim(classifier, samples=len(x)) as victim:
        return cw(victim, x, y, threat, random=SampleRandom.of("test", torch.arange(len(x))))


def size(delta: Tensor) -> Tensor:
    return NORMS["L2"].size(delta)


def linear(shape: tuple[int, ...], scale: float = 1.0, classes: int = 10) -> Classifier:
    """Random linear classes whose boundaries meet at the middle of the box."""
    layer = nn.Linear(math.prod(shape), classes)
    weight = torch.randn(layer.weight.shape, generator=torch.Generator().manual_seed(0))
    layer.weight.data, layer.bias.data = weight * scale, -weight.sum(1) * scale / 2
    return Classifier(nn.Flatten(), layer).double().eval()


def images(shape: tuple[int, ...], samples: int = 32) -> Tensor:
    return torch.rand(samples, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def predicted(classifier: Classifier, x: Tensor) -> Tensor:
    with torch.no_grad():
        return classifier.outputs(x).predicted


def margins(classifier: Classifier, x: Tensor, y: Tensor) -> Tensor:
    """z_y - z_k for every k, infinite for y itself."""
    with torch.no_grad():
        z = classifier.outputs(x).logits
    return (z.gather(1, y.unsqueeze(1)) - z).scatter(1, y.unsqueeze(1), math.inf)


def normals(classifier: Classifier, y: Tensor) -> Tensor:
    """w_y - w_k for every k, (B, K, D)."""
    weight = classifier.head.get_parameter("weight").data
    return weight[y].unsqueeze(1) - weight


def minimal_in_box(x: Tensor, normal: Tensor, margin: Tensor) -> Tensor:
    """Size of the smallest delta with normal .

    Delta = -margin and x + delta in the box, infinite where there is none.

    By convexity delta is -factor * normal, clipped to the box; the factor is found by bisection.
    """
    low, high = torch.zeros_like(margin), torch.full_like(margin, 100)
    for _ in range(60):
        middle = (low + high) / 2
        delta = (x - middle.unsqueeze(1) * normal).clamp(0, 1) - x
        enough = (normal * delta).sum(1) <= -margin
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return torch.where(high < 99, delta.norm(dim=1), math.inf)


@pytest.mark.parametrize("samples", [1, 3, 32])
@pytest.mark.parametrize(
    ("shape", "classes", "scale"),
    # In few dimensions the class with the smallest margin need not be the nearest one, so there are two.
    [((1, 3, 4), 2, 1.0), ((3, 8, 8), 10, 1e4), ((1, 28, 28), 10, 1e-3)],
)
def test_finds_the_nearest_boundary_of_a_linear_model(
    samples: int, shape: tuple[int, ...], classes: int, scale: float
) -> None:
    classifier, x = linear(shape, scale, classes), 0.4 + 0.2 * images(shape, samples)
    y = predicted(classifier, x)
    exact = (margins(classifier, x, y) / normals(classifier, y).norm(dim=2)).amin(1)
    x_adv = attack(CW(), classifier, x, y)
    assert (predicted(classifier, x_adv) != y).all()
    ratio = size(x_adv - x) / exact
    assert ratio.max() < 1.1
    assert ratio.mean() < 1.05


def test_finds_it_among_pixels_of_exactly_0_and_1() -> None:
    shape = (1, 16, 16)
    classifier, x = linear(shape), (2 * images(shape) - 0.5).clamp(0, 1)
    y = predicted(classifier, x)
    margin, normal = margins(classifier, x, y), normals(classifier, y)
    exact = torch.stack([minimal_in_box(x.flatten(1), normal[:, k], margin[:, k]) for k in range(10)]).amin(0)
    x_adv = attack(CW(), classifier, x, y)
    assert (predicted(classifier, x_adv) != y).all()
    assert (size(x_adv - x) / exact).mean() < 1.05
    border = (x == 0) | (x == 1)
    assert ((x_adv - x).abs() > 1e-3)[border].double().mean() > 0.2


def gaussian(spread: float) -> tuple[Classifier, Tensor, Tensor]:
    """A Gaussian mixture over rectified random features of images near ten prototypes.

    Margins grow with the square of the spread.
    """
    generator = torch.Generator().manual_seed(2)
    prototypes = torch.rand(10, 1, 6, 6, generator=generator).round().double()
    y = torch.arange(20) % 10
    x = (prototypes[y] + 0.1 * torch.randn(20, 1, 6, 6, generator=generator).double()).clamp(0, 1)
    layer = nn.Linear(36, 40).double()
    layer.weight.data = spread * torch.randn(40, 36, generator=generator).double()
    layer.bias.data.zero_()
    net = nn.Sequential(nn.Flatten(), layer, nn.LeakyReLU(0.2))
    head = LGM(features=40, classes=10).double()
    with torch.no_grad():
        head.means.copy_(net(prototypes))
    return Classifier(net, head).eval(), x, y


def test_fools_a_gaussian_mixture_whatever_its_margins() -> None:
    sizes = []
    for spread, lowest in ((0.3, 1.0), (30.0, 1e4)):
        classifier, x, y = gaussian(spread)
        assert (predicted(classifier, x) == y).all()
        assert margins(classifier, x, y).amin(1).median() > lowest
        x_adv = attack(CW(), classifier, x, y)
        assert (predicted(classifier, x_adv) != y).all()
        sizes.append(size(x_adv - x))
    torch.testing.assert_close(*sizes, rtol=1e-4, atol=0)


class Shifted(nn.Module):
    def __init__(self, head: nn.Module, shift: float) -> None:
        super().__init__()
        self.head, self.shift = head, shift

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.head(features)
        return logits + self.shift


@pytest.mark.parametrize("shift", [1000.0, -1000.0, -20_000.0])
def test_a_common_shift_of_the_logits_changes_nothing(shift: float) -> None:
    classifier, x, y = gaussian(3.0)
    plain = attack(CW(), classifier, x, y)
    shifted = attack(CW(), Classifier(classifier.net, Shifted(classifier.head, shift)).double().eval(), x, y)
    torch.testing.assert_close(shifted, plain, rtol=0, atol=1e-5)


def test_a_lead_within_rounding_is_no_success() -> None:
    classifier, x, y = gaussian(3.0)
    shifted = Classifier(classifier.net, Shifted(classifier.head, -2e6)).float().eval()
    x_adv = attack(CW(), shifted, x.float(), y)
    lead = -margins(shifted, x_adv, y).amin(1)
    assert (lead > 10 * 2e6 * torch.finfo(torch.float32).eps).all()


def test_a_sample_alone_gets_what_it_gets_in_company() -> None:
    classifier, x, y = gaussian(3.0)
    together = attack(CW(), classifier, x, y)
    alone = torch.cat([attack(CW(), classifier, x[i : i + 1], y[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(together[:6], alone, rtol=0, atol=1e-6)


def test_samples_that_are_done_cost_nothing_more() -> None:
    classifier, x, y = gaussian(3.0)
    y[:5] = (y[:5] + 1) % 10
    with Victim(classifier, samples=len(x)) as victim:
        x_adv = CW()(victim, x, y, MINIMAL, random=SampleRandom.of("test", torch.arange(len(x))))
    assert torch.equal(x_adv[:5], x[:5])
    assert (victim.forwards[:5] == 1).all()
    assert victim.forwards[5:].unique().numel() > 3
    assert victim.forwards.max() <= 1 + 3 * 50
    with Victim(classifier, samples=len(x)) as victim:
        CW(abort_early=False)(victim, x, y, MINIMAL, random=SampleRandom.of("test", torch.arange(len(x))))
    assert (victim.backwards[5:] == 1 + 3 * 50).all()


def test_a_finite_eps_keeps_what_fits_and_gives_back_the_rest_clean() -> None:
    classifier, x, y = gaussian(3.0)
    free = attack(CW(), classifier, x, y)
    eps = float(size(free - x).median())
    bound = attack(CW(), classifier, x, y, ThreatModel("L2", eps))
    fits = size(free - x) <= eps
    assert 0 < fits.sum() < len(x)
    assert torch.equal(bound, torch.where(fits.view(-1, 1, 1, 1), free, x))


def test_confidence_is_reached_in_logits() -> None:
    classifier, x = linear((1, 3, 4)), 0.3 + 0.4 * images((1, 3, 4))
    y = predicted(classifier, x)
    x_adv = attack(CW(confidence=0.5), classifier, x, y)
    lead = -margins(classifier, x_adv, y).amin(1)
    assert (lead > 0.5).all()
    assert lead.mean() < 0.6


def test_a_model_without_gradients_gives_back_the_clean_image() -> None:
    classifier = linear((1, 3, 4))
    classifier.head.get_parameter("weight").data.zero_()
    x = images((1, 3, 4))
    for bias in (torch.zeros(10), torch.arange(10.0)):  # a tie, and a margin that nothing moves
        classifier.head.get_parameter("bias").data = bias.double()
        assert torch.equal(attack(CW(), classifier, x, predicted(classifier, x)), x)


def test_more_searches_find_no_larger_perturbation() -> None:
    classifier, x, y = gaussian(3.0)
    few, more = (size(attack(CW(binary_steps=n), classifier, x, y) - x) for n in (1, 4))
    assert (more <= few).all()
    assert (more < few).any()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("confidence", -1.0),
        ("confidence", math.nan),
        ("binary_steps", 0),
        ("steps", 0),
        ("lr", 0.0),
        ("initial_c", -2.0),
    ],
)
def test_a_field_out_of_range_is_named(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"expected {field} to be .*, got {value}"):
        ATTACKS.build("cw", **{field: value})
