"""Losses that attacks ascend, safe for any logits.

Masks with -inf, differences of logits, no dependence on a common shift.

Each takes logits z (B, K), the true class y (B,) and perhaps a target t (B,), and gives one value per sample,
(B,): the higher, the closer to success. With a target, success is being classified as t; without one, as
anything but y.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from ...models.classifier import Outputs
from ...models.registry import check_known

__all__ = [
    "LOSSES",
    "Objective",
    "OwnLoss",
    "best_other",
    "ce",
    "check_loss",
    "dlr",
    "likelihood",
    "log_odds",
    "margin",
    "objective",
]


def ce(outputs: Outputs, y: Tensor, target: Tensor | None = None) -> Tensor:
    """Compute cross-entropy, log sum_k exp z_k - z_y, or z_t - log sum_k exp z_k.

    It saturates: where z_y leads by more than 104 its float32 gradient is exactly 0, which is common with
    Gaussian logits. Kept because the papers use it; compare it with `margin` before believing it.
    """
    # softplus, not log_softmax: where p_y rounds to 1 (a margin of 17 in float32) the latter's gradient by
    # z_y is exactly 0.
    odds = log_odds(outputs, y, target)
    return functional.softplus(odds) if target is None else -functional.softplus(-odds)


def log_odds(outputs: Outputs, y: Tensor, target: Tensor | None = None) -> Tensor:
    """Compute log sum_{k != y} exp z_k - z_y, or z_t - log sum_{k != t} exp z_k.

    Cross-entropy is a rising function of it, so their gradients point the same way; this one's never
    underflows. For attacks that read the direction alone.
    """
    z = outputs.logits
    if target is None:
        return without(z, y).logsumexp(1) - _at(z, y)
    return _at(z, target) - without(z, target).logsumexp(1)


def margin(outputs: Outputs, y: Tensor, target: Tensor | None = None) -> Tensor:
    """Compute max_{k != y} z_k - z_y, or z_t.

    max_{k != t} z_k (Carlini, Wagner, IEEE S&P 2017, without the clipping).
    """
    z = outputs.logits
    return best_other(z, y) - _at(z, y) if target is None else _at(z, target) - best_other(z, target)


def dlr(outputs: Outputs, y: Tensor, target: Tensor | None = None) -> Tensor:
    """Compute the difference-of-logits ratio (Croce, Hein, ICML 2020, arXiv 2003.01690, equations 6 and 7).

    Untargeted -(z_y - max_{k != y} z_k) / (z_(1) - z_(3)), targeted -(z_y - z_t) / (z_(1) - (z_(3) + z_(4)) /
    2), z_(i) the i-th
    largest logit: unchanged by shift and scale. With three classes the fourth is left out.

    Raises:
        ValueError: Two classes, for which the ratio is undefined.
    """
    z = outputs.logits
    if z.shape[1] < 3:
        raise ValueError(
            f"expected at least 3 classes for the loss dlr, got {z.shape[1]}; with two, attack with "
            'loss = "margin"'
        )
    ranked = z.sort(1, descending=True).values
    if target is None:
        difference, low = best_other(z, y) - _at(z, y), ranked[:, 2:3]
    else:
        difference, low = _at(z, target) - _at(z, y), ranked[:, 2:4]
    spread = ranked[:, 0] - low.mean(1)
    return difference / spread.clamp_min(torch.finfo(z.dtype).tiny ** 0.5)


def likelihood(outputs: Outputs, y: Tensor, target: Tensor | None = None) -> Tensor:
    """Compute log p(f | t) - max(0, max_{k != t} log p(f | k) - log p(f | t)).

    Be the target *and* look likely.

    The attack on a detector that scores by likelihood: the second term vanishes once t is predicted, from
    then on only the likelihood climbs. Without a target, t is the likeliest wrong class. A model without a
    mixture is judged by its log posterior instead.
    """
    values = class_log_likelihood(outputs)
    if target is None:
        target = without(values, y).argmax(1)
    own = _at(values, target)
    return own - (best_other(values, target) - own).clamp_min(0)


Objective = Callable[[Outputs], Tensor]
"""What an attack ascends: Outputs of B images -> (B,)."""

LossFunction = Callable[[Outputs, Tensor, Tensor | None], Tensor]
LOSSES: dict[str, LossFunction] = {
    "ce": ce,
    "log-odds": log_odds,
    "margin": margin,
    "dlr": dlr,
    "likelihood": likelihood,
}
"""Every loss by name."""


OwnLoss = Callable[[Tensor, Tensor], Tensor]
"""A loss of a user's own: logits (B, K) and true classes (B,) to a value per image (B,)."""


def check_loss(loss: str | OwnLoss, targets: int = 0) -> None:
    """Raise unless an attack can ascend ``loss``.

    Raises:
        ValueError: No such name, or a loss of one's own is to be targeted, though it is not told the target.
    """
    if not callable(loss):
        check_known("loss", loss, LOSSES)
    elif targets:
        raise ValueError(
            f"expected targets to be 0 with a loss of your own, which is told no target, got {targets}"
        )


def objective(loss: str | OwnLoss, y: Tensor, target: Tensor | None = None) -> Objective:
    """Fix a loss's labels.

    Raises:
        ValueError: No such loss.
    """
    check_loss(loss)
    if callable(loss):
        return lambda outputs: _one_each(loss(outputs.logits, y), y)
    function = LOSSES[loss]
    return lambda outputs: function(outputs, y, target)


def _one_each(values: Tensor, y: Tensor) -> Tensor:
    if not isinstance(values, Tensor) or values.shape != y.shape:
        got = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(
            f"expected a loss of your own to give one value per image, {tuple(y.shape)}, got {got}; with "
            'torch\'s losses say reduction="none"'
        )
    return values


def class_log_likelihood(outputs: Outputs) -> Tensor:
    """Give log p(f | k) where the model has a mixture, else its log posterior, (B, K)."""
    return (
        functional.log_softmax(outputs.logits, 1)
        if outputs.log_likelihood is None
        else outputs.log_likelihood
    )


def best_other(values: Tensor, y: Tensor) -> Tensor:
    """Take the largest of the other classes' values, (B, K), (B,) -> (B,)."""
    return without(values, y).amax(1)


def without(values: Tensor, y: Tensor) -> Tensor:
    """Mask one class per sample with -inf, (B, K), (B,) -> (B, K)."""
    return values.scatter(1, y.unsqueeze(1), -torch.inf)


def _at(values: Tensor, y: Tensor) -> Tensor:
    return values.gather(1, y.unsqueeze(1)).squeeze(1)
