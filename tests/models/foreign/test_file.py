"""A class in a Python file with its safetensors computes as a `Classifier` what it computes by itself."""

import inspect
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from gmbench.models.foreign.load import ForeignError, load_foreign

from .foreign_nets import Net, Planted, check, images, made

NET = f"from torch import Tensor, nn\n\n{inspect.getsource(Net)}"
LAST = "self.fc(self.drop(self.body(x)))"


def write_python(folder: Path, model: nn.Module, text: str = NET) -> str:
    (folder / "net.py").write_text(text)
    save_file(model.state_dict(), folder / "net.safetensors")
    return f"{folder / 'net.py'}:Net@{folder / 'net.safetensors'}"


def test_python(tmp_path: Path) -> None:
    model = made()
    name = write_python(tmp_path, model)
    classifier = load_foreign(name)
    check(classifier, images(8), model(images(8)), model.body(images(8)))
    assert load_foreign(f"python:{name}").fingerprint == classifier.fingerprint
    write_python(tmp_path, model, NET + "# changed\n")
    assert load_foreign(name).fingerprint != classifier.fingerprint
    write_python(tmp_path, Net())
    assert load_foreign(name).fingerprint != classifier.fingerprint


@pytest.mark.parametrize(("channels", "side"), [(1, 28), (3, 20)])
def test_the_input_of_a_fully_connected_net_is_found(tmp_path: Path, channels: int, side: int) -> None:
    text = (
        "from torch import nn\n"
        f"def Net(): return nn.Sequential(nn.Flatten(), nn.Linear({channels * side**2}, 4))"
    )
    model = nn.Sequential(nn.Flatten(), made(nn.Linear, channels * side**2, 4))
    x = images(side, channels)
    check(load_foreign(write_python(tmp_path, model, text)), x, model(x), x.flatten(1))


def test_the_input_of_another_net_is_told(tmp_path: Path) -> None:
    text = (
        "from torch import nn\n"
        "def Net(): return nn.Sequential(nn.Conv2d(2, 1, 1), nn.Flatten(), nn.Linear(35, 4))"
    )
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 1, 1), nn.Flatten(), nn.Linear(35, 4))
    name = write_python(tmp_path, model, text)
    x = torch.rand(3, 2, 5, 7)
    check(load_foreign(name, shape=(2, 5, 7)), x, model(x), model[:2](x))
    with pytest.raises(
        ForeignError,
        match=r"does not work as a classifier; on images of shape \(2, 512, 512\): mat1 and mat2",
    ):
        load_foreign(name)


@pytest.mark.parametrize(
    "last",
    [
        "self.fc(self.body(x)) + 0 * self.fc.weight.sum()",  # asks for more than the layer's output
        # and here without failing for want of it
        "self.fc(self.body(x)) * (self.fc(self.body(x)).shape[1] - 4)",
        "(self.fc(self.body(x)) + 99) - self.fc(0 * self.body(x)) - 99",
        "torch.relu(self.fc(self.body(x)))",  # the logits are positive, see below
    ],
)
def test_a_layer_that_cannot_be_taken_out_stays(tmp_path: Path, last: str) -> None:
    text = "import torch\n" + NET.replace(LAST, last)
    own: dict[str, Any] = {}
    exec(text, own)
    model = made(own["Net"])
    nn.init.constant_(model.fc.bias, 9.0)
    check(
        load_foreign(write_python(tmp_path, model, text), shape=(3, 8, 8)), images(8), model(images(8)), None
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "expected net.py to define Net"),
        ("def Net(a): pass", r"Net\(\) of net.py failed: TypeError"),
        ("def Net(): return 3", r"expected Net\(\) of net.py to be a torch.nn.Module, got int"),
        ("import nowhere", "net.py failed: ModuleNotFoundError"),
        ("def Net(:", "net.py failed: SyntaxError"),
        ("raise SystemExit(0)", "net.py failed: SystemExit"),
        ("def Net(): raise SystemExit(0)", r"Net\(\) of net.py failed: SystemExit"),
        (
            NET.replace("classes: int = 5", "classes: int = 6"),
            "net.safetensors does not fit Net of net.py: size mismatch",
        ),
        (
            NET.replace("return ", "return 'nothing' or "),
            "does not work as a classifier; expected logits of shape",
        ),
        (
            NET.replace("nn.Flatten()", "nn.Identity()").replace(
                "self.drop(self.body(x))", "self.body(x)[..., 0]"
            ),
            "not work as a classifier",
        ),
        (
            (
                "from torch import nn\nfrom gmbench import Classifier\ndef Net(): return "
                "Classifier(nn.Flatten(), nn.Linear(9, 5))"
            ),
            "is a gmbench.Classifier already; return it from build",
        ),
    ],
)
def test_bad_python_files_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ForeignError, match=message) as caught:
        load_foreign(write_python(tmp_path, made(), text), shape=(3, 8, 8))
    assert "\n" not in str(caught.value)


def test_weights_that_are_no_safetensors(tmp_path: Path) -> None:
    name = write_python(tmp_path, made())
    (tmp_path / "net.safetensors").write_bytes(pickle.dumps(Planted()))
    with pytest.raises(ForeignError, match=r"^net\.safetensors is no file of safetensors: "):
        load_foreign(name)
