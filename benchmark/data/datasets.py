"""Data sets by name: ``load_data("mnist", "test")``, ``load_data("folder:my/images", "train")``.

The named ones are in `DATASETS`; ``folder:PATH`` and ``parquet:PATH`` are a user's own. What a source leaves
open is said behind a question mark, ``folder:my/images?mode=RGB&classes=cat,dog``, or by keyword. Every split
is fixed, see `image_set`.
"""

from collections.abc import Callable, Mapping
from inspect import isclass
from pathlib import Path
from typing import Any, get_origin, get_type_hints
from urllib.parse import quote, unquote

from pydantic import TypeAdapter, ValidationError

from ...models.files import data_root
from ...models.registry import check_known, check_options
from .folder import FolderImages
from .image_set import DATASETS, SPLITS, DataError, ImageSet, Source
from .named.cifar import cifar10, cifar100
from .named.idx import EmnistLetters, fashion_mnist, kmnist
from .named.imagenet import ImageNet
from .named.svhn import Svhn
from .parquet import ParquetImages
from .standard import Digits, Mnist

__all__ = [
    "DATASETS",
    "PATH_KINDS",
    "SPLITS",
    "DataError",
    "ImageSet",
    "beside",
    "fetch_data",
    "load_data",
    "with_options",
]

PATH_KINDS: Mapping[str, Callable[..., Source]] = {"folder": FolderImages, "parquet": ParquetImages}
"""What a name of the form ``KIND:PATH`` can be; given are the name and the path."""


for _name, _factory in {
    "digits": Digits,
    "mnist": Mnist,
    "fashion-mnist": fashion_mnist,
    "kmnist": kmnist,
    "emnist-letters": EmnistLetters,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "svhn": Svhn,
    "imagenet": ImageNet,
}.items():
    DATASETS.register(_name)(_factory)


@DATASETS.register("cifar10-jpeg")
def cifar10_jpeg(mode: str | None = None) -> Source:
    """CIFAR-10 as JPEG images in Parquet files; not CIFAR-10 bit for bit, hence the name."""
    return ParquetImages("cifar10-jpeg", mode=mode)


def load_data(name: str, split: str, root: Path | None = None, **options: Any) -> ImageSet:
    """Load one split of a data set; reads files, downloads nothing.

    Args:
        name: One of `DATASETS`, or ``folder:PATH`` or ``parquet:PATH``, perhaps with options:
            ``NAME?OPTION=VALUE&OPTION=VALUE,VALUE``.
        split: "train", "validation" or "test".
        root: See `gmbench.models.files.data_root`.
        **options: Likewise, by keyword: what the source's class takes, for instance ``mode="RGB"``.

    Raises:
        UnknownName: No such data set.
        ValueError: No such split, or no such option.
        DataError: The data are missing or damaged; the message has the command that fetches them.
    """
    check_known("split", split, SPLITS)
    return _source(with_options(name, **options)).load(split, data_root(root))


def beside(name: str, folder: Path) -> str:
    """Give the name of a data set that a file in ``folder`` names: its relative paths begin there."""
    kind, colon, path = name.partition(":")
    return f"{kind}:{folder / Path(path).expanduser()}" if colon and path else name


def with_options(name: str, **options: Any) -> str:
    """Write options into the name of a data set; None and empty ones are left out."""
    written = [
        f"{option}={','.join(quote(str(item), safe='') for item in _several(value))}"
        for option, value in options.items()
        if value is not None and value != () and value != []
    ]
    mark = "&" if _split_name(name)[1] else "?"
    return f"{name}{mark}{'&'.join(written)}" if written else name


def fetch_data(name: str, root: Path | None = None) -> Path:
    """Download a data set where it is missing or damaged, verify it, and tell the folder it is in.

    torchvision draws a progress bar while it downloads.

    Raises:
        UnknownName: No such data set.
        DataError: It cannot be fetched; the message says how to place it by hand.
    """
    return _source(name).fetch(data_root(root))


def _source(name: str) -> Source:
    place, written = _split_name(name)
    kind, colon, path = place.partition(":")
    if not colon:
        return DATASETS.build(place, **_typed(DATASETS[place], written))
    check_known("kind of data set", kind, PATH_KINDS)
    if not path:
        raise ValueError(f"expected '{kind}:' to be followed by a path, got '{place}'")
    factory = PATH_KINDS[kind]
    given = {"name": place, "path": Path(path).expanduser()}
    options = {**_typed(factory, written), **given}
    check_options(f"data set '{kind}'", factory, options, given)
    return factory(**options)


def _split_name(name: str) -> tuple[str, dict[str, str]]:
    """Split a name from its options; a question mark that no option follows belongs to a path."""
    place, mark, written = name.rpartition("?")
    parts = [part.partition("=") for part in written.split("&")]
    if not mark or not all(key.isidentifier() and equals for key, equals, _ in parts):
        return name, {}
    return place, {key: value for key, _, value in parts}


def _typed(factory: Callable[..., Source], written: Mapping[str, str]) -> dict[str, Any]:
    """Give options that are written as text the types that a source's signature asks for.

    What does not fit stays text, for `check_options` to refuse.
    """
    hints = get_type_hints(factory.__init__ if isclass(factory) else factory)
    options: dict[str, Any] = {}
    for option, text in written.items():
        hint = hints.get(option, str)
        values = tuple(map(unquote, text.split(",")))
        value: Any = values if get_origin(hint) is tuple else ",".join(values)
        try:
            options[option] = TypeAdapter(hint).validate_python(value)
        except ValidationError:
            options[option] = value
    return options


def _several(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)
