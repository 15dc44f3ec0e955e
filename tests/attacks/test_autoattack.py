"""AutoAttack is the authors' set, in turn, and leaves no more images than their own code.

The comparison over the zoo takes hours: ``pytest -m slow tests/attacks/test_autoattack.py -k zoo``; of one
model: ``-k "zoo and mnist-lgm-s0"``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn

from gmbench.attacks import ATTACKS, Attack, SampleRandom, ThreatModel, Victim
from gmbench.attacks.apgd import APGD
from gmbench.attacks.autoattack import APGDFABSquare, AutoAttack, InTurn
from gmbench.attacks.fab import FAB
from gmbench.attacks.square import Square
from gmbench.models import Classifier, checkpoints

from .peers import attack

Build = Callable[..., tuple[Classifier, Tensor, Tensor]]


def test_it_is_the_authors_standard_set() -> None:
    package = pytest.importorskip(
        "pyautoattack.autoattack", reason="needs pyautoattack: pip install 'gmbench[perf]'"
    )
    theirs = package.AutoAttack(nn.Identity(), norm="Linf", eps=0.1, version="standard")
    assert theirs.attacks_to_run == ["apgd-ce", "apgd-t", "fab-t", "square"]
    ce, dlr, fab, square = AutoAttack().stages()
    assert isinstance(ce, APGD)
    assert isinstance(dlr, APGD)
    assert isinstance(fab, FAB)
    assert isinstance(square, Square)
    assert (ce.loss, ce.targets, ce.steps, ce.restarts) == ("ce", 0, theirs.apgd.n_iter, 1)
    assert theirs.apgd.n_restarts == theirs.apgd_targeted.n_restarts == theirs.fab.n_restarts == 1
    targeted = theirs.apgd_targeted
    assert (dlr.loss, dlr.targets, dlr.steps) == ("dlr", targeted.n_target_classes, targeted.n_iter)
    assert (fab.targets, fab.steps) == (theirs.fab.n_target_classes, theirs.fab.n_iter)
    assert (fab.alpha_max, fab.overshoot) == (theirs.fab.alpha_max, theirs.fab.eta)
    assert (fab.backward, fab.restarts) == (theirs.fab.beta, 1)
    assert (square.queries, square.p_init) == (theirs.square.n_queries, theirs.square.p_init)
    assert square.rescale == theirs.square.rescale_schedule


def test_its_name_is_for_that_set_alone() -> None:
    with pytest.raises((TypeError, ValueError)):
        ATTACKS.build("autoattack", steps=20)
    assert "AutoAttack" not in str(ATTACKS["apgd-fab-square"].about)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Moves(Attack):
    """Gives images whose first pixel is in `first` another value, and notes what it was asked to attack."""

    first: tuple[float, ...]
    asked: list[tuple[list[float], list[int]]] = field(default_factory=list)

    def __call__(
        self, victim: Victim, x: Tensor, y: Tensor, threat: ThreatModel, /, *, random: SampleRandom
    ) -> Tensor:
        _, _, outputs = victim.gradient(x, lambda outputs: outputs.logits[:, 0])
        assert len(outputs.logits) == len(x) == len(y) == len(random)
        self.asked.append((x[:, 0].tolist(), random.seeds.tolist()))
        fools = torch.isin(x[:, 0], torch.tensor(self.first))
        return torch.where(fools.unsqueeze(1), 1 - x, x)

    def passes(self) -> tuple[int, int]:
        return 1, 1


@dataclass(frozen=True)
class Two(InTurn):
    first: Moves
    second: Moves

    def stages(self) -> tuple[Attack, ...]:
        return self.first, self.second


def test_each_attack_meets_what_is_left_by_the_one_before() -> None:
    layer = nn.Linear(1, 2)
    layer.weight.data, layer.bias.data = torch.tensor([[0.0], [1.0]]), torch.tensor([0.5, 0.0])
    classifier = Classifier(nn.Flatten(), layer).eval()
    x = torch.tensor([[0.125], [0.25], [0.375], [0.0], [0.4375]])
    y = torch.tensor([0, 0, 0, 1, 0])  # the fourth is wrong as it is
    both = Two(Moves((0.25, 0.0)), Moves((0.375,)))
    random = SampleRandom.of("t", torch.arange(5))
    with Victim(classifier, 5) as victim:
        x_adv = both(victim, x, y, ThreatModel("Linf", 1.0), random=random)
    seeds = random.seeds.tolist()
    assert both.first.asked == [([0.125, 0.25, 0.375, 0.4375], [seeds[i] for i in (0, 1, 2, 4)])]
    assert both.second.asked == [([0.125, 0.375, 0.4375], [seeds[i] for i in (0, 2, 4)])]
    assert x_adv.flatten().tolist() == [0.125, 0.75, 0.625, 0.0, 0.4375]
    assert victim.forwards.tolist() == [5, 3, 5, 1, 5]
    assert victim.backwards.tolist() == [2, 1, 2, 0, 2]
    assert both.passes() == (5, 2)


def flat(classes: int) -> tuple[Classifier, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(36, classes).double()
    layer.weight.data = torch.randn(classes, 36, generator=generator, dtype=torch.float64)
    layer.bias.data = -layer.weight.data.sum(1) / 2
    classifier = Classifier(nn.Flatten(), layer).double().eval()
    x = 0.3 + 0.4 * torch.rand(6, 1, 6, 6, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        return classifier, x, classifier(x).argmax(1)


def test_two_classes_are_refused_with_the_way_out() -> None:
    classifier, x, y = flat(2)
    message = "expected at least 3 classes for autoattack, .* got 2; with two, attack with apgd-fab-square"
    with pytest.raises(ValueError, match=message):
        attack(AutoAttack(), classifier, x, y, "Linf", 0.2)
    x_adv = attack(APGDFABSquare(), classifier, x, y, "Linf", 0.2)
    assert (classifier(x_adv).argmax(1) != y).all()


@pytest.mark.parametrize("norm", ["Linf", "L2"])
def test_three_classes_are_enough(norm: str) -> None:
    classifier, x, y = flat(3)
    x_adv = attack(AutoAttack(), classifier, x, y, norm, {"Linf": 0.2, "L2": 1.5}[norm])
    assert (classifier(x_adv).argmax(1) != y).all()


ZOO = [name for name in checkpoints() if name.startswith(("mnist", "cifar10"))]


def eps_of(model: str) -> float:
    """Choose the eps at which a model of the zoo is compared: larger for the adversarially trained."""
    trained = any(word in model for word in ("-at-", "trades"))
    if model.startswith("mnist"):
        return 0.3 if trained else 0.2
    return 8 / 255 if trained else 2 / 255


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:there are .* points with zero gradient")
@pytest.mark.filterwarnings("ignore::UserWarning:pyautoattack")
@pytest.mark.parametrize("model", ZOO)
def test_zoo_is_left_no_more_robust_than_by_the_authors(model: str, zoo: Build) -> None:
    """On 200 test images, at most one image more is left than by pyautoattack's standard version."""
    package = pytest.importorskip(
        "pyautoattack.autoattack", reason="needs pyautoattack: pip install 'gmbench[perf]'"
    )
    classifier, x, y = zoo(model, 200)
    eps = eps_of(model)
    ours = attack(AutoAttack(), classifier, x, y, "Linf", eps)
    theirs = package.AutoAttack(classifier, norm="Linf", eps=eps, version="standard", seed=0)
    peer, _ = theirs.run_standard_evaluation(x, y, batch_size=200)
    left = [int((classifier(x_adv).argmax(1) == y).sum()) for x_adv in (ours, peer)]
    assert left[0] <= left[1] + 1, left


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "eps", "most"),
    [("mnist-mmc-s0", 0.2, 1), ("mnist-mmlda-s0", 0.3, 1), ("cifar10-jpeg-mmc-s0", 8 / 255, 1)],
)
def test_known_breaks_are_found(model: str, eps: float, most: int, zoo: Build) -> None:
    """Of 100 images hardly one is left, where attacks on cross-entropy leave most."""
    classifier, x, y = zoo(model, 100)
    x_adv = attack(AutoAttack(), classifier, x, y, "Linf", eps)
    assert int((classifier(x_adv).argmax(1) == y).sum()) <= most
