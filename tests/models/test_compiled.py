"""`torch.compile(classifier)` is attacked, judged and scored as the classifier is."""

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import gmbench as gm
from gmbench.benchmark.engine.defense import entrant_from_file
from gmbench.models import Classifier, load_checkpoint
from gmbench.models.compiled import as_classifier
from gmbench.models.foreign.wrap import wrap

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's compiler raises some of its own

EAGER = "eager"
"""The backend that needs no C++ compiler: traces, and runs what it traced."""

FILE = """
import torch
import gmbench
from gmbench.models import load_checkpoint

def build():
    classifier, _ = load_checkpoint("digits-lgm-s0")
    return gmbench.Defense("compiled", torch.compile(classifier, backend="eager"))
"""


@pytest.fixture
def classifier() -> Classifier:
    return load_checkpoint("digits-lgm-s0")[0]


X, Y = gm.load_data("digits", "test", samples=30)


def compiled(module: nn.Module, backend: str = EAGER) -> nn.Module:
    torch.compiler.reset()
    return torch.compile(module, backend=backend)  # type: ignore[return-value]


def test_it_is_a_classifier_whose_net_is_compiled(classifier: Classifier) -> None:
    net = classifier.net
    found = as_classifier(compiled(classifier))
    assert isinstance(found, type(classifier))
    assert type(found.net).__name__ == "OptimizedModule"
    assert found.head is classifier.head
    assert classifier.net is net
    with torch.no_grad():
        one, other = found.outputs(X), classifier.outputs(X)
    torch.testing.assert_close(one.logits, other.logits)
    torch.testing.assert_close(one.log_likelihood, other.log_likelihood)


def test_what_is_not_compiled_is_given_back(classifier: Classifier) -> None:
    module = compiled(nn.Linear(2, 2))
    assert as_classifier(classifier) is classifier
    assert as_classifier(module) is module
    assert as_classifier("digits-lgm-s0") == "digits-lgm-s0"


class Whole(Classifier):
    """A Classifier of one piece, without net and head."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.linear = nn.Linear(64, 10)

    def features(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def outputs(self, x: Tensor, layers: object = ()) -> gm.Outputs:
        return gm.Outputs(x, self.features(x), self.linear(self.features(x)))


def test_a_classifier_without_net_runs_as_written() -> None:
    whole = Whole().eval()
    assert as_classifier(compiled(whole)).outputs(X).logits.equal(whole.outputs(X).logits)


@pytest.mark.parametrize(
    "backend",
    [
        EAGER,
        pytest.param(
            "inductor",
            marks=[
                pytest.mark.slow,
                pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler"),
            ],
        ),
    ],
)
def test_an_attack_finds_what_it_finds_on_the_classifier(classifier: Classifier, backend: str) -> None:
    one, other = (
        gm.attack(model, X, Y, gm.PGD(steps=5), eps=0.1, device="cpu")
        for model in (compiled(classifier, backend), classifier)
    )
    assert abs(one.robust_accuracy - other.robust_accuracy) <= 1 / len(X)
    assert one.robust_accuracy < one.clean_accuracy == other.clean_accuracy


def test_a_file_may_build_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    torch.compiler.reset()
    entrant = entrant_from_file(path)
    assert isinstance(entrant.classifier, Classifier)
    with torch.no_grad():
        assert entrant.classifier(X).argmax(1).eq(Y).float().mean() > 0.9


def test_a_compiled_module_is_wrapped_as_written() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, 10)).eval()
    one, other = wrap(compiled(module), shape=(1, 8, 8)), wrap(module, shape=(1, 8, 8))
    assert not one.features_are_logits
    assert one.outputs(X).features.equal(other.outputs(X).features)
    assert one.outputs(X).logits.equal(module(X))
    assert isinstance(module[3], nn.Linear)


def test_a_compiled_classifier_needs_no_wrapping(classifier: Classifier) -> None:
    with pytest.raises(TypeError, match="Classifier already"):
        gm.wrap(compiled(classifier))
