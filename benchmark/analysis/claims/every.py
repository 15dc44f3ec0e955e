"""What the papers claim of their losses, judged by what this suite measured.

One function and one entry of `CLAIMS` per claim.

`_RULES` says on the page how it is judged. What is published are constants beside their source; no number of
a judgement is typed. Papers: Wan et al., CVPR 2018, arXiv 1803.02988 (L-GM); Wan et al., TPAMI 45(2), 2023,
arXiv 2011.09066 (GM, MCAT); Ali et al., arXiv 2010.15487 and EURASIP JIS 2023:3 (GCCS); Wang et al., 2023,
arXiv 2303.12363 (DR-softmax). Left out: the AUROC of about 74 % that the GM paper's code states of softmax
with a density on ImageNet, for it says nothing of other data and nothing is claimed beside it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import comb

import numpy as np

from ....models.losses import about_loss, loss_name
from ..attack_series import WITH_DETECTION
from ..features.spread import FEWEST_LOSSES, spread_correlation
from ..features.symmetry import simplex_angle
from ..wording import eps_text, mean_range, number
from .comparison import (
    FAILS,
    HOLDS,
    OPEN,
    Held,
    Judgement,
    SuiteResults,
    accuracy_of,
    decided,
    more_accurate,
    more_robust,
)
from .lgm import LGM_EER, LGM_RAISED, lgm_met, lgm_order, lgm_price

__all__ = ["CLAIMS", "Claim"]

GM_MNIST = 0.9970
"""Test accuracy of the GM paper on MNIST, 100-D, in `GM_MNIST_EPOCHS` (README of its code)."""

GM_MNIST_EPOCHS, GM_MNIST_FEATURES = 50, 100

GM_CIFAR10 = 0.9280
"""Likewise on CIFAR-10 with ResNet-20, the best epoch on the test split of `GM_CIFAR10_EPOCHS`."""

GM_CIFAR10_EPOCHS = 300

FEWEST_CHANCES = 20
"""Orders of the trainings of two losses of which one is the claimed one, for it to count.

A level of 5 %, three trainings of each.
"""


@dataclass(frozen=True)
class Claim:
    """Something that a paper says.

    Args:
        paper: Who and when.
        claim: A sentence.
        judge: Judges it; None where the suite has not measured what it needs.
    """

    paper: str
    claim: str
    judge: Callable[[SuiteResults], Judgement | None]


def _gm_accuracy(
    published: float, data: str, epochs: int, features: int | None = None
) -> Callable[[SuiteResults], Judgement | None]:
    """Make the judge of an accuracy: what was trained for less time and came out lower decides nothing."""

    def judge(results: SuiteResults) -> Judgement | None:
        own = [
            one
            for one in results.accuracies
            if one.loss == "gm" and one.data.startswith(data) and features in (None, one.features)
        ]
        share = accuracy_of(replace(results, accuracies=own), "gm")
        if share is None:
            return None
        trained = sorted({one.epochs for one in own})
        text = f"{share.text(2)} %, {' or '.join(map(str, trained))} epochs (paper: {epochs})"
        text = ". ".join([text, *dict.fromkeys(one.note.rstrip(".") for one in own if one.note)])
        if share.mean >= published:
            return Judgement(text, HOLDS)
        if share.high >= published:
            return Judgement(f"{text}: below, but the interval contains it", OPEN)
        return (
            Judgement(f"{text}: below, but trained for less", OPEN)
            if max(trained) < epochs
            else Judgement(f"{text}: below", FAILS)
        )

    return judge


def _gm_symmetric(results: SuiteResults) -> Judgement | None:
    """Judge the symmetry by the range of the angles between class means.

    0 in a simplex, which takes K - 1 dimensions.
    """
    found = [
        model.symmetry
        for model in results.features
        if model.symmetry and model.symmetry.dimensions >= model.symmetry.classes - 1
    ]
    own, others = (
        [one.angles for one in found if one.loss == loss and np.isfinite(one.angles).all()]
        for loss in ("gm", "softmax")
    )
    if not own or not others:
        return None
    ranges = [[float(np.ptp(angles)) for angles in group] for group in (own, others)]
    told = [
        f"{loss_name(loss)} {min(map(np.min, group)):.1f} to {max(map(np.max, group)):.1f}, range "
        f"{mean_range(values, scale=1)}"
        for loss, group, values in zip(("gm", "softmax"), (own, others), ranges, strict=True)
    ]
    text = f"degrees: {', '.join(told)}; a simplex has {simplex_angle(found[0].classes):.1f} everywhere"
    chances = comb(len(own) + len(others), len(own))
    if chances < FEWEST_CHANCES:
        return Judgement(
            f"{text}; of so few trainings chance alone puts all of one loss below all of the other once in "
            f"{chances}",
            OPEN,
        )
    return Judgement(
        text, HOLDS if max(ranges[0]) < min(ranges[1]) else FAILS if min(ranges[0]) > max(ranges[1]) else OPEN
    )


def _gccs_robust(results: SuiteResults) -> Judgement | None:
    """Judge "with and without gradients".

    Better with them, and without them (queries, transfer) better somewhere and nowhere worse.
    """
    gradients, *others = (
        more_robust(results, "gccs", "softmax", access=access)
        for access in ("white-box", "query", "transfer")
    )
    if gradients is None:
        return None
    without = [judgement for judgement in others if judgement]
    text = ". ".join(judgement.measured for judgement in (gradients, *without))
    if any(judgement.held == FAILS for judgement in (gradients, *without)):
        return Judgement(text, FAILS)
    sides = [side for judgement in without for side in judgement.sides]
    if not sides:
        return Judgement(f"{text}. Nothing to compare without gradients", OPEN)
    return Judgement(text, gradients.held if decided(sides) == HOLDS else OPEN)


def _gccs_adversarial(results: SuiteResults) -> Judgement | None:
    """Judge "better than adversarial training": than each kind that is here.

    To fail it is enough to be worse than one.
    """
    found = [
        judgement for rival in ("pgd_at", "trades") if (judgement := more_robust(results, "gccs", rival))
    ]
    if not found:
        return None
    held: Held = (
        FAILS
        if any(one.held == FAILS for one in found)
        else HOLDS
        if all(one.held == HOLDS for one in found)
        else OPEN
    )
    return Judgement(". ".join(one.measured for one in found), held)


def _dr_spread(results: SuiteResults) -> Judgement | None:
    """Judge the correlation that the figure draws."""
    if results.robustness is None:
        return None
    found = spread_correlation(
        results.spreads, {model.name: model.loss for model in results.features}, results.robustness
    )
    if found.losses < FEWEST_LOSSES:
        return None
    threat = results.robustness.threat
    attacks = ", ".join(results.robustness.attacks)
    text = f"{found} ({threat.norm}, {eps_text(threat.eps)}, worst case of {attacks})"
    if np.isnan(found.rho) or np.isnan(found.low):
        return Judgement(text, OPEN)
    return Judgement(text, HOLDS if found.high < 0 else FAILS if found.low > 0 else OPEN)


def _paper(loss: str) -> str:
    return about_loss(loss).citation


_GCCS = f"{_paper('gccs')} (our reconstruction; the printed loss is not public)"

CLAIMS = (
    Claim(
        _paper("lgm"),
        f"L-GM verifies inputs with an EER of {number(LGM_EER.eer)} % under FGSM (eps not public)",
        lgm_met,
    ),
    Claim(_paper("lgm"), "EER under FGSM: L-GM < center < softmax", lgm_order),
    Claim(
        _paper("lgm"),
        f"An FGSM that raises the likelihood costs little: from {number(LGM_EER.eer)} to "
        f"{number(LGM_RAISED.eer)} %,"
        f" {number(LGM_RAISED.eer - LGM_EER.eer)} points",
        lgm_price,
    ),
    Claim(
        _paper("gm"),
        f"GM has {number(GM_MNIST, digits=2)} % test accuracy on MNIST, {GM_MNIST_FEATURES}-D",
        _gm_accuracy(GM_MNIST, "mnist", GM_MNIST_EPOCHS, GM_MNIST_FEATURES),
    ),
    Claim(
        _paper("gm"),
        f"GM has {number(GM_CIFAR10, digits=2)} % test accuracy on CIFAR-10 (ResNet-20, best epoch on the "
        "test split)",
        _gm_accuracy(GM_CIFAR10, "cifar10", GM_CIFAR10_EPOCHS),
    ),
    Claim(
        _paper("gm"),
        "GM is more accurate than softmax",
        lambda results: more_accurate(results, "gm", "softmax"),
    ),
    Claim(
        _paper("gm"),
        "GM's feature space is symmetric: all angles between class means are alike (here: more than "
        "softmax's)",
        _gm_symmetric,
    ),
    Claim(
        _paper("mcat"),
        "MCAT, trained jointly with its detector, is more robust than GM (here: to one who knows the "
        "detector,"
        " with a threshold at 5 % FPR; the paper's is at 1 %)",
        lambda results: more_robust(results, "mcat", "gm", awareness="adaptive", column=WITH_DETECTION),
    ),
    Claim(
        _GCCS,
        "GCCS is at least as accurate as softmax",
        lambda results: more_accurate(results, "gccs", "softmax"),
    ),
    Claim(
        _GCCS,
        "Without adversarial training GCCS is more robust than softmax to attacks with and without gradients",
        _gccs_robust,
    ),
    Claim(_GCCS, "GCCS is more robust than adversarial training (journal version)", _gccs_adversarial),
    Claim(
        _paper("dr_softmax"),
        "DR-softmax costs no accuracy against softmax",
        lambda results: more_accurate(results, "dr_softmax", "softmax"),
    ),
    Claim(
        _paper("dr_softmax"),
        "DR-softmax is more robust than softmax",
        lambda results: more_robust(results, "dr_softmax", "softmax"),
    ),
    Claim(
        _paper("dr_softmax"),
        "The spread of the non-true softmax values decides robustness: the smaller, the more robust (without"
        " adversarially trained losses: their training confounds it)",
        _dr_spread,
    ),
)
"""In the order of the page."""
