"""What the engine sees of a guest: a classifier and a detector like any other.

The host's graph goes through them: a forward pass asks the guest, a backward pass asks it for the product of
a vector with the Jacobian of that pass. What comes back is checked before it is believed.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ....detectors.detector import Detector
from ....models.classifier import Classifier, Outputs
from ..failure import GuestError
from .facts import Facts, facts_from
from .process import LIMIT, LateGuest, Process, Program
from .shuffled import secret_order
from .wire import Nonsense

__all__ = ["Guest", "GuestClassifier", "GuestDetector"]

LAYER = "layer:"
"""Before the names of layers, among the names of tensors; as the server has it."""

OUTPUTS = {"features", "logits", "log_likelihood"}


class Guest:
    """A program's process, born at the first question and again after `close`.

    Args:
        program: What it runs.
        limit: Seconds that it may take over an answer.
        facts: What it must say of itself; None for whatever it says.
        late: Why none of this program is asked any more, once one was late.
    """

    def __init__(
        self,
        program: Program,
        limit: float = LIMIT,
        facts: Facts | None = None,
        late: list[str] | None = None,
    ) -> None:
        self.program = program
        self.births = 0
        self.limit = limit
        self._late: list[str] = [] if late is None else late
        self._facts = facts
        self._process: Process | None = None
        self._heard = False
        self._forget: list[int] = []
        self._tapes = count()

    @property
    def facts(self) -> Facts:
        """What it says of itself.

        Raises:
            GuestError: It cannot be born.
        """
        if self._facts is None:
            self._alive()
            assert self._facts is not None
        return self._facts

    def another(self) -> "Guest":
        """Give a fresh one of the same program, which must be the same defense."""
        return Guest(self.program, self.limit, self.facts, self._late)

    def ask(self, what: str, given: Mapping[str, Tensor], **options: Any) -> dict[str, Tensor]:
        """Ask about tensors of one device; the answer's are on that device, too.

        Raises:
            GuestError: It fails, ends, is late or answers nonsense.
        """
        process = self._alive()
        device = next(iter(given.values())).device
        forget, self._forget = self._forget, []
        question = {"ask": what, "device": str(device), "forget": forget, **options}
        with self._patience():
            found = process.ask(question, given)[1]
        for name, tensor in found.items():
            if not tensor.is_floating_point():
                raise self.nonsense(f"{name} of floats, got {tensor.dtype}")
        return {name: tensor.to(device) for name, tensor in found.items()}

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """The layers whose features its classifier can give; looked for when they are first asked for."""
        told = self._alive().ask({"ask": "layers", "device": None, "forget": []})[0].get("layers")
        if not isinstance(told, list) or not all(isinstance(name, str) for name in told):
            raise self.nonsense(f"names of layers, got {str(told)[:80]}")
        return tuple(told)

    def nonsense(self, told: str) -> GuestError:
        """Make the error for an answer that cannot be believed."""
        return GuestError(f"expected the defense's process to answer with {told}")

    def tape(self) -> "Tape":
        """Name a graph that the guest is to keep."""
        self._alive()
        return Tape(self, next(self._tapes), self.births)

    def forget(self, tape: "Tape") -> None:
        """Have the guest drop a graph when it is next asked."""
        if tape.birth == self.births:
            self._forget.append(tape.number)

    def begin(self) -> None:
        """Have it born while something else is done; what goes wrong is told at the first question."""
        if self._process is None and not self._late:
            self._process = Process(self.program, self.limit)
            self._heard = False

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.close()
            self._process = None

    @contextmanager
    def _patience(self) -> Iterator[None]:
        """Have one that is late be the last of its file: each cell would wait as long."""
        try:
            yield
        except LateGuest as error:
            self._late.append(str(error))
            raise

    def _alive(self) -> Process:
        if self._late:
            raise GuestError(self._late[0])
        self.begin()
        assert self._process is not None
        if not self._heard:
            try:
                with self._patience():
                    told = facts_from(self._process.hear()[0])
            except Nonsense as error:
                self.close()
                raise self.nonsense(str(error)) from None
            if self._facts not in (None, told):
                self.close()
                raise GuestError(
                    f"expected {self.program.file.name} to build the same whenever it is called, got "
                    "another defense; load weights from a file, or seed what is drawn"
                )
            self._facts, self._forget, self._heard = told, [], True
            self.births += 1
        return self._process


class Tape:
    """A graph in the guest, kept as long as this is."""

    def __init__(self, guest: Guest, number: int, birth: int) -> None:
        self.guest = guest
        self.number = number
        self.birth = birth

    def __del__(self) -> None:
        self.guest.forget(self)


class GuestClassifier(Classifier):
    """A classifier whose network is in a guest.

    Args:
        guest: Who has it.
    """

    def __init__(self, guest: Guest) -> None:
        nn.Module.__init__(self)
        self.guest = guest
        self.head = _GuestHead(guest)
        self.note = guest.facts.note
        self.found = dict(guest.facts.found)
        self.register_buffer("place", torch.empty(0), persistent=False)  # so that it has a device
        self.train(guest.facts.training)
        self._widths: dict[str, tuple[torch.Size, torch.dtype]] = {}

    @property
    def layer_names(self) -> tuple[str, ...]:
        return self.guest.layers

    def features(self, x: Tensor) -> Tensor:
        return self.outputs(x).features

    def forward(self, x: Tensor) -> Tensor:
        return self.outputs(x).logits

    def outputs(self, x: Tensor, layers: Sequence[str] = ()) -> Outputs:
        found = _asked(self.guest, "outputs", {"x": x}, layers=list(layers))
        values = {name: found.pop(LAYER + name) for name in layers if LAYER + name in found}
        widths = {name: (tensor.shape[1:], tensor.dtype) for name, tensor in found.items()}
        self._widths = self._widths or widths
        if widths != self._widths or not {"features", "logits"} <= set(found) <= OUTPUTS:
            raise self.guest.nonsense(
                f"the same features and logits for any images, got {', '.join(found) or 'none'}"
            )
        if len(values) != len(layers):
            raise self.guest.nonsense(f"layers {', '.join(layers)}, got {', '.join(values) or 'none'}")
        for name, tensor in {**found, **values}.items():
            if tensor.ndim == 0 or len(tensor) != len(x):
                raise self.guest.nonsense(f"{name} of {len(x)} images, got shape {tuple(tensor.shape)}")
        return Outputs(x, found["features"], found["logits"], found.get("log_likelihood"), values)

    def outputs_each(self, batches: Sequence[Tensor]) -> list[Outputs]:
        """Compute the outputs of batches of as many images each, (B, *S), mixed: see `shuffled`."""
        size = len(batches[0])
        order = secret_order(size * len(batches)).to(batches[0].device)
        found = Outputs.cat([self.outputs(part) for part in torch.cat(list(batches))[order].split(size)])
        return [found[rows] for rows in order.argsort().split(size)]

    def order(self, images: int) -> Tensor:
        return secret_order(images)


class _GuestHead(nn.Module):
    """The head of a guest's classifier, for pictures of its feature space; without gradients."""

    def __init__(self, guest: Guest) -> None:
        super().__init__()
        self.guest = guest
        self.alpha = guest.facts.head.alpha
        if guest.facts.head.mixture:
            self.log_likelihood = self._mixture

    def forward(self, features: Tensor) -> Tensor:
        return self._values(features, mixture=False)

    def _mixture(self, features: Tensor) -> Tensor:
        return self._values(features, mixture=True)

    def _values(self, features: Tensor, *, mixture: bool) -> Tensor:
        found = self.guest.ask("head", {"features": features}, mixture=mixture)
        if set(found) != {"values"} or found["values"].ndim != 2 or len(found["values"]) != len(features):
            raise self.guest.nonsense(f"logits of {len(features)} features")
        return found["values"]

    def __repr__(self) -> str:
        return self.guest.facts.head.told


@dataclass(repr=False, eq=False)
class GuestDetector(Detector):
    """A detector that is in a guest.

    What it was fitted to is kept here and told again to a guest that was born since.
    """

    guest: Guest = field()

    def __post_init__(self) -> None:
        facts = self.guest.facts.detector
        if facts is None:
            raise ValueError("expected a guest with a detector, got one without")
        self._facts = facts
        for name in ("layers", "differentiable", "needs_likelihood", "needs_model"):
            setattr(self, name, getattr(facts, name))
        self._split: tuple[Outputs, Tensor] | None = None
        self._taught = 0

    def learn(self, outputs: Outputs, y: Tensor) -> None:
        self._split, self._taught = (outputs, y), 0
        self._teach()

    def score(self, outputs: Outputs) -> Tensor:
        self._teach()
        found = _asked(self.guest, "score", self._given(outputs))
        if set(found) != {"score"}:
            raise self.guest.nonsense(f"scores, got {', '.join(found) or 'none'}")
        return found["score"]

    def fitted_like(self, other: "GuestDetector") -> "GuestDetector":
        """Take over what another was fitted to."""
        self._split, self.fitted_on_ = other._split, other.fitted_on_
        return self

    def configuration(self) -> dict[str, Any]:
        return dict(self._facts.configuration)

    def __repr__(self) -> str:
        return self._facts.told

    def _teach(self) -> None:
        if self._split is None or (self._taught and self._taught == self.guest.births):
            return
        outputs, y = self._split
        self.guest.ask("fit", self._given(outputs) | {"y": y})
        self._taught = self.guest.births

    def _given(self, outputs: Outputs) -> dict[str, Tensor]:
        given = {"x": outputs.x, "features": outputs.features, "logits": outputs.logits}
        if outputs.log_likelihood is not None:
            given["log_likelihood"] = outputs.log_likelihood
        read = outputs.layers if self.layers == "all" else self.layers
        return given | {LAYER + name: outputs.layers[name] for name in read if name in outputs.layers}


def _asked(guest: Guest, what: str, given: Mapping[str, Tensor], **options: Any) -> dict[str, Tensor]:
    """Ask, with a graph if one is being made of any of the tensors."""
    if not (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in given.values())):
        return guest.ask(what, given, tape=None, **options)
    names: list[str] = []
    found = _Asked.apply(guest, what, options, names, tuple(given), *given.values())
    return dict(zip(names, found, strict=True))


class _Asked(torch.autograd.Function):
    """A question as an operation: its backward pass is a question, too."""

    @staticmethod
    def forward(
        ctx: Any,
        guest: Guest,
        what: str,
        options: Mapping[str, Any],
        names: list[str],
        given: tuple[str, ...],
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        ctx.tape = guest.tape()
        kind = tensors[0].device.type
        found = guest.ask(
            what,
            dict(zip(given, tensors, strict=True)),
            tape=ctx.tape.number,
            bf16=torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.bfloat16,
            **options,
        )
        names.extend(found)
        ctx.names, ctx.given = names, given
        ctx.shapes = [(tensor.shape, tensor.dtype) for tensor in tensors]
        ctx.set_materialize_grads(False)
        return tuple(found.values())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *vectors: Tensor | None) -> tuple[Tensor | None, ...]:
        nothing = (None,) * 5
        given = {name: one for name, one in zip(ctx.names, vectors, strict=True) if one is not None}
        if not given:
            return nothing + (None,) * len(ctx.given)
        guest = ctx.tape.guest
        if ctx.tape.birth != guest.births:
            raise GuestError("expected the defense's process to live until the gradient, got its end")
        found = guest.ask("vjp", given, tape=ctx.tape.number, keep=_keeps_graph())
        for name, (shape, dtype) in zip(ctx.given, ctx.shapes, strict=True):
            if name in found and (found[name].shape != shape or found[name].dtype != dtype):
                raise guest.nonsense(f"a gradient of shape {tuple(shape)}, got {tuple(found[name].shape)}")
        return nothing + tuple(found.get(name) for name in ctx.given)


def _keeps_graph() -> bool:
    """Tell whether the host may go through its graph again; where torch does not say, it may.

    A graph that is not kept frees what its steps needed as it goes: a pass takes as much memory as here.
    """
    told = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", None)
    return True if told is None else bool(told())
