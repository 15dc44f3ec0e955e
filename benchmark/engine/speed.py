"""How fast a model is here: passes and detectors, measured on one batch."""

import time
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from ...attacks import Attack, SampleRandom, ThreatModel, Victim
from ...attacks.core.known import KnownDetector
from ...attacks.evasion import Evasion
from ...attacks.pgd import PGD
from ...attacks.square import Square
from ...attacks.square_evasion import SquareEvasion
from ...detectors import Detector
from ...models.classifier import Classifier, Outputs
from ..data.image_set import ImageSet
from .passes import outputs_of
from .scoring import fit, known_as, layers_for, score

__all__ = ["PassSpeed", "Speed", "Timed"]

FEW = 500
"""Training images that pass the model; detectors learn from as many rows as there are, made of these."""

JITTER = 1e-3
"""Of the features' spread, so that no covariance of repeated rows is singular."""

STEPS, EPS = 3, 0.1
"""Of the attacks that are timed."""

LONG, FEWEST = 0.05, 16
"""Seconds of a pass; where one would take longer, fewer images are timed, but at least so many."""

BROKEN = 1e-3
"""Seconds that stand for a pass of a model that raises: whatever it fails at takes no time to speak of."""


class Timed(NamedTuple):
    """How long passes take.

    Args:
        call: Seconds of each, whatever the batch.
        image: Seconds more for each of its images.
    """

    call: float
    image: float

    def of(self, calls: float, images: float) -> float:
        """Tell the seconds of some passes over so many images in all."""
        return calls * self.call + images * self.image


class PassSpeed(NamedTuple):
    """How fast an attack's passes are, with what it does in between.

    Args:
        query: A pass without gradients.
        gradient: A forward and a backward pass.
    """

    query: Timed
    gradient: Timed


class Speed:
    """Measures one model, each thing when it is first asked for.

    Args:
        classifier: On ``device``.
        detectors: Of the model, unfitted; copies of them learn from rows made up from a few images.
        splits: "train", "validation" and "test".
        batch: Images in a pass.
        device: Where.
        clock: Gives the time, in seconds.
    """

    def __init__(
        self,
        classifier: Classifier,
        detectors: Mapping[str, Detector],
        splits: Mapping[str, ImageSet],
        batch: int,
        device: str,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._clock = clock
        self._classifier, self._splits, self._device = classifier, splits, device
        self._detectors = {name: copy(detector) for name, detector in detectors.items()}
        self._failed: set[str] = set()
        test = splits["test"].head(batch)
        self._x, self._y = test.images().to(device), test.y.to(device)
        self._passes: dict[tuple[str, str], PassSpeed] = {}
        self._fits: dict[str, float] = {}
        self._scores: dict[str, float] = {}

    @cached_property
    def forward(self) -> float:
        """Seconds of a pass that attacks nothing, an image."""
        return self._pass(self._x[: self._timed_on]) / self._timed_on

    @cached_property
    def _timed_on(self) -> int:
        """So many images, at most a batch, that a pass of them is not long."""
        few = self._x[:FEWEST]
        return min(len(self._x), max(len(few), int(len(few) * LONG / self._pass(few))))

    def _pass(self, x: Tensor) -> float:
        try:
            return self._seconds(lambda: outputs_of(self._classifier, x, self._device))
        except Exception:  # noqa: BLE001 - a user's model may raise anything; the run will tell
            return BROKEN

    def passes(self, precision: str = "float32", knows: str = "") -> PassSpeed:
        """Tell the speed of an attack's passes, with the score of the detector that it knows."""
        if (precision, knows) not in self._passes:
            known = self._known(knows) if knows else None
            query: Attack = SquareEvasion(queries=STEPS) if known else Square(queries=STEPS, stop=False)
            scored = known is not None and known.differentiable
            gradient: Attack = Evasion(steps=STEPS, targets=1, restarts=1) if scored else PGD(steps=STEPS)
            self._passes[precision, knows] = PassSpeed(
                self._timed(query, known, precision), self._timed(gradient, known, precision)
            )
        return self._passes[precision, knows]

    def fitting(self, name: str) -> float:
        """Tell how long a detector learns from the whole training split, without the pass over it."""
        if name not in self._fits:
            start = self._clock()
            try:
                fit(self._detectors[name], self._learned_from, self._classes_learned_from)
            except Exception:  # noqa: BLE001 - a user's may raise anything; the run will tell
                self._failed.add(name)
            self._fits[name] = self._clock() - start
        return self._fits[name]

    def scoring(self, name: str) -> float:
        """Tell a detector's seconds an image, without the pass over it."""
        if name not in self._scores:
            self.fitting(name)
            try:
                outputs = outputs_of(self._classifier, self._x, self._device, self._layers)
                seconds = self._seconds(lambda: score(self._detectors[name], outputs))
                self._scores[name] = seconds / len(self._x)
            except Exception:  # noqa: BLE001 - likewise
                self._scores[name] = 0.0
        return self._scores[name]

    def _known(self, name: str) -> KnownDetector | None:
        self.fitting(name)
        detector = self._detectors[name]
        if name in self._failed:
            return None
        layers = layers_for([detector], self._classifier)
        try:
            parts = [outputs_of(self._classifier, self._x, self._device, layers)]
            return known_as(name, detector, layers, parts, self._y.cpu())
        except Exception:  # noqa: BLE001 - likewise
            return None

    def _timed(self, attack: Attack, known: KnownDetector | None, precision: str) -> Timed:
        """Time an attack's passes, of many images and of few."""
        many = self._timed_on
        few = max(1, many // 8)
        threat = ThreatModel("Linf", EPS, attack.access, known.name if known else "")

        def seconds(count: int) -> float:
            x, y = self._x[:count], self._y[:count]
            random = SampleRandom.of("speed", torch.arange(count, device=x.device))

            def run() -> None:
                with Victim(self._classifier, count, attack.access, known, precision=precision) as victim:
                    attack(victim, x.clone(), y.clone(), threat, random=random)

            return self._seconds(run) / STEPS

        try:
            together = seconds(many)
            image = max(0.0, together - seconds(few)) / (many - few) if many > few else together
        except Exception:  # noqa: BLE001 - a user's model may raise anything; the run will tell
            return Timed(0.0, self.forward)
        return Timed(max(0.0, together - many * image), image)

    @property
    def _layers(self) -> tuple[str, ...]:
        return layers_for(self._detectors.values(), self._classifier)

    @cached_property
    def _rows(self) -> Tensor:
        """Which of the few images each row of the training split is played by."""
        return torch.arange(len(self._splits["train"])) % min(FEW, len(self._splits["train"]))

    @cached_property
    def _learned_from(self) -> Outputs:
        few = outputs_of(
            self._classifier, self._splits["train"].head(FEW).images(), self._device, self._layers
        )
        outputs = few[self._rows.to(few.logits.device)]
        if not any(detector.sees_images for detector in self._detectors.values()):
            outputs = replace(outputs, x=outputs.x.new_empty(len(outputs.x), 0))
        spread = JITTER * outputs.features.std()
        noise = torch.randn(outputs.features.shape, generator=torch.Generator().manual_seed(0))
        return replace(outputs, features=outputs.features + spread * noise.to(outputs.features))

    @cached_property
    def _classes_learned_from(self) -> Tensor:
        return self._splits["train"].head(FEW).y[self._rows].to(self._device)

    def _seconds(self, work: Callable[[], object], turns: int = 2) -> float:
        """Time some work: the fastest of some turns after one that pays for set-up."""
        work()
        found = []
        for _ in range(turns):
            self._wait()
            start = self._clock()
            work()
            self._wait()
            found.append(self._clock() - start)
        return min(found)

    def _wait(self) -> None:
        """Wait for a GPU to end what it was given."""
        if self._x.is_cuda:
            torch.cuda.synchronize(self._x.device)
