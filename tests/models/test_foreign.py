"""Other people's models compute as a `Classifier` what they compute at home; made here, small, without a network."""

import inspect
import os
import pickle
import sys
import warnings
import zipfile
from collections.abc import Callable, Mapping
from enum import Enum
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.error import URLError

import platformdirs
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from gmbench.models.foreign import Foreign, ForeignError, is_foreign, load_foreign, models_root, needs_trust

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)


class Net(nn.Module):
    def __init__(self, channels: int = 3, classes: int = 5) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(6, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.drop(self.body(x)))  # type: ignore[no-any-return]


NET = f"from torch import Tensor, nn\n\n{inspect.getsource(Net)}"
LAST = "self.fc(self.drop(self.body(x)))"


def images(side: int = 32, channels: int = 3, count: int = 3) -> Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(1))


def made(build: Callable[..., nn.Module] = Net, *arguments: Any) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build(*arguments).eval()


def normalised(x: Tensor, mean: tuple[float, ...] = MEAN, std: tuple[float, ...] = STD) -> Tensor:
    normal: Tensor = torchvision.transforms.functional.normalize(x, mean, std)
    return normal


def check(classifier: Foreign, x: Tensor, logits: Tensor, features: Tensor | None) -> None:
    """Hold a loaded model to the logits and features that its original gives; None for a model whose features are its logits."""
    assert not any(module.training for module in classifier.modules())
    x = x.clone().requires_grad_()
    outputs = classifier.outputs(x)
    torch.testing.assert_close(outputs.logits, logits, rtol=0, atol=0)
    torch.testing.assert_close(classifier(x), logits, rtol=0, atol=0)
    torch.testing.assert_close(outputs.features, logits if features is None else features, rtol=0, atol=0)
    torch.testing.assert_close(classifier.head(outputs.features), logits, rtol=0, atol=0)
    assert classifier.features_are_logits == (features is None)
    assert classifier.classes == logits.shape[1]
    assert outputs.log_likelihood is None
    torch.testing.assert_close(classifier(x[:1]), logits[:1], rtol=1e-4, atol=1e-5)  # any batch size
    (gradient,) = torch.autograd.grad(outputs.logits[:, 0].sum(), x)
    assert (gradient.flatten(1).abs().amax(1) > 0).all()


def install(monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> None:
    """Let the modules be imported as if their package were installed."""
    monkeypatch.setattr("gmbench.models.foreign_hub.importlib.metadata.version", lambda _name: "1.0")
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
    features = model.conv5(model.stage4(model.stage3(model.stage2(model.maxpool(model.conv1(z)))))).mean([2, 3])
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


class Planted:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.putenv, ("PLANTED", "1")


@pytest.mark.parametrize("environment", [{}, {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}])
def test_pickles_that_run_code_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> None:
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    place_torchvision("squeezenet1_1", tmp_path)
    (file,) = (tmp_path / "hub" / "checkpoints").iterdir()
    torch.save({"weight": Planted()}, file)
    with pytest.raises(ForeignError, match="pickled with more than tensors, which could run code, and is refused") as caught:
        load_foreign("torchvision:squeezenet1_1", tmp_path)
    assert "\n" not in str(caught.value)


def test_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torch.hub.urlopen", unreachable)
    with pytest.raises(ForeignError, match=r"torchvision:squeezenet1_1 cannot be fetched: .*no route to host.*check the network") as caught:
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
        raise FileNotFoundError("cannot find it on the Hub\nand more")  # what huggingface_hub's LocalEntryNotFoundError is

    fake_timm(monkeypatch, create_model)
    with pytest.raises(ForeignError, match=r"timm:tiny_net cannot be fetched: cannot find it on the Hub; check the network") as caught:
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
        BenchmarkDataset.cifar_10: {ThreatModel.Linf: {"Standard": {}, "Wong2020Fast": {}}, ThreatModel.L2: {"Standard": {}}},
        BenchmarkDataset.imagenet: {ThreatModel.Linf: {"Salman2020Do_R18": {}}},
    }
    parts["utils"].load_model = load_model
    crop = torchvision.transforms.Compose([torchvision.transforms.CenterCrop(24), torchvision.transforms.ToTensor()])
    whole = torchvision.transforms.ToTensor()
    parts["data"].get_preprocessing = lambda dataset, *_: crop if dataset is BenchmarkDataset.imagenet else whole
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, shape: tuple[int, ...], asked: tuple[str, ...], capsys: Any
) -> None:
    def load_model(model_name: str, model_dir: str | Path = "./models", dataset: str = "", threat_model: str = "") -> nn.Module:
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
def test_robustbench_without_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str) -> None:
    def load_model(*_: object, **__: object) -> nn.Module:
        raise error

    fake_robustbench(monkeypatch, load_model)
    with pytest.raises(ForeignError, match=f"robustbench:Wong2020Fast .*{message}") as caught:
        load_foreign("robustbench:Wong2020Fast", tmp_path)
    assert "\n" not in str(caught.value)


# files


def export(model: nn.Module, path: Path, *, batch: bool = True, x: Tensor | None = None) -> str:
    shapes = ({0: torch.export.Dim("batch")},) if batch else None
    torch.export.save(torch.export.export(model, (images(8, count=2) if x is None else x,), dynamic_shapes=shapes), path)
    return str(path)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pt2") / "net.pt2"
    export(made(), path)
    return path


def test_pt2(archive: Path) -> None:
    name = str(archive)
    classifier = load_foreign(name)
    assert classifier.shape == (3, 8, 8)
    check(classifier, images(8), made()(images(8)), None)
    assert load_foreign(f"pt2:{name}").fingerprint == classifier.fingerprint


def test_pt2_for_a_fixed_number_of_images(tmp_path: Path) -> None:
    with pytest.raises(ForeignError, match=r"expected net.pt2 to take any number of images, got a program for 2; export it with"):
        load_foreign(export(made(), tmp_path / "net.pt2", batch=False))


def test_pt2_that_takes_no_images(tmp_path: Path) -> None:
    with pytest.raises(ForeignError, match=r"expected net.pt2 to take images .*, got 2 dimensions"):
        load_foreign(export(nn.Linear(4, 3).eval(), tmp_path / "net.pt2", x=torch.rand(2, 4)))


def test_pt2_with_a_flipped_bit_is_refused(tmp_path: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive) as content:
        place = next(entry for entry in content.infolist() if entry.filename.endswith("weight_0"))
    spoilt = bytearray(archive.read_bytes())
    spoilt[place.header_offset + 30 + len(place.filename) + 80] ^= 1
    (tmp_path / "net.pt2").write_bytes(spoilt)
    with pytest.raises(ForeignError, match=r"net.pt2 is damaged: the checksum of .*weight_0 does not fit"):
        load_foreign(str(tmp_path / "net.pt2"))


def test_pt2_with_a_damaged_directory_is_one_line(tmp_path: Path, archive: Path) -> None:
    before, _, after = archive.read_bytes().rpartition(b"PK\x01\x02")
    (tmp_path / "net.pt2").write_bytes(before + b"PK\x01\x03" + after)
    with pytest.raises(ForeignError, match=r"net.pt2 does not load: BadZipFile") as caught:
        load_foreign(str(tmp_path / "net.pt2"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("entry", ["constants/opaque_obj_0", "constants/custom_obj_0", "aotinductor/model/model.so"])
def test_pt2_with_more_than_tensors_is_refused(tmp_path: Path, archive: Path, entry: str) -> None:
    path = tmp_path / "net.pt2"
    path.write_bytes(archive.read_bytes())
    with zipfile.ZipFile(path, "a") as content:
        content.writestr(f"net/data/{entry}", pickle.dumps(Planted()))
    with pytest.raises(ForeignError, match=r"hold a graph and tensors, got also .*which could run code: refused"):
        load_foreign(str(path))


@pytest.mark.parametrize("script", [False, True])
def test_torchscript(tmp_path: Path, script: bool) -> None:
    model, path = made(), tmp_path / "net.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates what users still have
        program = torch.jit.script(model) if script else torch.jit.trace(model, images(8))
        torch.jit.save(program, path)
        torch.jit.save(program, tmp_path / "net.ts")
    classifier = load_foreign(f"torchscript:{path}")
    assert classifier.shape is None
    check(classifier, images(8), model(images(8)), None)
    assert load_foreign(str(tmp_path / "net.ts")).classes == 5


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
    text = f"from torch import nn\ndef Net(): return nn.Sequential(nn.Flatten(), nn.Linear({channels * side**2}, 4))"
    model = nn.Sequential(nn.Flatten(), made(nn.Linear, channels * side**2, 4))
    x = images(side, channels)
    check(load_foreign(write_python(tmp_path, model, text)), x, model(x), x.flatten(1))


def test_the_input_of_another_net_is_told(tmp_path: Path) -> None:
    text = "from torch import nn\ndef Net(): return nn.Sequential(nn.Conv2d(2, 1, 1), nn.Flatten(), nn.Linear(35, 4))"
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 1, 1), nn.Flatten(), nn.Linear(35, 4))
    name = write_python(tmp_path, model, text)
    x = torch.rand(3, 2, 5, 7)
    check(load_foreign(name, shape=(2, 5, 7)), x, model(x), model[:2](x))
    with pytest.raises(ForeignError, match=r"does not work as a classifier; on images of shape \(2, 512, 512\): mat1 and mat2"):
        load_foreign(name)


@pytest.mark.parametrize(
    "last",
    [
        "self.fc(self.body(x)) + 0 * self.fc.weight.sum()",  # asks for more than the layer's output
        "self.fc(self.body(x)) * (self.fc(self.body(x)).shape[1] - 4)",  # and here without failing for want of it
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
    check(load_foreign(write_python(tmp_path, model, text), shape=(3, 8, 8)), images(8), model(images(8)), None)


# names and errors


def test_who_is_foreign() -> None:
    assert [is_foreign(name) for name in ("torchvision:x", "torchvison:x", "a/b.pt2", "b.ts", "f.py:C@w.safetensors")] == [True] * 5
    assert [is_foreign(name) for name in ("mnist-lgm-s0", "a/b.safetensors", "a/b.pt", "defense.py", "a/b.json")] == [False] * 5


def test_who_needs_trust() -> None:
    hubs = ("torchvision:resnet18.DEFAULT", "timm:resnet18.a1_in1k", "robustbench:cifar10/Linf/Standard")
    assert [needs_trust(name) for name in (*hubs, "mnist-lgm-s0", "a/b.pt")] == [False] * 5
    strange = ("a/b.pt2", "pt2:b", "b.ts", "torchscript:b.pt", "f.py:C@w.safetensors", "python:f.py:C@w.safetensors", "timm:hf-hub:a/b")
    assert [needs_trust(name) for name in strange] == [True] * 7


def test_where_fetched_models_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GMBENCH_MODELS", raising=False)
    assert models_root() == platformdirs.user_cache_path("gmbench") / "models"
    monkeypatch.setenv("GMBENCH_MODELS", str(tmp_path))
    assert models_root() == tmp_path
    assert models_root(tmp_path / "a") == tmp_path / "a"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torchvison:resnet18", "no kind of model named 'torchvison'; did you mean 'torchvision'?"),
        ("resnet18", "expected a model's name to be KIND:NAME with one of pt2, python, robustbench, timm, torchscript, torchvision"),
        ("torchvision:resnet81", "no model named 'torchvision:resnet81'; did you mean 'torchvision:resnet18'?"),
        ("torchvision:resnet18.IMAGENET1K_V2", "did you mean 'torchvision:resnet18.IMAGENET1K_V1'?"),
        ("torchvision:%%%", "no model named 'torchvision:%%%'; it has 80 others"),
        ("timm:tiny_met", "no model named 'timm:tiny_met'; did you mean 'timm:tiny_net'?"),
        ("timm:untrained_net", "no model named 'timm:untrained_net'"),
        ("robustbench:Wong2020Fats", "did you mean 'robustbench:Wong2020Fast'?"),
        ("robustbench:cifar10/Linf/Wong2020Fats", "did you mean 'robustbench:cifar10/Linf/Wong2020Fast'?"),
        ("nowhere.pt2", "no model file at nowhere.pt2"),
        ("net.py:Net", "to be FILE.py:CLASS@WEIGHTS.safetensors, got 'net.py:Net'"),
        ("python:net.py", "to be FILE.py:CLASS@WEIGHTS.safetensors, got 'net.py'"),
    ],
)
def test_unknown_names_are_one_line(monkeypatch: pytest.MonkeyPatch, name: str, message: str) -> None:
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

    monkeypatch.setattr("gmbench.models.foreign_hub.importlib.metadata.version", find)
    monkeypatch.setitem(sys.modules, package, ModuleType(package))  # another's folder of that name, as torchattacks has one, is no package
    with pytest.raises(ForeignError, match=rf"needs the package {package}; install it with: pip install 'gmbench\[{package}\]'"):
        load_foreign(f"{package}:anything")


@pytest.mark.parametrize(
    ("lacking", "command"), [("gdown", "pip install gdown"), ("autoattack", "pip install git+https://github.com/fra31/auto-attack")]
)
def test_a_package_that_lacks_another(monkeypatch: pytest.MonkeyPatch, lacking: str, command: str) -> None:
    def find(_name: str) -> ModuleType:
        raise ModuleNotFoundError(f"No module named '{lacking}'", name=lacking)

    install(monkeypatch)
    monkeypatch.setattr("gmbench.models.foreign_hub.importlib.import_module", find)
    with pytest.raises(ForeignError) as caught:
        load_foreign("robustbench:anything")
    assert str(caught.value) == f"the installed robustbench lacks {lacking}; install it with: {command}"


@pytest.mark.parametrize("name", ["net.pt2", "torchscript:net.pt", "zip.pt2", "torchscript:zip.pt2"])
def test_damaged_files_are_one_line(tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    kind, colon, file = name.rpartition(":")
    torch.save({"a": torch.ones(1)}, tmp_path / "zip.pt2")  # an archive of another kind
    for damaged in ("net.pt2", "net.pt"):
        (tmp_path / damaged).write_bytes(b"nothing")
    with pytest.raises(ForeignError, match=f"{file} (is no archive of torch.export|does not load)") as caught:
        load_foreign(f"{kind}{colon}{tmp_path / file}")
    assert "\n" not in str(caught.value)
    assert not caplog.records


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
        (NET.replace("classes: int = 5", "classes: int = 6"), "net.safetensors does not fit Net of net.py: size mismatch"),
        (NET.replace("return ", "return 'nothing' or "), "does not work as a classifier; expected logits of shape"),
        (
            NET.replace("nn.Flatten()", "nn.Identity()").replace("self.drop(self.body(x))", "self.body(x)[..., 0]"),
            "not work as a classifier",
        ),
        (
            "from torch import nn\nfrom gmbench import Classifier\ndef Net(): return Classifier(nn.Flatten(), nn.Linear(9, 5))",
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
    with pytest.raises(ForeignError, match=r"net.safetensors does not fit Net of net.py"):
        load_foreign(name)
