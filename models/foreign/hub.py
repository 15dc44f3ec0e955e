"""Models of the hubs: torchvision, timm and RobustBench.

The first time they are fetched, afterwards read from the cache folder.

What they unpickle. RobustBench 1.1.1 calls `torch.load` without ``weights_only`` (which torch 2.6 and later
take for True unless the environment says otherwise) and torchvision calls it with False; timm prefers
safetensors and asks for ``weights_only`` itself. Here TORCH_FORCE_WEIGHTS_ONLY_LOAD, which torch obeys
whatever the caller asked for, is set while a hub works: a checkpoint that is pickled with more than tensors,
as some of RobustBench's older ones are, is refused and no code of its runs.

What they verify. torchvision and timm's own addresses carry a hash, which is checked after the download;
RobustBench's files (Google Drive)
have none: `Foreign.fingerprint` says what was fetched.
"""

import importlib
import importlib.metadata
import inspect
import pickle
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from ..fingerprint import digest
from ..python_file import first_line
from .packed import LOADERS, ForeignError, Packed, only_tensors

__all__ = ["load_robustbench", "load_timm", "load_torchvision"]

ROBUSTBENCH_SIDES = {"cifar10": 32, "cifar100": 32, "imagenet": 512}
"""The images of RobustBench's data sets before the model's own preprocessing.

ImageNet's photos are of many sizes and get cropped.
"""

ELSEWHERE = {"autoattack": "git+https://github.com/fra31/auto-attack"}
"""Where to get what RobustBench 1.1.1 imports, does not require, and no package index has under its name."""


@LOADERS.register("torchvision")
def load_torchvision(name: str, cache: Path) -> Packed:
    """Load ``NAME`` or ``NAME.WEIGHTS`` of torchvision's classifiers.

    Input size and normalisation are those of its weights' transforms.
    """
    from torchvision import __version__, models

    builder, _, weights_name = name.partition(".")
    _check_name("torchvision", builder, models.list_models(module=models))
    choices = models.get_model_weights(builder)
    _check_name(
        f"torchvision:{builder}", weights_name or "DEFAULT", ["DEFAULT", *choices.__members__], joint="."
    )
    weights = choices[weights_name or "DEFAULT"]
    with _fetching("torchvision", name, cache):
        model = models.get_model(builder, weights=weights)
    transforms = weights.transforms()
    shape = (len(transforms.mean), *(transforms.crop_size * 2)[:2])
    return _pack(
        f"torchvision {__version__} {builder} {weights.name}", model, shape, transforms.mean, transforms.std
    )


@LOADERS.register("timm")
def load_timm(name: str, cache: Path) -> Packed:
    """Load ``NAME``, ``NAME.TAG`` or ``hf-hub:USER/NAME`` of timm.

    Input size and normalisation are those of its ``pretrained_cfg``.
    """
    timm = _package("timm")
    if ":" not in name:
        tagged = timm.list_pretrained()  # NAME.TAG; without the tag timm takes its default
        _check_name("timm", name, {*tagged, *(known.partition(".")[0] for known in tagged)})
    # timm before 1.0.12 takes no folder: the hub's own cache, which is in the user's cache folder as well, is
    # used
    folder = (
        {"cache_dir": str(cache / "timm")}
        if "cache_dir" in inspect.signature(timm.create_model).parameters
        else {}
    )
    with _fetching("timm", name, cache):
        model = timm.create_model(name, pretrained=True, **folder)
    settings = model.pretrained_cfg
    if not getattr(model, "num_classes", 0):
        raise ForeignError(f"expected timm:{name} to be a classifier, got a model without classes")
    mean, std, shape = (tuple(settings[key]) for key in ("mean", "std", "input_size"))
    return _pack(f"timm {getattr(timm, '__version__', '')} {name}", model, shape, mean, std)


@LOADERS.register("robustbench")
def load_robustbench(name: str, cache: Path) -> Packed:
    """Load ``NAME`` or ``DATA/THREAT/NAME`` of RobustBench.

    Its models normalise inside and tell their preprocessing.
    """
    _package("robustbench")
    zoo, utils, data = (_package(f"robustbench.{part}") for part in ("model_zoo", "utils", "data"))
    dataset, threat, model_name = _find_robust(name, zoo.model_dicts)
    with _fetching("robustbench", name, cache):
        model = utils.load_model(
            model_name, model_dir=cache / "robustbench", dataset=dataset.value, threat_model=threat.value
        )
        shape = _robust_shape(data, dataset, threat, model_name)
    return _pack(f"robustbench {dataset.value}/{threat.value}/{model_name}", model, shape, 0.0, 1.0)


def _find_robust(name: str, zoo: Mapping[Any, Mapping[Any, Mapping[str, Any]]]) -> tuple[Any, Any, str]:
    """Find the data set and the threat model that have the name."""
    places = {
        f"{dataset.value}/{threat.value}/{model}": (dataset, threat, model)
        for dataset, threats in zoo.items()
        for threat, models in threats.items()
        for model in models
    }
    if name in places:
        return places[name]
    if "/" in name:
        _check_name("robustbench", name, places)
    _check_name("robustbench", name, {model for _, _, model in places.values()})
    found = sorted(place for place, (_, _, model) in places.items() if model == name)
    if len(found) > 1:
        raise ForeignError(
            f"expected one model to have the name robustbench:{name}, got {len(found)}; say one of "
            f"{', '.join(found)}"
        )
    return places[found[0]]


def _robust_shape(data: ModuleType, dataset: Any, threat: Any, name: str) -> tuple[int, ...]:
    """Put a blank image through the model's own preprocessing and see how large it comes out."""
    from PIL import Image

    side = ROBUSTBENCH_SIDES[dataset.value]
    return tuple(data.get_preprocessing(dataset, threat, name, None)(Image.new("RGB", (side, side))).shape)


def _pack(what: str, model: nn.Module, shape: tuple[int, ...], mean: Any, std: Any) -> Packed:
    channels, height, width = shape
    return Packed(model, digest(f"{what} {mean} {std}", model), (channels, height, width), mean, std)


def _package(name: str) -> ModuleType:
    """Import an optional package or say how to get it."""
    package = name.partition(".")[0]
    try:
        # torchattacks brings an old folder of the name robustbench, which is not the package
        importlib.metadata.version(package)
        return importlib.import_module(name)
    except importlib.metadata.PackageNotFoundError:
        raise ForeignError(
            f"{package}:NAME needs the package {package}; install it with: pip install 'gmbench[{package}]'"
        ) from None
    except ModuleNotFoundError as error:
        command = f"pip install {ELSEWHERE.get(error.name or '', error.name)}"
        raise ForeignError(
            f"the installed {package} lacks {error.name}; install it with: {command}"
        ) from None
    except Exception as error:  # noqa: BLE001 - another's package may raise anything when it is imported
        raise ForeignError(f"the installed {package} does not import: {first_line(error)}") from None


def _check_name(hub: str, name: str, known: Collection[str], joint: str = ":") -> None:
    """Raise with the nearest name; a hub has too many to list."""
    if name not in known:
        near = get_close_matches(name, sorted(known), n=1, cutoff=0.5)
        hint = f"did you mean '{hub}{joint}{near[0]}'?" if near else f"it has {len(known)} others"
        raise ForeignError(f"no model named '{hub}{joint}{name}'; {hint}")


@contextmanager
def _fetching(hub: str, name: str, cache: Path) -> Iterator[None]:
    """Let a hub fetch into the cache, unpickle tensors only.

    Tell its progress beside the results and fail in one line.
    """
    try:
        with (
            only_tensors(TORCH_HOME=str(cache)),
            redirect_stdout(sys.stderr),
            torch.random.fork_rng(devices=[]),
        ):
            yield
    except pickle.UnpicklingError:
        raise ForeignError(
            f"{hub}:{name} is pickled with more than tensors, which could run code, and is refused"
        ) from None
    except OSError as error:
        raise ForeignError(
            f"{hub}:{name} cannot be fetched: {first_line(error)}; check the network, or fetch it elsewhere "
            f"and copy it into {cache}"
        ) from None
    except Exception as error:  # noqa: BLE001 - a hub's code may raise anything, and so may its downloader
        raise ForeignError(
            f"{hub}:{name} does not load: {type(error).__name__}: {first_line(error)}"
        ) from None
