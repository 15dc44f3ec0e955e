"""What comparisons with other libraries' attacks share."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gmbench.attacks import Attack, SampleRandom, ThreatModel, Victim
from gmbench.attacks.core.examples import Examples
from gmbench.attacks.core.norms import NORMS
from gmbench.models import Classifier


@dataclass(frozen=True)
class Minimal:
    """What an attack of minimal norm did to images that are right when clean.

    Args:
        left: How many images it did not fool.
        mean: Mean norm of the perturbations of those that it did.
        size: Norm of each, infinite where it did not, (B,).
    """

    left: int
    mean: float
    size: Tensor


def attack(
    built: Attack,
    classifier: Classifier,
    x: Tensor,
    y: Tensor,
    norm: str,
    eps: float = float("inf"),
    examples: Examples | None = None,
) -> Tensor:
    """Run one of ours with the access that it needs."""
    threat = ThreatModel(norm, eps, built.access)
    with Victim(classifier, len(x), built.access, examples=examples) as victim:
        return built(victim, x, y, threat, random=SampleRandom.of("peers", torch.arange(len(x))))


@torch.no_grad()
def measured(classifier: Classifier, x: Tensor, y: Tensor, x_adv: Tensor, norm: str) -> Minimal:
    """Judge proposals on the images that are right when clean."""
    right = classifier.outputs(x).predicted == y
    fooled = (classifier.outputs(x_adv).predicted != y)[right]
    size = torch.where(fooled, NORMS[norm].size(x_adv - x)[right], torch.inf)
    return Minimal(int((~fooled).sum()), float(size[fooled].mean()), size)
