"""The guest's side: runs a user's file once, and answers what the host asks about what it built.

It is told images, and a detector that learns is told the classes of the training split; never a label of an
image under attack, an id, an attack or a cell. Whatever goes wrong in the user's code is told in a line.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ....detectors import Detector
from ....models.classifier import Outputs
from ....models.fingerprint import digest
from ....models.foreign.load import Foreign, load_foreign
from ....models.foreign.packed import ForeignError
from ....models.memory import ran_out
from ....models.plugins import PluginError, load_plugin
from ....models.precision import bf16, full_float32
from ....models.python_file import first_line, source_files
from ..defense import Defense, DefenseError, building
from .facts import DetectorFacts, Facts, HeadFacts
from .wire import Channel, Ended

__all__ = ["serve"]

Answer = tuple[dict[str, Any], dict[str, Tensor]]

LAYER = "layer:"
"""Before the names of layers, among the names of tensors."""


def serve(channel: Channel) -> None:
    """Build what the first message names, then answer until the host hangs up."""
    with suppress(Ended), ExitStack() as open_for_good:
        guest: _Guest | None = None
        while True:
            message, tensors = channel.hear()
            try:
                if guest is None:
                    guest = _born(message, open_for_good)
                    channel.say(asdict(guest.facts()))
                else:
                    channel.say(*guest.answer(message, tensors))
            except Ended:
                raise
            except BaseException as error:  # noqa: BLE001 - a user's code may raise anything
                channel.say({"error": _told(error), "memory": ran_out(error)})


def _born(message: Mapping[str, Any], open_for_good: ExitStack) -> "_Guest":
    torch.set_num_threads(message["threads"])
    for plugin in message["plugins"]:
        with suppress(PluginError):  # whatever misses it says so
            load_plugin(plugin)
    torch.manual_seed(0)  # so that each guest builds the same
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    if message["model"]:
        shape = message["shape"]
        foreign = load_foreign(message["model"], shape=shape and tuple(shape))
        return _Guest(Defense("", foreign), None)
    defense, module = open_for_good.enter_context(building(Path(message["file"])))
    return _Guest(defense, module)


class _Guest:
    """What a file built, and the graphs of its last passes.

    Args:
        defense: What is asked.
        module: Of its file; None for another's model.
    """

    def __init__(self, defense: Defense, module: ModuleType | None) -> None:
        self._defense = defense
        self._module = module
        self._device: str | None = "cpu"
        self._tapes: dict[int, tuple[dict[str, Tensor], dict[str, Tensor]]] = {}
        defense.classifier.requires_grad_(False)  # the host asks for gradients by images alone
        if defense.detector is not None and defense.detector.needs_model:
            defense.detector.bind(defense.classifier)

    def facts(self) -> Facts:
        """Tell what was built."""
        classifier, detector = self._defense.classifier, self._defense.detector
        foreign = classifier if isinstance(classifier, Foreign) else None
        head = getattr(classifier, "head", None)
        alpha = getattr(head, "alpha", None)
        return Facts(
            name=self._defense.name,
            state=digest(classifier, detector) if foreign is None else foreign.fingerprint,
            sources={} if self._module is None else _sources(self._module),
            training=any(module.training for module in classifier.modules()),
            head=HeadFacts(
                told=str(head).split("\n")[0],
                mixture=hasattr(head, "log_likelihood"),
                alpha=float(alpha) if isinstance(alpha, int | float) else None,
            ),
            detector=None if detector is None else _detector_facts(detector),
            note=str(getattr(classifier, "note", "")),
            found={} if foreign is None else foreign.found,
        )

    def answer(self, message: Mapping[str, Any], tensors: dict[str, Tensor]) -> Answer:
        """Answer one question about tensors on the host's device."""
        for tape in message["forget"]:
            self._tapes.pop(tape, None)
        self._move(message["device"])
        given = {name: tensor.to(self._device) for name, tensor in tensors.items()}
        return self._answer_to(message, given)

    @full_float32()
    def _answer_to(self, message: Mapping[str, Any], given: dict[str, Tensor]) -> Answer:
        answers: dict[str, Callable[[Mapping[str, Any], dict[str, Tensor]], Answer]] = {
            "outputs": self._outputs,
            "head": self._head,
            "layers": self._layers,
            "fit": self._fit,
            "score": self._score,
            "vjp": self._vjp,
        }
        return answers[message["ask"]](message, given)

    def _move(self, device: str | None) -> None:
        if device not in (None, self._device):
            self._defense.classifier.to(device)
            self._device = device

    def _layers(self, _message: Mapping[str, Any], _given: dict[str, Tensor]) -> Answer:
        return {"layers": list(self._defense.classifier.layer_names)}, {}

    def _outputs(self, message: Mapping[str, Any], given: dict[str, Tensor]) -> Answer:
        def run() -> dict[str, Tensor]:
            layers: Sequence[str] = message["layers"]
            x = given["x"]
            classifier = self._defense.classifier
            return _named(classifier.outputs(x, layers) if layers else classifier.outputs(x))

        return self._taped(message, given, run)

    def _score(self, message: Mapping[str, Any], given: dict[str, Tensor]) -> Answer:
        def run() -> dict[str, Tensor]:
            return {"score": self._detector.score(_outputs(given))}

        return self._taped(message, given, run)

    def _taped(
        self, message: Mapping[str, Any], given: dict[str, Tensor], run: Callable[[], dict[str, Tensor]]
    ) -> Answer:
        """Run with a graph and keep it if the host names one, else without."""
        tape = message["tape"]
        if tape is None:
            with torch.no_grad():
                return {}, run()
        device = next(iter(given.values())).device
        with torch.enable_grad(), bf16(device, wanted=message["bf16"]):
            for tensor in given.values():
                tensor.requires_grad_()
            found = run()
        self._tapes[tape] = given, found
        return {}, found

    def _vjp(self, message: Mapping[str, Any], given: dict[str, Tensor]) -> Answer:
        """Pull vectors by outputs back to vectors by inputs; an input that decides nothing has none."""
        inputs, outputs = self._tapes[message["tape"]]
        if not message["keep"]:
            del self._tapes[message["tape"]]
        live = [name for name in given if outputs[name].requires_grad]
        if not live:
            raise RuntimeError("expected the outputs to have gradients by the images, got none")
        found = torch.autograd.grad(
            [outputs[name] for name in live],
            list(inputs.values()),
            [given[name] for name in live],
            retain_graph=message["keep"],
            allow_unused=True,
        )
        return {}, {name: one for name, one in zip(inputs, found, strict=True) if one is not None}

    def _head(self, message: Mapping[str, Any], given: dict[str, Tensor]) -> Answer:
        head = self._defense.classifier.head
        run = cast(Callable[[Tensor], Tensor], head.log_likelihood if message["mixture"] else head)
        with torch.no_grad():
            return {}, {"values": run(given["features"])}

    def _fit(self, _message: Mapping[str, Any], given: dict[str, Tensor]) -> Answer:
        y = given.pop("y")
        self._detector.fit(_outputs(given), y)
        return {}, {}

    @property
    def _detector(self) -> Any:
        return self._defense.detector


def _sources(module: ModuleType) -> dict[str, str]:
    return {name: str(path) for name, path in source_files(module).items()}


def _detector_facts(detector: Detector) -> DetectorFacts:
    layers = detector.layers
    return DetectorFacts(
        told=repr(detector),
        layers="all" if layers == "all" else tuple(layers),
        differentiable=bool(detector.differentiable),
        needs_likelihood=bool(detector.needs_likelihood),
        needs_model=bool(detector.needs_model),
        configuration={name: _plain(value) for name, value in detector.configuration().items()},
    )


def _named(outputs: Outputs) -> dict[str, Tensor]:
    """Give a classifier's outputs by name, without the images."""
    found = {"features": outputs.features, "logits": outputs.logits}
    if outputs.log_likelihood is not None:
        found["log_likelihood"] = outputs.log_likelihood
    return found | {LAYER + name: layer for name, layer in outputs.layers.items()}


def _outputs(given: Mapping[str, Tensor]) -> Outputs:
    """Put together what a detector reads."""
    layers = {name.removeprefix(LAYER): layer for name, layer in given.items() if name.startswith(LAYER)}
    return Outputs(given["x"], given["features"], given["logits"], given.get("log_likelihood"), layers)


def _plain(value: object) -> Any:
    return value if isinstance(value, bool | int | float | str | None) else repr(value)


def _told(error: BaseException) -> str:
    """Say an error in a line; those of ours say all by themselves."""
    said = first_line(error)
    return said if isinstance(error, DefenseError | ForeignError) else f"{type(error).__name__}: {said}"
