"""A look of a model at images: features, logits and likelihood, without gradients.

Whatever attacks nothing gets its outputs here.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ...models.classifier import Classifier, Outputs
from ..data.image_set import ImageSet

__all__ = ["look", "look_at_all"]


@torch.no_grad()
def look(classifier: Classifier, x: Tensor, device: str | torch.device) -> Outputs:
    """Compute the outputs of one batch of images, (B, *S), on ``device`` and without a graph."""
    return classifier.outputs(x.to(device)).detach()


def look_at_all(
    classifier: Classifier,
    images: ImageSet,
    batch: int,
    device: str | torch.device,
    report: Callable[[int], None] = lambda _: None,
) -> Outputs:
    """Compute the outputs of a whole split, on ``device``.

    Args:
        classifier: On ``device``.
        images: The split, N images.
        batch: Images in a pass; another number rounds sums otherwise.
        device: Where to compute.
        report: Told each number of images that passed the model.

    Returns:
        Outputs whose x is empty, (N, 0): fifty thousand images as floats are memory that nobody reads.
    """
    parts = []
    for first in range(0, len(images), batch):
        part = look(classifier, images.images(slice(first, first + batch)), device)
        parts.append(
            Outputs(part.x.new_empty(len(part.x), 0), part.features, part.logits, part.log_likelihood)
        )
        report(len(part.x))
    return Outputs.cat(parts)
