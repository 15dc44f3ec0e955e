"""The classifier as an attack may see it: access enforced, passes counted, nothing left changed.

Use it as a context: inside, the classifier is frozen and in evaluation mode; on the way out (also after an
exception) its mode, its ``requires_grad`` flags, its ``.grad`` and the global random state are what they
were.
"""

import random as python_random
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ...models.classifier import Classifier, Outputs
from ...models.memory import Memory
from ...models.precision import bf16, full_float32
from .examples import Examples
from .known import KnownDetector
from .losses import Objective

__all__ = ["AccessError", "Victim"]

PIECE = 50_000
"""Pixels, all channels of one counted once, that a CPU takes through the network at once.

Their activations stay in its cache.
"""

STRIDES = "view size is not compatible with input tensor's size and stride"
"""How torch refuses to flatten channels-last features by a view."""

T = TypeVar("T")


class AccessError(RuntimeError):
    """An attack asked for more than its threat model grants."""


class Victim:
    """Answers an attack on one batch of images.

    Args:
        classifier: Whom to attack.
        samples: B, the number of images under attack.
        access: What is answered: "white-box" everything, "query" logits alone, "decision" one-hot logits of
            the label alone; of a known detector likewise, its decision alone under "decision".
        known: The detector that the threat model names; its score comes with the outputs.
        draws: Passes that each answer is the mean of, >= 1: of values, gradients and outputs. For a
            classifier that draws random numbers (expectation over transformation; Athalye, Engstrom, Ilyas,
            Kwok, ICML 2018, arXiv 1707.07397).
        precision: One of `PRECISIONS`: in which the network computes gradients, and the outputs that come
            with them; outputs without gradients are float32's.
        at_pass: Called before each pass; may raise to end the attack.
        examples: Clean images that the attacker has of its own, where it needs any.

    Attributes:
        forwards: Forward passes each image has cost, (B,).
        backwards: Backward passes each image has cost, (B,).
        zeros: How many of those gave a gradient that is exactly 0, (B,).
        dropped: Targets that the attack gave up before their steps were spent, (B,); it adds them itself.
    """

    def __init__(
        self,
        classifier: Classifier,
        samples: int,
        access: str = "white-box",
        known: KnownDetector | None = None,
        *,
        draws: int = 1,
        precision: str = "float32",
        at_pass: Callable[[], None] = lambda: None,
        examples: Examples | None = None,
    ) -> None:
        if draws < 1:
            raise ValueError(f"expected draws to be at least 1, got {draws}")
        self.classifier = classifier
        self.access = access
        self.known = known
        self.draws = draws
        self.precision = precision
        self.at_pass = at_pass
        self.examples = examples
        self._layout = torch.channels_last
        self._memory = Memory()
        self.forwards, self.backwards, self.zeros, self.dropped = (
            torch.zeros(samples, dtype=torch.int64) for _ in range(4)
        )

    def outputs(self, x: Tensor, rows: Tensor | None = None) -> Outputs:
        """Run a forward pass without a graph, (b, *S).

        Args:
            x: Images.
            rows: Which of the B images these belong to, (b,), one several times perhaps; None for all, in
                order.

        Raises:
            ValueError: ``rows`` is missing where ``x`` is not the whole batch.
        """
        self._count(self.forwards, x, rows)
        with torch.no_grad():
            drawn = [
                self._granted(self._either_way(lambda: self._memory.fit(len(x), self._passes(x))))
                for _ in range(self.draws)
            ]
            return _mean(drawn)

    def gradient(
        self, x: Tensor, objective: Objective, rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Outputs]:
        """Differentiate each image's objective by the image; one forward and one backward pass, (b, *S).

        The objectives are summed, never averaged: a mean shrinks gradients that are near underflow already.

        Returns:
            The objective (b,), its gradient (b, *S), and the outputs, all without graph.

        Raises:
            AccessError: The threat model grants no gradients.
        """
        if self.access != "white-box":
            raise AccessError(f"expected access to be white-box for gradients, got {self.access}")
        self._count(self.forwards, x, rows)
        self._count(self.backwards, x, rows)
        drawn = [self._once(x, objective) for _ in range(self.draws)]
        value, gradient, outputs = drawn[0]
        if self.draws > 1:
            value = torch.stack([one for one, _, _ in drawn]).mean(0)
            gradient = torch.stack([one for _, one, _ in drawn]).mean(0)
            outputs = _mean([one for _, _, one in drawn])
        vanished = (gradient.flatten(1).abs().amax(1) == 0).cpu()
        self.zeros[slice(None) if rows is None else rows.cpu()] += vanished
        return value, gradient, outputs

    def module(self) -> nn.Module:
        """Show the classifier as a plain module for another library's attack.

        Its passes are spread evenly over the B images.
        """
        return _Counting(self)

    def _once(self, x: Tensor, objective: Objective) -> tuple[Tensor, Tensor, Outputs]:
        """Differentiate in one pass, or in several that memory holds."""
        return self._either_way(
            lambda: self._memory.fit(
                len(x),
                lambda pieces: (
                    self._differentiate(x, objective)
                    if len(pieces) == 1
                    else self._differentiate_pieces(x, objective, pieces)
                ),
            )
        )

    def _differentiate(self, x: Tensor, objective: Objective) -> tuple[Tensor, Tensor, Outputs]:
        x = self._laid_out(x.detach()).requires_grad_()
        with torch.enable_grad():
            with self._arithmetic(x):
                outputs = self._pass(x)
            value = objective(outputs)
            (gradient,) = torch.autograd.grad(value.sum(), x)
        return value.detach(), gradient, outputs.detach()

    def _differentiate_pieces(
        self, x: Tensor, objective: Objective, pieces: list[slice]
    ) -> tuple[Tensor, Tensor, Outputs]:
        """Differentiate without ever holding the graph of more than a piece; takes a second forward pass.

        An objective is of the whole batch: it is differentiated by the outputs, and these piece by piece.
        """
        with torch.no_grad(), self._arithmetic(x):
            outputs = self._passes(x)(pieces).each(lambda tensor: tensor.detach().requires_grad_())
        with torch.enable_grad():
            value = objective(outputs)
        slopes = torch.autograd.grad(value.sum(), outputs.tensors, allow_unused=True)
        gradients: list[Tensor] = []
        for rows in pieces:
            piece = self._laid_out(x[rows].detach()).requires_grad_()
            with torch.enable_grad(), self._arithmetic(x):
                made = self._pass(piece).tensors
            used = [
                (one, slope[rows])
                for one, slope in zip(made, slopes, strict=True)
                if slope is not None and one.requires_grad
            ]
            gradients += torch.autograd.grad([one for one, _ in used], piece, [slope for _, slope in used])
        return value.detach(), torch.cat(gradients), outputs.detach()

    def _passes(self, x: Tensor) -> Callable[[list[slice]], Outputs]:
        """Make what runs the classifier piece by piece; a single piece is not copied."""

        def run(pieces: list[slice]) -> Outputs:
            parts = [self._pass(self._laid_out(x[rows])) for rows in pieces]
            return parts[0] if len(parts) == 1 else Outputs.cat(parts)

        return run

    def _arithmetic(self, x: Tensor) -> AbstractContextManager[object]:
        """Choose the floats of a pass that is differentiated; the objective is always in float32."""
        return bf16(x.device, wanted=self.precision == "bf16")

    def _laid_out(self, x: Tensor) -> Tensor:
        """Copy images so that convolutions run channels-last from the first on: faster, the same bits.

        A copy, because images of one channel count as channels-last already and would keep the strides that
        tell convolutions otherwise.
        """
        return x.clone(memory_format=self._layout if x.ndim == 4 else torch.preserve_format)

    def _either_way(self, run: Callable[[], T]) -> T:
        """Run; where a network flattens features by ``x.view(len(x), -1)``, again without channels-last."""
        try:
            return run()
        except RuntimeError as error:
            if self._layout == torch.contiguous_format or STRIDES not in str(error):
                raise
        self._layout = torch.contiguous_format
        return run()

    def _pass(self, x: Tensor) -> Outputs:
        """Run the classifier; on a CPU in even pieces: an eighth faster on MNIST, the same bits."""
        if x.ndim != 4 or x.device.type != "cpu":
            return self._scored(x)
        images = max(16, PIECE // x[0, 0].numel())
        pieces = -(-len(x) // images)
        return Outputs.cat([self._scored(piece) for piece in x.chunk(pieces)])

    def _scored(self, x: Tensor) -> Outputs:
        """Run the classifier and the known detector, whose score has a graph only if it is differentiable."""
        if self.known is None:
            return self.classifier.outputs(x)
        layers = self.known.layers
        outputs = self.classifier.outputs(x, layers) if layers else self.classifier.outputs(x)
        seen = outputs if self.known.differentiable else outputs.detach()
        with bf16(x.device, wanted=False):  # a detector's sums lose too many digits in it
            return replace(outputs, score=self.known.score(seen))

    def _granted(self, outputs: Outputs) -> Outputs:
        if self.access == "white-box":
            return outputs
        logits, score = outputs.logits, outputs.score
        if self.access == "decision":
            logits = functional.one_hot(outputs.predicted, logits.shape[1]).to(logits.dtype)
            if self.known is not None and score is not None:
                score = self.known.rejects(score).to(score.dtype)
        return Outputs(outputs.x, logits.new_empty(len(logits), 0), logits, score=score)

    def _count(self, counter: Tensor, x: Tensor, rows: Tensor | None) -> None:
        self.at_pass()
        if rows is None and len(x) != len(counter):
            raise ValueError(
                f"expected {len(counter)} images, or rows that name which of them these are, got {len(x)} "
                "images"
            )
        if rows is None:
            counter += self.draws
        else:
            counter += self.draws * torch.bincount(rows.cpu(), minlength=len(counter))

    def __enter__(self) -> Self:
        self._modes = [(module, module.training) for module in self.classifier.modules()]
        self._flags = [
            (parameter, parameter.requires_grad, parameter.grad) for parameter in self.classifier.parameters()
        ]
        self._random: tuple[Any, ...] = (
            torch.get_rng_state(),
            np.random.get_state(),  # noqa: NPY002
            python_random.getstate(),
        )
        self._cuda_random = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        self.classifier.eval().requires_grad_(False)
        self._inside = ExitStack()
        self._inside.enter_context(full_float32())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inside.close()
        for module, training in self._modes:
            module.training = training
        for parameter, requires_grad, gradient in self._flags:
            parameter.requires_grad_(requires_grad)
            parameter.grad = gradient
        torch.set_rng_state(self._random[0])
        np.random.set_state(self._random[1])  # noqa: NPY002
        python_random.setstate(self._random[2])
        if self._cuda_random:
            torch.cuda.set_rng_state_all(self._cuda_random)


def _mean(drawn: list[Outputs]) -> Outputs:
    """Average the outputs of several passes of the same images."""
    if len(drawn) == 1:
        return drawn[0]

    def over_passes(tensor: Tensor) -> Tensor:
        return tensor.view(len(drawn), len(drawn[0].x), *tensor.shape[1:]).mean(0)

    return replace(Outputs.cat(drawn).each(over_passes), x=drawn[0].x)


class _Counting(nn.Module):
    """Logits alone, counted; another library does not say which image a row is.

    So all images share the cost.
    """

    def __init__(self, victim: Victim) -> None:
        super().__init__()
        self.classifier = victim.classifier
        self._victim = victim
        self._images = {"forwards": 0, "backwards": 0}

    def forward(self, x: Tensor) -> Tensor:
        drawn = [self._once(x) for _ in range(self._victim.draws)]
        return drawn[0] if len(drawn) == 1 else torch.stack(drawn).mean(0)

    def _once(self, x: Tensor) -> Tensor:
        victim = self._victim
        victim.at_pass()
        if victim.access != "white-box":
            with torch.no_grad():
                logits = victim._granted(self.classifier.outputs(x)).logits
        else:
            with victim._arithmetic(x) if x.requires_grad else nullcontext():
                logits = self.classifier(x)
        self._spend("forwards", len(x))
        if logits.requires_grad:
            logits.register_hook(lambda gradient: self._spend("backwards", len(gradient)))
        return logits

    def _spend(self, counter: str, images: int) -> None:
        self._images[counter] += images
        spent = getattr(self._victim, counter)
        spent.fill_(-(-self._images[counter] // len(spent)))
