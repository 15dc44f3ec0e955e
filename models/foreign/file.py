"""Models in files: an archive of `torch.export`, TorchScript.

And weights with the Python class that they fit.

All three must take images in [0, 1]: a model that wants them normalised does it itself. All three run what is
in them; torch 2.14:

- `torch.jit.load` unpickles with torch's own reader, which knows TorchScript's types alone, but a program may
  read and write files.
- `torch.export.load` calls `torch.load` with ``weights_only=False`` for some weights, `pickle.loads` for
  opaque objects, loads compiled libraries and evaluates the sizes' formulas with sympy. Here the first is
  overruled (TORCH_FORCE_WEIGHTS_ONLY_LOAD), archives with opaque or custom objects or compiled code are
  refused, and the last remains.

So these paths keep a stranger's *pickles* out; they do not make a stranger's *programs* safe.
"""

import logging
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from ..classifier import Classifier
from ..fingerprint import digest
from ..python_file import first_line, running, sources
from ..weights import PICKLED, fit_weights, read_weights
from .packed import LOADERS, ForeignError, Packed, Shape, only_tensors

__all__ = ["PythonParts", "load_pt2", "load_python", "load_torchscript", "parts_of"]

NOT_TENSORS = re.compile(r"/(aotinductor/|custom_obj|opaque_obj)")
"""What an archive holds beside tensors and a graph: compiled libraries and pickled objects."""

SUFFIXES = (".safetensors", *PICKLED)

SPELLING = re.compile(
    rf"(?P<file>.+\.py):(?P<builder>\w+)@(?P<weights>.+({'|'.join(map(re.escape, SUFFIXES))}))"
)


@LOADERS.register("pt2")
def load_pt2(name: str, _cache: Path) -> Packed:
    """Open an archive of `torch.export`.

    The input size is that of its graph. Layers cannot be taken out: the features are the logits.
    """
    path = _existing(name)
    if not zipfile.is_zipfile(path):
        raise ForeignError(f"{path.name} is no archive of torch.export")
    content = path.read_bytes()
    with _opening(path), zipfile.ZipFile(BytesIO(content)) as archive:
        names, damaged = archive.namelist(), archive.testzip()  # torch looks at no checksum
    if strange := next(filter(NOT_TENSORS.search, names), None):
        raise ForeignError(
            f"expected {path.name} to hold a graph and tensors, got also {strange}, which could run code: "
            "refused"
        )
    if not any(name.endswith("/archive_format") for name in names):
        raise ForeignError(f"{path.name} is no archive of torch.export")
    if damaged:
        raise ForeignError(f"{path.name} is damaged: the checksum of {damaged} does not fit")
    with _opening(path), only_tensors():
        program = torch.export.load(BytesIO(content))
        model = _Exported(program, content)
    return Packed(model, digest(content), _exported_shape(program, path.name), opaque=True)


@LOADERS.register("torchscript")
def load_torchscript(name: str, _cache: Path) -> Packed:
    """Open a TorchScript program, which does not tell its input size.

    Layers cannot be taken out: the features are the logits.
    """
    path = _existing(name)
    content = path.read_bytes()
    with _opening(path), warnings.catch_warnings():
        # torch deprecates TorchScript; the user has it nevertheless
        warnings.simplefilter("ignore", FutureWarning)
        model = torch.jit.load(BytesIO(content), map_location="cpu")
    return Packed(model, digest(content), opaque=True)


class PythonParts(NamedTuple):
    """A model in a Python file: the file, its class or function, and the file of its weights."""

    file: Path
    builder: str
    weights: Path


def parts_of(name: str) -> PythonParts:
    """Take apart ``FILE.py:CLASS@WEIGHTS``.

    Raises:
        ForeignError: It is written otherwise, or there is no such file.
    """
    spelling = SPELLING.fullmatch(name)
    if spelling is None:
        raise ForeignError(
            "expected a model in a Python file to be FILE.py:CLASS@WEIGHTS with weights in "
            f"{', '.join(SUFFIXES)}, got '{name}'"
        )
    return PythonParts(_existing(spelling["file"]), spelling["builder"], _existing(spelling["weights"]))


@LOADERS.register("python")
def load_python(name: str, _cache: Path) -> Packed:
    """Run ``FILE.py``, call its class (or function) and load the weights into what that returns.

    This runs the file's code: only give it files you trust.
    """
    file, builder, weights = parts_of(name)
    model, read = _build(file, builder)
    content = weights.read_bytes()
    try:
        state = read_weights(weights.name, content)
    except ValueError as error:
        raise ForeignError(str(error)) from None
    try:
        note = fit_weights(model, state)
    except ValueError as error:
        raise ForeignError(f"{weights.name} does not fit {builder} of {file.name}: {error}") from None
    return Packed(model, digest(*read, builder, content, model), note=note)


class _Exported(nn.Module):
    """An exported program as a module that bears `eval`, which torch's own does not.

    A program is what it was when it was exported. It is pickled as its archive.

    Args:
        program: As loaded.
        content: Of the archive.
    """

    def __init__(self, program: ExportedProgram, content: bytes) -> None:
        super().__init__()
        self.program = program.module()
        self._content = content

    def __reduce__(self) -> tuple[Callable[[bytes], "_Exported"], tuple[bytes]]:
        return _unpickled, (self._content,)

    def train(self, mode: bool = True) -> "_Exported":
        for module in self.modules():
            module.training = mode
        return self

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.program(x)
        return logits


def _unpickled(content: bytes) -> _Exported:
    with only_tensors():
        return _Exported(torch.export.load(BytesIO(content)), content)


def _exported_shape(program: ExportedProgram, name: str) -> Shape | None:
    """Read the input of the graph; sizes that it leaves open are not told."""
    signature = program.graph_signature
    if len(signature.user_inputs) != 1 or len(signature.user_outputs) != 1:
        raise ForeignError(
            f"expected {name} to have one input and one output, got {len(signature.user_inputs)} and "
            f"{len(signature.user_outputs)}"
        )
    sizes = next(
        node.meta["val"].shape for node in program.graph.nodes if node.name == signature.user_inputs[0]
    )
    if len(sizes) != 4:
        raise ForeignError(f"expected {name} to take images (B, C, H, W), got {len(sizes)} dimensions")
    if isinstance(sizes[0], int):
        raise ForeignError(
            f"expected {name} to take any number of images, got a program for {sizes[0]}; export it with "
            "dynamic_shapes=({0: torch.export.Dim('batch')},)"
        )
    channels, height, width = (size if isinstance(size, int) else None for size in sizes[1:])
    return None if channels is None or height is None or width is None else (channels, height, width)


def _build(file: Path, builder: str) -> tuple[nn.Module, list[bytes]]:
    """Run the file and build the model; returns it and the sources that it is made of."""
    with running(file, ForeignError) as module:
        if not callable(build := getattr(module, builder, None)):
            raise ForeignError(
                f"expected {file.name} to define {builder}, a class or function that builds the model"
            )
        try:
            with torch.random.fork_rng(devices=[]):
                model = build()
            read = sources(module)
        except (Exception, SystemExit) as error:
            raise ForeignError(
                f"{builder}() of {file.name} failed: {type(error).__name__}: {first_line(error)}"
            ) from error
    if isinstance(model, Classifier):
        raise ForeignError(
            f"{builder} of {file.name} is a gmbench.Classifier already; return it from build() of a defense "
            "file"
        )
    if not isinstance(model, nn.Module):
        raise ForeignError(
            f"expected {builder}() of {file.name} to be a torch.nn.Module, got {type(model).__name__}"
        )
    return model, read


def _existing(name: str) -> Path:
    path = Path(name).expanduser()
    if not path.is_file():
        raise ForeignError(f"no model file at {path}")
    return path


@contextmanager
def _opening(path: Path) -> Iterator[None]:
    """Say in one line, and nothing beside it, that a file is not what its name says."""
    log = logging.getLogger("torch.export")
    disabled, log.disabled = log.disabled, True  # it would print the traceback of what is said here in a line
    try:
        yield
    except Exception as error:
        raise ForeignError(
            f"{path.name} does not load: {type(error).__name__}: {first_line(error)}"
        ) from error
    finally:
        log.disabled = disabled
