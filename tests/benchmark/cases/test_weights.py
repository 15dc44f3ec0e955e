"""Weights as people have them: under prefixes, in checkpoints of Lightning, with tied tensors."""

import hashlib
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import Tensor, nn

from gmbench.models import CheckpointError, load_checkpoint
from gmbench.models.checkpoint import Card, write_card
from gmbench.models.foreign.load import Foreign, ForeignError, load_foreign

from .conftest import Bench

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU())
        self.fc = nn.Linear(6, 10)

    def forward(self, x):
        return self.fc(self.body(x))
"""

TIED = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.fc = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.fc(self.second(self.first(x.flatten(1)).relu()))
"""

X = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def built(text: str = NET) -> nn.Module:
    own: dict[str, Any] = {}
    exec(text, own)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net: nn.Module = own["Net"]()
    return net.eval()


def under(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{key}": value for key, value in state.items()}


def spell(folder: Path, weights: str, text: str = NET) -> str:
    (folder / "net.py").write_text(text)
    return f"{folder / 'net.py'}:Net@{folder / weights}"


def load(folder: Path, weights: str, text: str = NET) -> Foreign:
    return load_foreign(spell(folder, weights, text), shape=(1, 8, 8))


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "model.", "_orig_mod.module.", "model._orig_mod."]
)
def test_a_common_prefix_is_taken_off_and_said(tmp_path: Path, prefix: str) -> None:
    net = built()
    save_file(under(prefix, net.state_dict()), tmp_path / "net.safetensors")
    loaded = load(tmp_path, "net.safetensors")
    assert loaded(X).equal(net(X))
    assert loaded.note == f"the prefix '{prefix}' was taken off the weights' keys"


def test_weights_that_fit_as_they_are_keep_their_keys(tmp_path: Path) -> None:
    text = NET.replace("self.body", "self.model").replace("self.fc", "self.model[1]")
    text = text.replace(
        "        self.model[1] = nn.Linear(6, 10)\n", "        self.model.append(nn.Linear(6, 10))\n"
    )
    text = text.replace("return self.model[1](self.model(x))", "return self.model(x)")
    net = built(text)
    assert all(key.startswith("model.") for key in net.state_dict())
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    loaded = load(tmp_path, "net.safetensors", text)
    assert loaded(X).equal(net(X))
    assert loaded.note == ""


@pytest.mark.parametrize("suffix", ["ckpt", "pth", "pt", "bin"])
@pytest.mark.parametrize(
    "pack",
    [
        lambda state: state,
        lambda state: {"epoch": 3, "state_dict": under("model.", state), "optimizer_states": [{"lr": 0.1}]},
        lambda state: {"model_state_dict": under("module.", state), "loss": 0.5},
        lambda state: {"model": state, "args": {"lr": 0.1}},
    ],
    ids=["plain", "lightning", "tutorial", "model"],
)
def test_what_torch_saved_is_read_as_tensors(
    tmp_path: Path, suffix: str, pack: Callable[[dict[str, Tensor]], dict[str, Any]]
) -> None:
    net = built()
    torch.save(pack(net.state_dict()), tmp_path / f"net.{suffix}")
    assert load(tmp_path, f"net.{suffix}")(X).equal(net(X))


def test_tied_weights_load(tmp_path: Path) -> None:
    net = built(TIED)
    save_model(net, str(tmp_path / "net.safetensors"))  # leaves one of the two out
    torch.save(net.state_dict(), tmp_path / "net.pth")  # has both
    for weights in ("net.safetensors", "net.pth"):
        assert load(tmp_path, weights, TIED)(X).equal(net(X))


REFUSED: dict[str, tuple[Callable[[nn.Module], object], str]] = {
    "objects.ckpt": (
        lambda net: {"state_dict": net.state_dict(), "hyper_parameters": Namespace(lr=0.1)},
        "objects.ckpt is pickled with more than tensors, which could run code, and is refused; save its ",
    ),
    "whole.pt": (lambda net: net, "whole.pt is pickled with more than tensors, which could run code"),
    "nothing.pth": (
        lambda _: {"epoch": 3},
        "expected nothing.pth to be a state_dict, or to hold one as state_dict, model_state_dict, model",
    ),
    "other.pth": (
        lambda net: {key.replace("fc", "head"): value for key, value in net.state_dict().items()},
        "other.pth does not fit Net of net.py: the weights lack fc.weight, fc.bias and have also head.weight",
    ),
    "extra.pth": (
        lambda net: {**under("model.", net.state_dict()), "criterion.weight": torch.zeros(3)},
        "extra.pth does not fit Net of net.py: the weights lack body.1.weight, body.1.bias, fc.weight and 1 ",
    ),
    "size.pth": (
        lambda net: {**net.state_dict(), "fc.weight": torch.zeros(5, 6)},
        "size.pth does not fit Net of net.py: size mismatch for fc.weight",
    ),
}


@pytest.mark.parametrize("weights", REFUSED)
def test_other_weights_are_one_line(tmp_path: Path, weights: str) -> None:
    pack, message = REFUSED[weights]
    net = nn.Linear(2, 2) if weights == "whole.pt" else built()
    torch.save(pack(net), tmp_path / weights)
    with pytest.raises(ForeignError) as caught:
        load(tmp_path, weights)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["net.pth", "net.ckpt", "net.safetensors"])
@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"PK\x03\x04 cut off"])
def test_a_damaged_file_is_one_line(bench: Bench, name: str, content: bytes) -> None:
    (bench.folder / name).write_bytes(content)
    line = bench.refused(bench.suite(), "--defense", spell(bench.folder, name))
    assert line.startswith(name)


def test_a_run_says_what_was_taken_off(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    save_file(under("module.", built().state_dict()), bench.folder / "net.safetensors")
    name = spell(bench.folder, "net.safetensors")
    assert bench.command("run", bench.suite(), "--defense", name, "--dry-run") == 0
    assert "net.py-Net-net.safetensors: the prefix 'module.' was taken off" in capsys.readouterr().out


def test_a_checkpoint_of_a_parallel_training_loads(tmp_path: Path) -> None:
    classifier, card = load_checkpoint("digits-softmax-s0")
    torch.save(under("module.", classifier.state_dict()), tmp_path / "mine.pt")
    write_sealed(card, tmp_path)
    assert load_checkpoint(tmp_path / "mine.pt")[0](X).equal(classifier(X))
    torch.save({"state_dict": classifier.state_dict(), "by": Namespace()}, tmp_path / "mine.pt")
    write_sealed(card, tmp_path)
    with pytest.raises(CheckpointError, match=r"^mine.pt is pickled with more than tensors"):
        load_checkpoint(tmp_path / "mine.pt")


def write_sealed(card: Card, folder: Path) -> None:
    sha256 = hashlib.sha256((folder / "mine.pt").read_bytes()).hexdigest()
    write_card(card.model_copy(update={"name": "mine", "sha256": sha256}), folder)
