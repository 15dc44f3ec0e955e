"""Models of torchvision, timm and RobustBench compute as a `Classifier` what they compute at home.

Small, made here, without a network.
"""

import os
import pickle
import sys
import warnings
from collections.abc import Callable, Mapping
from enum import Enum
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.error import URLError

import pytest
import torch
import torchvision
from torch import Tensor, nn

from gmbench.models.foreign.load import ForeignError, load_foreign

from .foreign_nets import MEAN, STD, Net, Planted, check, images, made, normalised


def install(monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> None:
    """Let the modules be imported as if their package were installed."""
    monkeypatch.setattr("gmbench.models.foreign.hub.importlib.metadata.version", lambda _name: "1.0")
    for module in modules:
        monkeypatch.setitem(sys.modules, module.__name__, module)


# torchvision


def place_torchvision(name: str, cache: Path) -> nn.Module:
    """Put random weights where torch would put the fetched ones; returns the model that has them."""
    model = made(lambda: torchvision.models.get_model(name, weights=None))
    url = torchvision.models.get_model_weights(name).DEFAULT.url
    folder = cache / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(model.state_dict(), folder / Path(url).name)
    return model


@torch.no_grad()
def test_torchvision(tmp_path: Path) -> None:
    model = place_torchvision("shufflenet_v2_x0_5", tmp_path)
    before = torch.get_rng_state(), dict(os.environ)
    classifier = load_foreign("torchvision:shufflenet_v2_x0_5", tmp_path)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert dict(os.environ) == before[1]
    assert (classifier.shape, classifier.classes) == ((3, 224, 224), 1000)
    x = images(64)
    z = normalised(x, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    features = model.conv5(model.stage4(model.stage3(model.stage2(model.maxpool(model.conv1(z)))))).mean(
        [2, 3]
    )
    with torch.enable_grad():
        check(classifier, x, model(z), features)
    named = load_foreign("torchvision:shufflenet_v2_x0_5.IMAGENET1K_V1", tmp_path)
    assert named.fingerprint == classifier.fingerprint


@torch.no_grad()
def test_a_last_layer_that_is_not_linear(tmp_path: Path) -> None:
    model = place_torchvision("squeezenet1_1", tmp_path)
    x = images(64)
    with torch.enable_grad():
        logits = model(normalised(x, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        check(load_foreign("torchvision:squeezenet1_1", tmp_path), x, logits, None)


@pytest.mark.parametrize("environment", [{}, {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}])
def test_pickles_that_run_code_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]
) -> None:
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    place_torchvision("squeezenet1_1", tmp_path)
    (file,) = (tmp_path / "hub" / "checkpoints").iterdir()
    torch.save({"weight": Planted()}, file)
    with pytest.raises(
        ForeignError, match="pickled with more than tensors, which could run code, and is refused"
    ) as caught:
        load_foreign("torchvision:squeezenet1_1", tmp_path)
    assert "\n" not in str(caught.value)


def test_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torch.hub.urlopen", unreachable)
    with pytest.raises(
        ForeignError,
        match=r"torchvision:squeezenet1_1 cannot be fetched: .*no route to host.*check the network",
    ) as caught:
        load_foreign("torchvision:squeezenet1_1", tmp_path)
    assert "\n" not in str(caught.value)


# timm


def fake_timm(monkeypatch: pytest.MonkeyPatch, create_model: Callable[..., nn.Module]) -> None:
    timm = ModuleType("timm")
    vars(timm).update(
        list_pretrained=lambda: ["tiny_net.a1_in5", "tiny_net.b1_in5"],  # timm lists no name without its tag
        create_model=create_model,
        __version__="1.0.31",
    )
    install(monkeypatch, timm)


def timm_net(classes: int = 5) -> nn.Module:
    model = made(Net, 3, classes)
    model.num_classes = classes
    model.pretrained_cfg = {"mean": MEAN, "std": STD, "input_size": (3, 20, 24), "num_classes": classes}
    return model


@pytest.mark.parametrize("name", ["tiny_net", "tiny_net.b1_in5", "hf-hub:somebody/net"])
def test_timm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    asked: list[object] = []

    def create_model(model_name: str, pretrained: bool = False, cache_dir: str | None = None) -> nn.Module:
        asked.extend((model_name, pretrained, cache_dir))
        return timm_net()

    fake_timm(monkeypatch, create_model)
    classifier = load_foreign(f"timm:{name}", tmp_path)
    assert asked == [name, True, str(tmp_path / "timm")]
    assert classifier.shape == (3, 20, 24)
    x = images(24)
    model = timm_net()
    check(classifier, x, model(normalised(x)), model.body(normalised(x)))


def test_timm_before_it_had_a_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def create_model(_name: str, pretrained: bool = False, **kwargs: object) -> nn.Module:
        assert pretrained
        assert not kwargs  # they would reach the network's constructor
        return timm_net()

    fake_timm(monkeypatch, create_model)
    assert load_foreign("timm:tiny_net", tmp_path).classes == 5


def test_timm_without_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_timm(monkeypatch, lambda *_, **__: timm_net(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch, of a layer without outputs
        with pytest.raises(ForeignError, match="expected timm:tiny_net to be a classifier"):
            load_foreign("timm:tiny_net", tmp_path)


def test_timm_without_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def create_model(*_: object, **__: object) -> nn.Module:
        # what huggingface_hub's LocalEntryNotFoundError is
        raise FileNotFoundError("cannot find it on the Hub\nand more")

    fake_timm(monkeypatch, create_model)
    with pytest.raises(
        ForeignError, match=r"timm:tiny_net cannot be fetched: cannot find it on the Hub; check the network"
    ) as caught:
        load_foreign("timm:tiny_net", tmp_path)
    assert "\n" not in str(caught.value)


# RobustBench


class BenchmarkDataset(Enum):
    cifar_10 = "cifar10"
    imagenet = "imagenet"


class ThreatModel(Enum):
    Linf = "Linf"
    L2 = "L2"


class SelfNormalised(nn.Module):
    """What RobustBench's models are: the normalisation is theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Net()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.inner(normalised(x))
        return logits


def fake_robustbench(monkeypatch: pytest.MonkeyPatch, load_model: Callable[..., nn.Module]) -> None:
    parts = {part: ModuleType(f"robustbench.{part}") for part in ("model_zoo", "utils", "data")}
    parts["model_zoo"].model_dicts = {
        BenchmarkDataset.cifar_10: {
            ThreatModel.Linf: {"Standard": {}, "Wong2020Fast": {}},
            ThreatModel.L2: {"Standard": {}},
        },
        BenchmarkDataset.imagenet: {ThreatModel.Linf: {"Salman2020Do_R18": {}}},
    }
    parts["utils"].load_model = load_model
    crop = torchvision.transforms.Compose(
        [torchvision.transforms.CenterCrop(24), torchvision.transforms.ToTensor()]
    )
    whole = torchvision.transforms.ToTensor()
    parts["data"].get_preprocessing = lambda dataset, *_: (
        crop if dataset is BenchmarkDataset.imagenet else whole
    )
    install(monkeypatch, ModuleType("robustbench"), *parts.values())


@pytest.mark.parametrize(
    ("name", "shape", "asked"),
    [
        ("Wong2020Fast", (3, 32, 32), ("Wong2020Fast", "cifar10", "Linf")),
        ("cifar10/L2/Standard", (3, 32, 32), ("Standard", "cifar10", "L2")),
        ("Salman2020Do_R18", (3, 24, 24), ("Salman2020Do_R18", "imagenet", "Linf")),
    ],
)
def test_robustbench(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    shape: tuple[int, ...],
    asked: tuple[str, ...],
    capsys: Any,
) -> None:
    def load_model(
        model_name: str, model_dir: str | Path = "./models", dataset: str = "", threat_model: str = ""
    ) -> nn.Module:
        print("Downloading")  # noqa: T201 - as RobustBench does
        assert (model_name, dataset, threat_model) == asked
        assert Path(model_dir) == tmp_path / "robustbench"
        assert os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] == "1"
        return made(SelfNormalised)

    fake_robustbench(monkeypatch, load_model)
    classifier = load_foreign(f"robustbench:{name}", tmp_path)
    assert capsys.readouterr().out == ""
    assert classifier.shape == shape
    x, model = images(shape[-1]), made(SelfNormalised)
    check(classifier, x, model(x), model.inner.body(normalised(x)))


def test_a_name_that_robustbench_has_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_robustbench(monkeypatch, lambda *_, **__: made())
    with pytest.raises(ForeignError, match="got 2; say one of cifar10/L2/Standard, cifar10/Linf/Standard"):
        load_foreign("robustbench:Standard", tmp_path)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            RuntimeError("Cannot retrieve the public link"),
            "does not load: RuntimeError: Cannot retrieve the public link",
        ),  # gdown's is no OSError
        (pickle.UnpicklingError("Weights only load failed"), "pickled with more than tensors"),
        (FileNotFoundError("[Errno 2] Wong2020Fast.pt"), "cannot be fetched"),
    ],
)
def test_robustbench_without_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def load_model(*_: object, **__: object) -> nn.Module:
        raise error

    fake_robustbench(monkeypatch, load_model)
    with pytest.raises(ForeignError, match=f"robustbench:Wong2020Fast .*{message}") as caught:
        load_foreign("robustbench:Wong2020Fast", tmp_path)
    assert "\n" not in str(caught.value)


# names and packages


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "torchvision:resnet81",
            "no model named 'torchvision:resnet81'; did you mean 'torchvision:resnet18'?",
        ),
        ("torchvision:resnet18.IMAGENET1K_V2", "did you mean 'torchvision:resnet18.IMAGENET1K_V1'?"),
        ("torchvision:%%%", "no model named 'torchvision:%%%'; it has 80 others"),
        ("timm:tiny_met", "no model named 'timm:tiny_met'; did you mean 'timm:tiny_net'?"),
        ("timm:untrained_net", "no model named 'timm:untrained_net'"),
        ("robustbench:Wong2020Fats", "did you mean 'robustbench:Wong2020Fast'?"),
        ("robustbench:cifar10/Linf/Wong2020Fats", "did you mean 'robustbench:cifar10/Linf/Wong2020Fast'?"),
    ],
)
def test_names_that_no_hub_has_are_one_line(monkeypatch: pytest.MonkeyPatch, name: str, message: str) -> None:
    fake_timm(monkeypatch, lambda *_, **__: made())
    fake_robustbench(monkeypatch, lambda *_, **__: made())
    with pytest.raises(ForeignError) as caught:
        load_foreign(name)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("package", ["timm", "robustbench"])
def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    def find(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("gmbench.models.foreign.hub.importlib.metadata.version", find)
    # another's folder of that name, as torchattacks has one, is no package
    monkeypatch.setitem(sys.modules, package, ModuleType(package))
    with pytest.raises(
        ForeignError,
        match=rf"needs the package {package}; install it with: pip install 'gmbench\[{package}\]'",
    ):
        load_foreign(f"{package}:anything")


@pytest.mark.parametrize(
    ("lacking", "command"),
    [("gdown", "pip install gdown"), ("autoattack", "pip install git+https://github.com/fra31/auto-attack")],
)
def test_a_package_that_lacks_another(monkeypatch: pytest.MonkeyPatch, lacking: str, command: str) -> None:
    def find(_name: str) -> ModuleType:
        raise ModuleNotFoundError(f"No module named '{lacking}'", name=lacking)

    install(monkeypatch)
    monkeypatch.setattr("gmbench.models.foreign.hub.importlib.import_module", find)
    with pytest.raises(ForeignError) as caught:
        load_foreign("robustbench:anything")
    assert str(caught.value) == f"the installed robustbench lacks {lacking}; install it with: {command}"
