"""The outputs of a model for images: features, logits and likelihood, without gradients.

Whatever attacks nothing gets its outputs here.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ...models.classifier import Classifier, Outputs
from ...models.memory import Memory
from ...models.precision import full_float32
from ..data.image_set import ImageSet

__all__ = ["outputs_of", "outputs_of_all", "outputs_of_each"]


@full_float32()
@torch.no_grad()
def outputs_of(
    classifier: Classifier, x: Tensor, device: str | torch.device, layers: Sequence[str] = ()
) -> Outputs:
    """Compute the outputs of one batch of images, (B, *S), on ``device`` and without a graph.

    With the features of ``layers``, if any. In pieces where memory runs out.
    """
    x = x.to(device)

    def run(pieces: list[slice]) -> Outputs:
        return _joined(
            [
                classifier.outputs(x[rows], layers) if layers else classifier.outputs(x[rows])
                for rows in pieces
            ]
        )

    return Memory().fit(len(x), run).detach()


@full_float32()
@torch.no_grad()
def outputs_of_each(classifier: Classifier, batches: Sequence[Tensor]) -> list[Outputs]:
    """Compute the outputs of several batches of as many images each, likewise, in the order of its choice."""

    def run(pieces: list[slice]) -> list[Outputs]:
        parts = [classifier.outputs_each([batch[rows] for batch in batches]) for rows in pieces]
        return [_joined(of_one) for of_one in zip(*parts, strict=True)]

    return Memory().fit(len(batches[0]), run)


def _joined(parts: Sequence[Outputs]) -> Outputs:
    """Join the pieces of a batch; a single one is not copied."""
    return parts[0] if len(parts) == 1 else Outputs.cat(parts)


def outputs_of_all(
    classifier: Classifier,
    images: ImageSet,
    batch: int,
    device: str | torch.device,
    report: Callable[[int], None] = lambda _: None,
    *,
    layers: Sequence[str] = (),
    with_images: bool = False,
    averaged: bool = False,
) -> Outputs:
    """Compute the outputs of a whole split, on ``device``.

    Args:
        classifier: On ``device``.
        images: The split, N images.
        batch: Images in a pass; another number rounds sums otherwise.
        device: Where to compute.
        report: Told each number of images that passed the model.
        layers: Whose features are wanted, too.
        with_images: Whether the images are kept. Else x is empty, (N, 0): fifty thousand images as floats are
            memory that hardly anybody reads.
        averaged: Whether of each layer only the mean over the image is kept, (N, C).
    """
    parts = []
    for first in range(0, len(images), batch):
        part = outputs_of(classifier, images.images(slice(first, first + batch)), device, layers)
        if averaged:
            part = part.averaged()
        parts.append(part if with_images else replace(part, x=part.x.new_empty(len(part.x), 0)))
        report(len(part.x))
    return Outputs.cat(parts)
