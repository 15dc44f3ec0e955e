"""A user's defense is checked before anything is spent on it."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from gmbench.benchmark.engine.defense import (
    DefenseError,
    check_classifier,
    check_names,
    entrant_by_name,
    entrant_from_checkpoint,
    entrant_from_file,
    entrant_of_suite,
    is_random,
)
from gmbench.benchmark.engine.plan import make_plan
from gmbench.benchmark.engine.suite import load_suite
from gmbench.models import Classifier, load_checkpoint
from gmbench.models.checkpoint import ZOO, write_card
from gmbench.models.foreign.load import ForeignError, load_foreign

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


def test_a_randomised_one_is_noticed_and_not_refused() -> None:
    check_classifier("mine", classifier("random"), X, 10)
    assert is_random(classifier("random"), X)
    assert not is_random(classifier(), X)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (classifier(classes=7), r"shape \(4, 10\), got \(4, 7\)"),
        (classifier("nan"), "finite, got NaN"),
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
    first = entrant_from_file(path)
    assert (first.name, first.loss, first.seed) == ("mine", "mine", 0)
    torch.manual_seed(1)  # of this process, which is none of the file's
    assert entrant_from_file(path).fingerprint == first.fingerprint
    path.write_text(GOOD + "# changed\n")
    assert entrant_from_file(path).fingerprint != first.fingerprint  # other code


def test_other_weights_are_another_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(GOOD.replace("    return", "    torch.manual_seed(len(open('seed').read()))\n    return"))
    path.write_text("import torch\n" + path.read_text())
    fingerprints = []
    for seed in ("a", "a", "aa"):
        (tmp_path / "seed").write_text(seed)
        fingerprints.append(entrant_from_file(path).fingerprint)
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


def test_nobody_takes_anothers_fingerprint(tmp_path: Path) -> None:
    """Whatever it says of its state and its sources: the host reads the file."""
    path = tmp_path / "mine.py"
    path.write_text(GOOD)
    first = entrant_from_file(path)
    lie = "\nimport gmbench.benchmark.engine.guest.server as server\n"
    lie += f"server.digest = lambda *_: {first.classifier.guest.facts.state!r}\n"
    lie += "server.source_files = lambda _: {}\n"
    path.write_text(GOOD + lie)
    liar = entrant_from_file(path)
    assert liar.classifier.guest.facts == first.classifier.guest.facts
    assert liar.fingerprint != first.fingerprint


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


def test_anothers_python_file_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    name = other(tmp_path)
    here = load_foreign(name, shape=(1, 3, 3))
    tell = "\nimport os, pathlib\npathlib.Path('told').write_text(f'{os.getpid()} {os.getcwd()}')\n"
    (tmp_path / "net.py").write_text((tmp_path / "net.py").read_text() + tell)
    entrant = entrant_by_name(name, (1, 3, 3))
    pid, folder = (tmp_path / "told").read_text().split(" ")
    assert int(pid) != os.getpid()
    assert folder == str(tmp_path)
    assert torch.equal(entrant.classifier(X), here(X))
    assert entrant.classifier.layer_names == here.layer_names
    assert (entrant.classifier.note, entrant.classifier.found) == (here.note, here.found)


def test_others_models_for_other_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"does not work as a classifier; on images of shape \(1, 4, 4\)"):
        entrant_by_name(other(tmp_path), (1, 4, 4))
    with pytest.raises(ValueError, match=r"no kind of model named 'tim'; did you mean 'timm'\?"):
        entrant_by_name("tim:resnet18", (1, 3, 3))


def test_a_name_may_be_a_checkpoints_or_a_file(tmp_path: Path) -> None:
    assert entrant_by_name("digits-lgm-s0", (1, 8, 8)).name == "digits-lgm-s0"
    with pytest.raises(DefenseError, match="no defense file"):
        entrant_by_name(str(tmp_path / "none.py"), (1, 8, 8))


# What a suite may name: it comes from strangers


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """Where the code of these tests would leave a trace."""
    return tmp_path / "ran"


def code(folder: Path, ran: Path) -> list[str]:
    """Write a class with its weights and a defense, both of which leave the trace.

    Returns what a command line calls them.
    """
    spelling = other(folder, 64)
    trace = f"import pathlib\n\npathlib.Path({str(ran)!r}).touch()\n"
    (folder / "net.py").write_text(trace + (folder / "net.py").read_text())
    (folder / "mine.py").write_text(trace + GOOD)
    return [spelling, f"python:{spelling}", f"{folder}/mine.py"]


def refuses(name: str) -> None:
    with pytest.raises(
        DefenseError, match="to name checkpoints or models that torchvision, timm or robustbench lists"
    ) as caught:
        entrant_of_suite(name, (1, 8, 8))
    assert str(caught.value).endswith(f"got '{name}'; if you trust it, say --defense {name}")


def test_a_suite_runs_no_code(tmp_path: Path, ran: Path) -> None:
    for name in code(tmp_path, ran):
        entrant_by_name(name, (1, 8, 8))
        assert ran.exists()  # a command line runs it
        ran.unlink()
        refuses(name)
        assert not ran.exists()


@pytest.mark.parametrize("name", ["a/b.pt2", "pt2:b", "b.ts", "torchscript:b.pt", "timm:hf-hub:somebody/net"])
def test_a_suite_names_no_program_and_no_upload(name: str) -> None:
    refuses(name)


@pytest.mark.parametrize("where", ["models", "surrogate"])
def test_a_plan_holds_its_suite_to_that(tmp_path: Path, ran: Path, where: str) -> None:
    name = code(tmp_path, ran)[0]
    suite = load_suite("digits-v2").model_copy(update={where: (name,)})
    with pytest.raises(DefenseError, match="expected a suite to name checkpoints"):
        make_plan(suite)
    assert not ran.exists()


def test_a_suite_may_name_checkpoints_by_path(tmp_path: Path) -> None:
    classifier, card = load_checkpoint("digits-lgm-s0")
    torch.save(classifier.state_dict(), tmp_path / "mine.pt")
    sha256 = hashlib.sha256((tmp_path / "mine.pt").read_bytes()).hexdigest()
    write_card(card.model_copy(update={"name": "mine", "sha256": sha256}), tmp_path)
    for name in ("digits-lgm-s0", f"{ZOO}/digits-lgm-s0.safetensors", f"{tmp_path}/mine.pt"):
        assert entrant_of_suite(name, (1, 8, 8)).recipe == "digits-lgm"


def test_a_suite_may_name_what_a_hub_lists() -> None:
    with pytest.raises(ForeignError, match="did you mean 'torchvision:resnet18'"):  # the hub was asked
        entrant_of_suite("torchvision:resnet81", (3, 224, 224))
    with pytest.raises(ForeignError, match=r"no kind of model named 'tim'; did you mean 'timm'\?"):
        entrant_of_suite("tim:resnet18", (3, 224, 224))


# What is pooled as seeds


def test_seeds_of_one_recipe_and_other_losses_stand_together() -> None:
    first = entrant_from_checkpoint("digits-lgm-s0")
    user = replace(first, name="mine", loss="mine", recipe="")
    check_names(
        [
            first,
            replace(first, name="digits-lgm-s1", seed=1),
            entrant_from_checkpoint("digits-softmax-s0"),
            user,
        ]
    )


def test_two_recipes_of_one_loss_are_not_pooled() -> None:
    first = entrant_from_checkpoint("digits-lgm-s0")
    flat = replace(first, name="digits-lgm-2d-s0", recipe="digits-lgm-2d")
    with pytest.raises(DefenseError) as caught:
        check_names([first, replace(first, name="digits-lgm-s1"), flat])
    assert str(caught.value) == (
        "expected the models of one loss to be seeds of one recipe, got digits-lgm-s0 (digits-lgm) and "
        "digits-lgm-2d-s0 (digits-lgm-2d); "
        "give each recipe its own suite"
    )


def test_a_defense_named_after_a_loss_is_not_pooled() -> None:
    first = entrant_from_checkpoint("digits-lgm-s0")
    user = replace(first, name="lgm", recipe="")
    for order in ([first, user], [user, first]):
        with pytest.raises(
            DefenseError, match="named after no loss of this run, got 'lgm'; give it another name"
        ):
            check_names(order)


def test_names_are_not_shared() -> None:
    first = entrant_from_checkpoint("digits-lgm-s0")
    with pytest.raises(DefenseError, match="its own name, got 'digits-lgm-s0' twice"):
        check_names([first, first])


def test_a_plan_is_held_to_its_names() -> None:
    suite = load_suite("digits-v2").model_copy(update={"models": ("digits-softmax-s0",)})
    with pytest.raises(
        DefenseError,
        match=r"got digits-softmax-s0 \(digits-softmax\) and digits-surrogate-s0 \(digits-surrogate\)",
    ):
        make_plan(suite, defenses=["digits-surrogate-s0"])
