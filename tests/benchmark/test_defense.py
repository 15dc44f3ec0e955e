"""A user's defense is checked before anything is spent on it."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from gmbench.benchmark.defense import DefenseError, check_classifier, entrant_by_name, entrant_from_checkpoint, entrant_from_file
from gmbench.models import Classifier

X = torch.rand(4, 1, 3, 3, generator=torch.Generator().manual_seed(0))


class Head(nn.Module):
    """Ten linear logits and a fault."""

    def __init__(self, fault: str = "", classes: int = 10) -> None:
        super().__init__()
        self.linear = nn.Linear(9, classes)
        self.fault = fault

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.linear(features)
        if self.fault == "nan":
            return logits * float("nan")
        if self.fault == "random":
            return logits + torch.rand_like(logits)
        if self.fault == "batch":
            return logits - logits.mean(0) * 5
        return logits


def classifier(fault: str = "", classes: int = 10) -> Classifier:
    torch.manual_seed(0)
    return Classifier(nn.Flatten(), Head(fault, classes)).eval()


def test_a_sound_one_passes() -> None:
    check_classifier("mine", classifier(), X, 10)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (classifier(classes=7), r"shape \(4, 10\), got \(4, 7\)"),
        (classifier("nan"), "finite, got NaN"),
        (classifier("random"), "same logits twice"),
        (classifier("batch"), "its own image alone"),
        (classifier().train(), "training mode; call classifier.eval"),
        (Classifier(nn.Linear(5, 3), nn.Linear(3, 10)).eval(), "'mine' fails on images"),
        (Classifier(nn.Identity(), nn.Flatten()).eval(), "logits of 'mine'"),
        (nn.Linear(2, 2), "to be a gmbench.Classifier, got Linear"),
    ],
)
def test_unsound_ones_are_one_line(bad: Classifier, message: str) -> None:
    with pytest.raises(DefenseError, match=message) as caught:
        check_classifier("mine", bad, X, 10)
    assert "\n" not in str(caught.value)


def test_images_outside_the_box() -> None:
    with pytest.raises(DefenseError, match=r"lie in \[0, 1\]"):
        check_classifier("mine", classifier(), X * 255, 10)


GOOD = """
from torch import nn
from gmbench import Classifier, Defense

def build():
    return Defense("mine", Classifier(nn.Flatten(), nn.Linear(64, 10)).eval())
"""


def test_a_file_becomes_an_entrant(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(GOOD)
    torch.manual_seed(0)
    first = entrant_from_file(path)
    assert (first.name, first.loss, first.seed) == ("mine", "mine", 0)
    torch.manual_seed(0)
    assert entrant_from_file(path).fingerprint == first.fingerprint
    assert entrant_from_file(path).fingerprint != first.fingerprint  # other weights
    path.write_text(GOOD + "# changed\n")
    torch.manual_seed(0)
    assert entrant_from_file(path).fingerprint != first.fingerprint  # other code


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "to define build()"),
        ("def build(): return 3", "return a gmbench.Defense, got int"),
        ("def build(): raise RuntimeError('no weights')", "failed: RuntimeError: no weights"),
        ("import nowhere", "failed: ModuleNotFoundError"),
        ("def build(:", "failed: SyntaxError"),
    ],
)
def test_bad_files_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(DefenseError, match=message):
        entrant_from_file(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(DefenseError, match="no defense file"):
        entrant_from_file(tmp_path / "none.py")


def test_checkpoints_of_other_weights_have_other_fingerprints() -> None:
    entrants = [entrant_from_checkpoint(name) for name in ("digits-lgm-s0", "digits-softmax-s0")]
    assert entrants[0].fingerprint != entrants[1].fingerprint
    assert entrants[0].loss == "lgm"


def other(folder: Path, pixels: int = 9) -> str:
    """Somebody's own net in a Python file with its weights; returns what a command line calls it."""
    layers = f"nn.Sequential(nn.Flatten(), nn.Linear({pixels}, 5), nn.ReLU(), nn.Linear(5, 10))"
    (folder / "net.py").write_text(f"from torch import nn\n\n\ndef Net():\n    return {layers}\n")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 5), nn.ReLU(), nn.Linear(5, 10))
    save_file(net.state_dict(), folder / "net.safetensors")
    return f"{folder}/net.py:Net@{folder}/net.safetensors"


def test_others_models_enter_under_a_name_without_folders(tmp_path: Path) -> None:
    entrant = entrant_by_name(other(tmp_path), (1, 3, 3))
    assert entrant.name == entrant.loss == "net.py-Net-net.safetensors"
    check_classifier(entrant.name, entrant.classifier, X, 10)
    assert entrant.classifier.outputs(X).features.shape == (4, 5)
    assert entrant.fingerprint == entrant_by_name(other(tmp_path), (1, 3, 3)).fingerprint


def test_others_models_for_other_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"does not work as a classifier; on images of shape \(1, 4, 4\)"):
        entrant_by_name(other(tmp_path), (1, 4, 4))
    with pytest.raises(ValueError, match=r"no kind of model named 'tim'; did you mean 'timm'\?"):
        entrant_by_name("tim:resnet18", (1, 3, 3))


def test_a_name_may_be_a_checkpoints_or_a_file(tmp_path: Path) -> None:
    assert entrant_by_name("digits-lgm-s0", (1, 8, 8)).name == "digits-lgm-s0"
    with pytest.raises(DefenseError, match="no defense file"):
        entrant_by_name(str(tmp_path / "none.py"), (1, 8, 8))
