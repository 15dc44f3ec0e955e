"""What a detector may ask for beside features and logits: features of other layers, or the model itself."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
import torch
from sklearn.exceptions import NotFittedError
from torch import Tensor, nn

from gmbench.detectors import DETECTORS, Detector
from gmbench.detectors.detector import OWN, why_not
from gmbench.models import HEADS, NETS, Classifier, Outputs


@dataclass
class Layered(Detector):
    """Squared distance from the mean of one layer, averaged over its values."""

    layers = ("stage1",)
    power: int = 2
    mean_: Tensor | None = field(default=None, init=False, repr=False, compare=False)

    def learn(self, outputs: Outputs, y: Tensor) -> None:
        self.mean_ = outputs.layers["stage1"].mean(0)

    def score(self, outputs: Outputs) -> Tensor:
        self.check_fitted(outputs)
        return ((outputs.layers["stage1"] - self.mean_).abs() ** self.power).flatten(1).mean(1)


class Everything(Layered):
    """Asks for all layers."""

    layers: ClassVar = "all"


@dataclass
class Asking(Detector):
    """Fall of the highest logit where an image moves against its gradient."""

    needs_model = True
    differentiable = False
    step: float = 0.1

    def score(self, outputs: Outputs) -> Tensor:
        with torch.enable_grad():
            x = outputs.x.detach().requires_grad_()
            top = self.model(x).amax(1)
            (gradient,) = torch.autograd.grad(top.sum(), x)
        return (top - self.model(x - self.step * gradient).amax(1)).detach()


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = NETS.build("digits-conv4", features=8)
        return Classifier(net, HEADS.build("softmax", features=8, classes=3)).eval()


@pytest.fixture(scope="module")
def x() -> Tensor:
    return torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))


Y = torch.arange(6) % 3


@torch.no_grad()
def test_one_pass_carries_the_layers(classifier: Classifier, x: Tensor) -> None:
    outputs = classifier.outputs(x, ["stage1", "stage2"])
    assert classifier.layer_names == ("stage1", "stage2")
    assert {name: layer.shape for name, layer in outputs.layers.items()} == {
        "stage1": (6, 16, 4, 4),
        "stage2": (6, 32, 2, 2),
    }
    net = classifier.net
    assert isinstance(net, nn.Sequential)
    assert outputs.layers["stage1"].equal(net[:5](x))
    plain = classifier.outputs(x)
    assert plain.logits.equal(outputs.logits)
    assert plain.layers == {}
    assert not any(module._forward_hooks for module in classifier.modules())


@torch.no_grad()
def test_layers_are_cut_joined_and_selected_with_the_rest(classifier: Classifier, x: Tensor) -> None:
    outputs = classifier.outputs(x, ["stage2"])
    joined = Outputs.cat([outputs[:2], outputs[2:]])
    assert joined.layers["stage2"].equal(outputs.layers["stage2"])
    with torch.enable_grad():
        held = classifier.outputs(x.clone().requires_grad_(), ["stage2"])
    assert held.layers["stage2"].requires_grad
    assert not held.detach().cpu().layers["stage2"].requires_grad


@torch.no_grad()
def test_layers_are_averaged_over_the_image(classifier: Classifier, x: Tensor) -> None:
    outputs = classifier.outputs(x, ["stage1"])
    averaged = outputs.averaged()
    torch.testing.assert_close(averaged.layers["stage1"], outputs.layers["stage1"].mean((2, 3)))
    assert averaged.averaged().layers["stage1"].equal(averaged.layers["stage1"])
    assert averaged.logits is outputs.logits


def test_layers_pass_gradients_to_the_images(classifier: Classifier, x: Tensor) -> None:
    detector = Layered().fit(classifier.outputs(x, ["stage1"]).detach(), Y)
    moved = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(detector.score(classifier.outputs(moved, ["stage1"])).sum(), moved)
    assert (gradient.flatten(1).norm(dim=1) > 0).all()


def test_a_layer_that_is_not_there_does_not_apply(classifier: Classifier, x: Tensor) -> None:
    assert Layered().applies(classifier.outputs(x, ["stage1"]))
    assert Everything().applies(classifier.outputs(x, ["stage2"]))
    for outputs in (classifier.outputs(x), Classifier(nn.Flatten(), nn.Linear(64, 3)).outputs(x)):
        assert not Layered().applies(outputs)
        assert not Everything().applies(outputs)


@torch.no_grad()
def test_a_model_is_handed_over_and_is_no_configuration(classifier: Classifier, x: Tensor) -> None:
    detector = Asking()
    with pytest.raises(
        NotFittedError, match=r"^expected Asking\(step=0.1\) to know its classifier; call bind"
    ):
        detector.score(classifier.outputs(x))
    assert detector.bind(classifier) is detector
    assert detector == Asking()
    assert repr(detector) == "Asking(step=0.1)"
    assert detector.configuration() == {"step": 0.1}
    scores = detector.score(classifier.outputs(x))
    assert (scores > 0).all()
    alone = torch.cat([detector.score(classifier.outputs(x[i : i + 1])) for i in range(6)])
    torch.testing.assert_close(scores, alone, rtol=1e-4, atol=1e-5)
    assert all(parameter.grad is None for parameter in classifier.parameters())


@pytest.mark.parametrize("name", list(DETECTORS))
def test_every_detector_declares_what_it_needs(name: str) -> None:
    kind = type(DETECTORS.build(name))
    assert kind.layers == "all" or all(isinstance(layer, str) for layer in kind.layers)
    assert isinstance(kind.needs_model, bool)
    assert isinstance(kind.needs_likelihood, bool)


@pytest.mark.usefixtures("forgetful")
@pytest.mark.parametrize(
    ("needs", "why"),
    [
        ({"needs_likelihood": True}, "the classifier states no likelihood"),
        ({"layers": ("stem",)}, "the classifier names no such layers"),
        ({"layers": "all"}, "the classifier names no such layers"),
        ({}, "it gives no score there"),
    ],
)
def test_what_a_detector_needs_says_why_it_does_not_apply(needs: dict[str, Any], why: str) -> None:
    DETECTORS.register("needy")(type("Needy", (Detector,), needs))
    assert why_not("needy") == why


def test_why_a_defenses_own_or_a_strange_detector_does_not_apply() -> None:
    assert why_not(OWN) == "the defense brings no detector of its own"
    assert why_not("never heard of") == "it gives no score there"
