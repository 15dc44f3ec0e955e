"""Trains a classifier from a recipe: SGD with Nesterov momentum, data in memory, resumable.

A training is a pure function of (recipe, data, seed) on one machine: the order and the shifts of an epoch are
drawn from (seed, epoch), and the state is saved after each epoch, so a killed training goes on to the weights
that it would have had.
"""

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from .classifier import Classifier
from .files import write_file
from .heads.head import Head
from .precision import bf16, full_float32, has_bf16
from .python_file import first_line
from .recipe import Recipe, build_classifier

__all__ = ["Diverged", "Progress", "Trained", "accuracy", "read_state", "train"]

MOMENTUM = 0.9
SIGN = b"gmbench training 1\n"
"""What the file of a state begins with; the sha256 of the rest comes next, then torch's own format."""

WARM_UP = 0.2  # share of the steps on which the learning rate rises


class Diverged(RuntimeError):
    """The loss is no number any more."""


@dataclass(frozen=True)
class Progress:
    """Where a training stands: ``step`` of ``steps``, and the mean loss since the epoch began."""

    step: int
    steps: int
    epoch: int
    loss: float


@dataclass(frozen=True)
class Trained:
    """What a training gives.

    Args:
        classifier: In evaluation mode.
        seconds: Wall time of all epochs, of those before a kill, too.
    """

    classifier: Classifier
    seconds: float


@full_float32()
def train(
    recipe: Recipe,
    x: Tensor,
    y: Tensor,
    classes: int,
    seed: int,
    *,
    device: str = "cpu",
    state: Path | None = None,
    report: Callable[[Progress], None] = lambda _: None,
) -> Trained:
    """Train the recipe's classifier on images (N, C, H, W), uint8, and labels (N,).

    Args:
        recipe: What to train and how.
        x: Training images.
        y: True classes.
        classes: K.
        seed: Decides initial weights, order and shifts.
        device: Where to compute.
        state: File in which to keep the state after each epoch and from which to continue; None keeps
            nothing.
        report: Called after each step.

    Raises:
        Diverged: The loss became NaN or infinite.
        ValueError: The loss does not take so many classes or the net no such images, or the state is damaged
            or of another recipe or seed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        classifier = build_classifier(recipe, classes).to(device)
    _try(classifier, recipe, x[:2].to(device))
    head = classifier.head
    if not isinstance(head, Head):
        raise TypeError(f"expected the head to be a Head, got {type(head).__name__}")
    optimiser = torch.optim.SGD(
        list(_parameter_groups(classifier, head, recipe.lr)),
        lr=recipe.lr,
        momentum=MOMENTUM,
        nesterov=True,
        weight_decay=recipe.weight_decay,
    )
    x, y = x.to(device), y.to(device)
    steps_per_epoch = math.ceil(len(x) / recipe.batch)
    steps = steps_per_epoch * recipe.epochs
    # where a setting is from and what a model is called train nothing
    of = f"seed {seed}, {classes} classes, {recipe.model_dump_json(exclude={'source', 'about'})}"
    first, seconds = _restore(state, of, classifier, optimiser)
    classifier.train()

    def features(images: Tensor) -> Tensor:
        with bf16(device, wanted=recipe.bf16 and has_bf16(device)):
            return classifier.features(images).float()

    def logits(images: Tensor) -> Tensor:
        return cast(Tensor, head(features(images)))

    for epoch in range(first, recipe.epochs):
        generator = torch.Generator().manual_seed(seed * 100_003 + epoch)
        order = torch.randperm(len(x), generator=generator)
        start, total = time.monotonic(), 0.0
        for number, rows in enumerate(order.split(recipe.batch)):
            step = epoch * steps_per_epoch + number
            for group in optimiser.param_groups:
                group["lr"] = group["highest_lr"] * rate(recipe, step / steps)
            images = shifted(x[rows.to(device)], recipe.padding, generator)
            if recipe.flip:
                images = flipped(images, generator)
            images = images.float() / 255
            labels, progress = y[rows.to(device)], step / steps
            if recipe.adversary is not None:
                images = recipe.adversary.attack(logits, images, labels, progress, generator)
            loss = head.training_loss(features, images, labels, progress, generator)
            value = loss.item()
            if not math.isfinite(value):
                raise Diverged(
                    f"expected the loss to stay finite, got {value} in epoch {epoch + 1}, step {number + 1}; "
                    f"lower lr (now {recipe.lr:g})"
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(classifier.parameters(), recipe.clip or math.inf)
            optimiser.step()
            total += value
            report(Progress(step + 1, steps, epoch + 1, total / (number + 1)))
        seconds += time.monotonic() - start
        _save(state, of, classifier, optimiser, epoch + 1, seconds)
    if recipe.weights == "float16":
        _round_to_half(classifier)
    return Trained(classifier.eval(), seconds)


def rate(recipe: Recipe, progress: float) -> float:
    """Give the learning rate's share of its highest value at this share of the training."""
    if not recipe.drops:
        return one_cycle(progress)
    return recipe.drop ** sum(progress >= share for share in recipe.drops)


def one_cycle(progress: float) -> float:
    """Give the learning rate's share of its highest value: a straight rise from 1/10, then a cosine to 0."""
    if progress < WARM_UP:
        return 0.1 + 0.9 * progress / WARM_UP
    return (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP))) / 2


def shifted(x: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Shift each image by up to ``padding`` pixels either way.

    (B, C, H, W) -> (B, C, H, W); what comes in is 0.
    """
    if padding == 0:
        return x
    batch, _, height, width = x.shape
    padded = nn.functional.pad(x, [padding] * 4)
    rows, columns = torch.randint(0, 2 * padding + 1, (2, batch, 1, 1), generator=generator).to(x.device)
    rows = rows + torch.arange(height, device=x.device).view(1, -1, 1)
    columns = columns + torch.arange(width, device=x.device).view(1, 1, -1)
    return padded.permute(0, 2, 3, 1)[
        torch.arange(batch, device=x.device).view(-1, 1, 1), rows, columns
    ].permute(0, 3, 1, 2)


def flipped(x: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror half of the images left to right, (B, C, H, W) -> (B, C, H, W)."""
    mirrored = torch.rand(len(x), generator=generator).to(x.device) < 0.5
    return torch.where(mirrored.view(-1, 1, 1, 1), x.flip(3), x)


@full_float32()
@torch.no_grad()
def accuracy(classifier: nn.Module, x: Tensor, y: Tensor, batch: int = 1000) -> float:
    """Compute the share of images (N, C, H, W), uint8, that the classifier, in evaluation mode.

    Gives their class.
    """
    device = next(classifier.parameters()).device
    right = sum(
        int((classifier(images.to(device).float() / 255).argmax(1) == labels.to(device)).sum())
        for images, labels in zip(x.split(batch), y.split(batch), strict=True)
    )
    return right / len(x)


def _parameter_groups(classifier: Classifier, head: Head, lr: float) -> Iterator[dict[str, Any]]:
    """One group for each learning rate; ``highest_lr`` is what the schedule scales."""
    factors = {f"head.{name}": factor for name, factor in head.learning_rates().items()}
    for factor in sorted({1.0, *factors.values()}):
        parameters = [
            value for name, value in classifier.named_parameters() if factors.get(name, 1.0) == factor
        ]
        if parameters:
            yield {"params": parameters, "highest_lr": lr * factor}


@torch.no_grad()
def _try(classifier: Classifier, recipe: Recipe, x: Tensor) -> None:
    """See whether the images fit the net and its normalisation."""
    channels = x.shape[1]
    if {len(recipe.mean), len(recipe.std)} - {1, channels}:
        told = f"{len(recipe.mean)} means and {len(recipe.std)} stds"
        raise ValueError(
            f"expected {recipe.name} to have one mean and std, or one per channel ({channels}), got {told}"
        )
    try:
        classifier.eval()(x.float() / 255)
    except RuntimeError as error:
        raise ValueError(
            f"expected net '{recipe.net}' to take images of shape {tuple(x.shape[1:])}: {first_line(error)}"
        ) from None


@torch.no_grad()
def _round_to_half(classifier: Classifier) -> None:
    """Round the parameters to what float16 can hold, so that all that is measured is what is stored.

    The type stays.
    """
    for value in classifier.parameters():
        value.copy_(value.half())


def _save(
    state: Path | None,
    of: str,
    classifier: Classifier,
    optimiser: torch.optim.Optimizer,
    epochs: int,
    seconds: float,
) -> None:
    if state is None:
        return
    state.parent.mkdir(parents=True, exist_ok=True)
    done = {"epochs": epochs, "seconds": seconds}
    content = BytesIO()
    torch.save(
        {"of": of, "classifier": classifier.state_dict(), "optimiser": optimiser.state_dict(), **done},
        content,
    )
    write_file(state, SIGN + hashlib.sha256(content.getvalue()).digest() + content.getvalue())


def _restore(
    state: Path | None, of: str, classifier: Classifier, optimiser: torch.optim.Optimizer
) -> tuple[int, float]:
    """Load the state, if there is one, and tell how many epochs are done in how many seconds.

    ``of``: what it must be the state of.
    """
    if state is None or not state.exists():
        return 0, 0.0
    saved = read_state(state)
    if saved.get("of") != of:
        raise ValueError(
            f"expected {state} to be the state of this training, got one of another recipe or seed; remove "
            "it to start afresh"
        )
    classifier.load_state_dict(saved["classifier"])
    optimiser.load_state_dict(saved["optimiser"])
    return int(saved["epochs"]), float(saved["seconds"])


def read_state(state: Path) -> dict[str, Any]:
    """Read the state of a training after its checksum was verified.

    Raises:
        ValueError: It is damaged.
    """
    content = state.read_bytes()
    start = len(SIGN) + hashlib.sha256().digest_size
    if content[:start] != SIGN + hashlib.sha256(content[start:]).digest():
        raise ValueError(
            f"expected {state} to be the state of a training, got a damaged file; remove it to start afresh"
        )
    saved: dict[str, Any] = torch.load(BytesIO(content[start:]), weights_only=True)
    return saved
