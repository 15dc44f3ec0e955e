"""Are the outputs those of a classifier: the same whoever asks, numbers, and logits?

Carlini et al., arXiv 1902.06705, section 5; Athalye et al., arXiv 1802.00420, section 3 (randomness).
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from ....models.classifier import Outputs
from .finding import Finding, State
from .subject import TOLERANCE, Subject, distance, is_random

__all__ = [
    "batch_split",
    "caller",
    "distinct_logits",
    "finite_logits",
    "gradient_mode",
    "no_probabilities",
    "repeatable",
]

IMAGES = 64

CALLS = 8
"""How often the same images are shown."""

ONE = 1e-4
"""By which the sum of a row of probabilities may miss 1."""

TIED = 0.1
"""The share of images that may share their margin, to the last bit, with another image."""


def repeatable(subject: Subject) -> Iterator[Finding]:
    """Show the same images again and again: are the logits the same?"""
    x = subject.test.x[:IMAGES]
    first = subject.outputs(x)
    off = max(distance(first, subject.outputs(x)) for _ in range(CALLS - 1))
    told = f"logits of the same images differ by {off:.2g} of their spread in {CALLS} passes"
    yield Finding.told(off <= TOLERANCE, told)


def batch_split(subject: Subject) -> Iterator[Finding]:
    """Show images together, in other company and alone."""
    if is_random(subject):
        yield Finding(State.NOT_APPLICABLE, "randomised")
        return
    x = subject.test.x[:IMAGES]
    together, turned = subject.outputs(x), subject.outputs(x.flip(0))
    alone = Outputs.cat([subject.outputs(one) for one in x[:8].split(1)])
    off = max(distance(together, turned[torch.arange(len(x) - 1, -1, -1)]), distance(together[:8], alone))
    yield Finding.told(off <= TOLERANCE, f"logits differ by {off:.2g} of their spread in another batch")


def gradient_mode(subject: Subject) -> Iterator[Finding]:
    """Compare outputs with gradients on and off: an attack must see what the judge sees."""
    if is_random(subject):
        yield Finding(State.NOT_APPLICABLE, "randomised")
        return
    x = subject.test.x[:IMAGES]
    without = subject.outputs(x)
    with torch.enable_grad():
        plain = subject.classifier.outputs(x.clone()).detach()
        asked = subject.classifier.outputs(x.clone().requires_grad_()).detach()
    off = max(distance(without, plain), distance(without, asked))
    holds = off <= TOLERANCE
    told = f"logits differ by {off:.2g} of their spread when gradients are on"
    yield Finding(State.PASSED if holds else State.BROKEN, told)


def caller(subject: Subject) -> Iterator[Finding]:
    """Put wrong labels where a model could look for them, in the frames of its callers."""
    if is_random(subject):
        yield Finding(State.NOT_APPLICABLE, "randomised")
        return
    x = subject.test.x[:IMAGES]
    plain = subject.outputs(x)
    wrong = (plain.predicted + 1) % plain.logits.shape[1]
    off = max(distance(plain, _among(subject, x, label)) for label in (wrong, plain.predicted))
    holds = off <= TOLERANCE
    told = f"logits differ by {off:.2g} of their spread where the caller holds other labels"
    yield Finding(State.PASSED if holds else State.BROKEN, told)


def finite_logits(subject: Subject) -> Iterator[Finding]:
    """Ask for logits of images far from any class: black, white, noise, and corners of the box."""
    x = subject.test.x[:IMAGES]
    noise = subject.noise(x, "finite")
    asked = [x, torch.zeros_like(x[:1]), torch.ones_like(x[:1]), noise, noise.round()]
    logits = torch.cat([subject.outputs(part).logits for part in asked])
    broken = int((~logits.amax(1).isfinite()).sum())
    told = f"{broken} of {len(logits)} images, noise among them, have NaN or infinity as logits"
    yield Finding(State.BROKEN if broken else State.PASSED, told)


def no_probabilities(subject: Subject) -> Iterator[Finding]:
    """See that rows of logits do not all sum to 1, nor their exponentials."""
    logits = subject.outputs(subject.test.x[:IMAGES]).logits.double()
    kinds = {
        "probabilities": (logits >= -ONE).all() and bool(((logits.sum(1) - 1).abs() < ONE).all()),
        "log-probabilities": bool((logits.logsumexp(1).abs() < ONE).all()),
    }
    found = [kind for kind, given in kinds.items() if given]
    yield Finding.told(not found, f"all rows of logits are {found[0]}" if found else "logits are no shares")


def distinct_logits(subject: Subject) -> Iterator[Finding]:
    """See that margins of different images differ: float32 has not cut them off, nothing rounds them."""
    x = subject.test.x
    logits = subject.outputs(x).logits
    top = logits.topk(2, 1).values
    margins = top[:, 0] - top[:, 1]
    _, counts = margins.unique(return_counts=True)
    images = len(torch.unique(x.flatten(1), dim=0))
    shared = max(0, int(counts[counts > 1].sum()) - (len(x) - images)) / len(x)
    yield Finding.told(shared <= TIED, f"{shared:.1%} of images share their margin to the last bit")


def _among(subject: Subject, x: Tensor, y: Tensor) -> Outputs:
    labels, target, onehot = y, y, functional.one_hot(y)  # what a frame of an attack might hold
    outputs = subject.outputs(x)
    del labels, target, onehot
    return outputs
