"""What travels to workers: data, entrants with their detectors, plug-ins, each as bytes under their hash.

By pickle, as all that Dask sends: a cluster's members trust each other. Models go with their weights. A guest
goes as its files, and is a guest there, too.
"""

import hashlib
import io
import pickle
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import cloudpickle
import torch
from distributed import get_worker

from .....models.fingerprint import digest
from .....models.plugins import load_plugin, loaded_plugins, module_name
from .....models.python_file import first_line
from ...guest.client import Guest
from ...guest.facts import Facts
from ...guest.process import Program
from ..crew import CrewError
from ..piece import Piece

__all__ = ["Order", "Parcel", "as_it_is", "load_plugins", "opened", "parcel", "plugins"]


T = TypeVar("T")


@dataclass(frozen=True)
class Parcel:
    """Bytes under their hash.

    Args:
        key: sha256 of the content.
        content: Made by `parcel`.
    """

    key: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, eq=False)
class Order:
    """A piece, and what is needed for it and is small.

    Args:
        piece: What to do.
        device: "cpu" or "cuda": where to compute.
        versions: Of whoever asks.
        plugins: Contents by path, see `plugins`.
    """

    piece: Piece
    device: str
    versions: Mapping[str, str]
    plugins: Mapping[str, bytes] = field(repr=False)


def as_it_is(thing: T) -> T:
    """Give back what is given: what a task of this holds, a cluster can have again when a worker is lost."""
    return thing


def parcel(thing: object, told: str) -> Parcel:
    """Pack what is to travel.

    Args:
        thing: What.
        told: What it is, for the message.

    Raises:
        CrewError: It cannot be packed.
    """
    buffer = io.BytesIO()
    try:
        _Packer(buffer).dump(thing)
    except Exception as error:
        raise CrewError(
            f"{told} cannot be sent to workers ({type(error).__name__}: {first_line(error)}); use --workers 1"
        ) from error
    content = buffer.getvalue()
    return Parcel(hashlib.sha256(content).hexdigest(), content)


def opened(packed: Parcel) -> Any:
    """Unpack what has travelled.

    Raises:
        ValueError: It is damaged.
    """
    if hashlib.sha256(packed.content).hexdigest() != packed.key:
        raise ValueError("what was sent to this worker came damaged")
    return pickle.loads(packed.content)  # noqa: S301 - a cluster's members trust each other


class _Packer(cloudpickle.Pickler):  # type: ignore[misc]
    """Packs what pickle cannot, too."""

    def reducer_override(self, thing: Any) -> Any:
        if isinstance(thing, Guest):
            return _guest, (_files_of(thing), thing.program, thing.limit, thing.facts)
        if isinstance(thing, torch.jit.ScriptModule):
            buffer = io.BytesIO()
            with _unwarned():
                torch.jit.save(thing, buffer)
            return _script, (buffer.getvalue(),)
        return super().reducer_override(thing)


def _script(content: bytes) -> torch.jit.ScriptModule:
    with _unwarned():
        script: torch.jit.ScriptModule = torch.jit.load(io.BytesIO(content), map_location="cpu")
    return script


@contextmanager
def _unwarned() -> Iterator[None]:
    with warnings.catch_warnings():
        # torch deprecates TorchScript; the user has it nevertheless
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _files_of(guest: Guest) -> dict[str, bytes]:
    """Read a guest's file, what it imports and opened, by path."""
    paths = [guest.program.file.resolve(), *(Path(path) for path in guest.facts.sources.values())]
    if guest.program.model:
        paths.append(Path(guest.program.model.rpartition("@")[2]))
    return {str(path): path.read_bytes() for path in paths}


def _guest(files: Mapping[str, bytes], program: Program, limit: float, facts: Facts) -> Guest:
    """Have a guest here: of the files where they are, or else of copies of them.

    Beside its files on a disk that is shared lies whatever else it reads.
    """
    program = replace(program, plugins=tuple(loaded_plugins()))
    if all(_holds(Path(path), content) for path, content in files.items()):
        return Guest(program, limit, facts)
    here = Path(get_worker().local_directory) / "guests" / digest(*files.values())[:16]
    copies = {path: str((here / place).resolve()) for path, place in _places(files, program, facts).items()}
    for path, copy in copies.items():
        Path(copy).parent.mkdir(parents=True, exist_ok=True)
        Path(copy).write_bytes(files[path])
    model = program.model
    for path, copy in copies.items():
        model = model.replace(path, copy)
    program = replace(program, file=Path(copies[str(program.file.resolve())]), model=model)
    sources = {name: copies[path] for name, path in facts.sources.items()}
    return Guest(program, limit, replace(facts, sources=sources))


def _places(files: Iterable[str], program: Program, facts: Facts) -> dict[str, Path]:
    """Say where each of a guest's files is to lie, from the folder of its own file, so that it is found."""
    folder = program.file.parent.resolve()
    names = {path: name for name, path in facts.sources.items()}
    places: dict[str, Path] = {}
    for path in map(Path, files):
        if path.is_relative_to(folder):
            places[str(path)] = path.relative_to(folder)
        elif (name := names.get(str(path))) is None:
            places[str(path)] = Path(path.name)
        else:
            module = Path(*name.split("."))
            package = path.name == "__init__.py"
            places[str(path)] = module / path.name if package else module.with_suffix(path.suffix)
    return places


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def plugins() -> dict[str, bytes]:
    """Read the plug-ins that are loaded here, by path."""
    return {str(path): path.read_bytes() for path in loaded_plugins()}


def load_plugins(files: Mapping[str, bytes]) -> None:
    """Load plug-ins of the client: the files where they are, or else copies of them, under the same names."""
    for path, content in files.items():
        name = module_name(Path(path))
        module = sys.modules.get(name)
        if module is not None and _holds(Path(str(module.__file__)), content):
            continue
        file = Path(path)
        if not _holds(file, content):
            file = Path(get_worker().local_directory) / "plugins" / name / file.name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        load_plugin(file, name)
