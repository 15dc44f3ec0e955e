"""What the papers claim of their losses, judged by what this suite measured: one function and one entry of `CLAIMS` per claim.

`_RULES` says on the page how it is judged. What is published are constants beside their source; no number of a verdict is typed. Papers:
Wan et al., CVPR 2018, arXiv 1803.02988 (L-GM); Wan et al., TPAMI 45(2), 2023, arXiv 2011.09066 (GM, MCAT); Ali et al., arXiv 2010.15487 and
EURASIP JIS 2023:3 (GCCS); Wang et al., 2023, arXiv 2303.12363 (DR-softmax). Left out: the AUROC of about 74 % that the GM paper's code
states of softmax with a density on ImageNet, for it says nothing of other data and nothing is claimed beside it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from .eer_table import POPULATIONS
from .evidence import FAILS, HOLDS, OPEN, Evidence, Held, Share, Verdict, accuracy_of, more_accurate, more_robust
from .figure_means import simplex_angle
from .figure_spread import FEWEST_MODELS, rank_correlation
from .paper import PUBLISHED, met_table, order_table
from .setting import Setting, eps_number, eps_text, loss_name, reliable
from .summary import FGSM, NORM, PAPERS
from .tables import markdown, mean_range, number

__all__ = ["CLAIMS", "Claim", "claims_markdown"]

GM_MNIST = 0.9970
"""Test accuracy of the GM paper on MNIST, 100-D, in `GM_MNIST_EPOCHS` (README of its code)."""
GM_MNIST_EPOCHS, GM_MNIST_FEATURES = 50, 100

GM_CIFAR10 = 0.9280
"""Likewise on CIFAR-10 with ResNet-20, the best epoch on the test split of `GM_CIFAR10_EPOCHS`."""
GM_CIFAR10_EPOCHS = 300

_LIKELIHOOD_FGSM = Setting("likelihood-fgsm", NORM, "white-box", "adaptive")
_LGM_EER, _LGM_RAISED = (next(p for p in PUBLISHED if (p.loss, p.attack) == ("lgm", s.attack)) for s in (FGSM, _LIKELIHOOD_FGSM))

_RULES = (
    "Each claim by what was measured here, on this suite's data, nets and attacks, which are not the papers'. In per cent; of several"
    " trainings the mean is told, and the interval, 95 %, is from the lowest to the highest end of theirs. Where intervals overlap it is"
    " *not decided*. Robustness is the worst case per image over all attacks of a threat model, at those eps at which it met the most"
    " attacks, where both losses met the same attacks on as many images; each loss has its own detector. Where both are at the floor"
    " (intervals reach 0) or at the ceiling (they reach the clean accuracy) that eps decides nothing; else the better one must be better"
    " at one eps at least and worse at none, with no sanity check against it. A published accuracy holds if our interval contains it or"
    " lies above; a published EER if the mean comes down to it, and it is not decided if only the interval does."
)


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
    judge: Callable[[Evidence], Verdict | None]


def claims_markdown(evidence: Evidence) -> str:
    """Write the section; empty where the suite says nothing of any claim."""
    lines = [
        {"paper": claim.paper, "claim": claim.claim, "measured here": verdict.measured, "verdict": f"**{verdict.held}**"}
        for claim in CLAIMS
        if (verdict := claim.judge(evidence)) is not None
    ]
    return "\n\n".join(["## The papers' claims", _RULES, markdown(lines)]) if lines else ""


def _lgm_met(evidence: Evidence) -> Verdict | None:
    """Judge the EER of 3.1 %: met where the mean comes down to it, open where only the interval at the nearest eps does."""
    met = met_table(evidence.eer)
    met = met[(met["attack"] == FGSM.attack) & (met["loss"] == "lgm")]
    if met.empty:
        return None
    told, held = [], []
    for population, words in zip(met["population"], met["met"], strict=True):
        rows = _lgm_rows(evidence, FGSM, population)
        mean = rows.groupby("eps")["eer"].mean()
        nearest = rows[rows["eps"] == (mean - _LGM_EER.eer).abs().idxmin()]
        low, high = nearest["eer_low"].min(), nearest["eer_high"].max()
        reached = mean.min() <= _LGM_EER.eer
        told.append(f"{population}: {words}" + ("" if reached else f", [{number(low)}, {number(high)}]"))
        held.append(HOLDS if reached else OPEN if low <= _LGM_EER.eer else FAILS)
    return Verdict("; ".join(told), next(verdict for verdict in (HOLDS, OPEN, FAILS) if verdict in held))


def _lgm_order(evidence: Evidence) -> Verdict | None:
    """Judge the order: the paper's eps is not public, so it must hold at all; at some, it depends on the eps."""
    order = order_table(evidence.eer)
    if order.empty:
        return None
    told = []
    for population, rows in order.groupby("population", sort=False):
        eps = [eps_number(float(value)) for value in rows.loc[rows["holds"], "eps"]]
        of = f"{len(eps)} of {len(rows)} eps"
        told.append(f"{population}: the means are so at {of}{' (' + ', '.join(eps) + ')' if eps else ''}")
    held = HOLDS if order["holds"].all() else OPEN if order["holds"].any() else FAILS
    return Verdict("; ".join(told) + ("; it depends on the eps" if held == OPEN else ""), held)


def _lgm_price(evidence: Evidence) -> Verdict | None:
    """Judge the rise from 3.1 to 4.3 %, training by training, at the eps at which FGSM's own EER is nearest to the paper's.

    Unless that one contains the paper's in its interval, nothing is decided: what an attack costs that starts from elsewhere is another
    question. The rise has the interval of the second EER: more than its due, as both attacks are scored on the same images.
    """
    told, held, limit = [], [], _LGM_RAISED.eer - _LGM_EER.eer
    for population in POPULATIONS:
        plain, raised = (_lgm_rows(evidence, setting, population).set_index(["eps", "model"]) for setting in (FGSM, _LIKELIHOOD_FGSM))
        both = plain.add_suffix("_plain").join(raised.add_suffix("_raised"), how="inner").dropna(subset=["eer_plain", "eer_raised"])
        if both.empty:
            continue
        eps = (both.groupby("eps")["eer_plain"].mean() - _LGM_EER.eer).abs().idxmin()
        at = both[both.index.get_level_values("eps") == eps]
        rise = Share.of(*(at[f"eer{end}_raised"] - at["eer_plain"] for end in ("", "_low", "_high")))
        near = at["eer_low_plain"].min() <= _LGM_EER.eer <= at["eer_high_plain"].max()
        held.append(OPEN if not near else HOLDS if rise.high <= limit else FAILS if rise.low > limit else OPEN)
        told.append(f"{population}: at {eps_text(float(str(eps)))} from {mean_range(at['eer_plain'])} by {rise.text()} points"
                    + ("" if near else ", too far from the paper's EER to tell"))  # fmt: skip
    return Verdict("; ".join(told), held[0] if len(set(held)) == 1 else OPEN) if held else None


def _gm_accuracy(published: float, data: str, epochs: int, features: int | None = None) -> Callable[[Evidence], Verdict | None]:
    """Make the judge of an accuracy: what was trained for less time and came out lower decides nothing."""

    def judge(evidence: Evidence) -> Verdict | None:
        own = [one for one in evidence.accuracies
               if one.loss == "gm" and one.data.startswith(data) and features in (None, one.features)]  # fmt: skip
        share = accuracy_of(replace(evidence, accuracies=own), "gm")
        if share is None:
            return None
        trained = sorted({one.epochs for one in own})
        text = f"{share.text(2)} %, {' or '.join(map(str, trained))} epochs (paper: {epochs})"
        text = ". ".join([text, *dict.fromkeys(one.note.rstrip(".") for one in own if one.note)])
        if share.high >= published:
            return Verdict(f"{text}: the interval {'lies above' if share.low > published else 'contains it'}", HOLDS)
        return Verdict(f"{text}: below, but trained for less", OPEN) if max(trained) < epochs else Verdict(f"{text}: below", FAILS)

    return judge


def _gm_symmetric(evidence: Evidence) -> Verdict | None:
    """Judge the symmetry by the range of the angles between class means: 0 in a simplex, which takes K - 1 dimensions."""
    found = [model.symmetry for model in evidence.features if model.symmetry and model.symmetry.dimensions >= model.symmetry.classes - 1]
    own, others = ([one.angles for one in found if one.loss == loss and np.isfinite(one.angles).all()] for loss in ("gm", "softmax"))
    if not own or not others:
        return None
    ranges = [[float(np.ptp(angles)) for angles in group] for group in (own, others)]
    told = [f"{loss_name(loss)} {min(map(np.min, group)):.1f} to {max(map(np.max, group)):.1f}, range {mean_range(values, scale=1)}"
            for loss, group, values in zip(("gm", "softmax"), (own, others), ranges, strict=True)]  # fmt: skip
    held: Held = HOLDS if max(ranges[0]) < min(ranges[1]) else FAILS if min(ranges[0]) >= max(ranges[1]) else OPEN
    return Verdict(f"degrees: {', '.join(told)}; a simplex has {simplex_angle(found[0].classes):.1f} everywhere", held)


def _gccs_robust(evidence: Evidence) -> Verdict | None:
    """Judge "under every attack": with gradients it must be better, without them (queries, transfer) nowhere worse."""
    verdicts = [more_robust(evidence, "gccs", "softmax", access=access) for access in ("white-box", "query", "transfer")]
    found = [verdict for verdict in verdicts if verdict]
    if verdicts[0] is None:
        return None
    held = FAILS if any(verdict.held == FAILS for verdict in found) else verdicts[0].held
    return Verdict(". ".join(verdict.measured for verdict in found), held)


def _dr_spread(evidence: Evidence) -> Verdict | None:
    """Judge the correlation that the figure draws: over all models, whatever their loss."""
    if (robustness := evidence.robustness) is None:
        return None
    spreads = {model.name: model.spread for model in evidence.features if model.name in robustness.shares and np.isfinite(model.spread)}
    if len(spreads) < FEWEST_MODELS:
        return None
    found = rank_correlation(np.array(list(spreads.values())), np.array([robustness.shares[name][0] for name in spreads]))
    threat = robustness.threat
    under = f"{threat.norm}, {eps_text(threat.eps)}, worst case of {', '.join(robustness.attacks)}"
    if np.isnan(found.rho) or np.isnan(found.low):
        return Verdict(f"{found} ({under})", OPEN)
    return Verdict(f"{found} ({under})", HOLDS if found.high < 0 else FAILS if found.low > 0 else OPEN)


def _lgm_rows(evidence: Evidence, setting: Setting, population: str) -> pd.DataFrame:
    """Select the EERs of L-GM's likelihood under an attack."""
    rows = setting.rows(reliable(evidence.eer))
    wanted = {"loss": _LGM_EER.loss, "detector": _LGM_EER.detector, "population": population}
    return rows[np.logical_and.reduce([rows[column].astype(str) == value for column, value in wanted.items()])]


CLAIMS = (
    Claim(PAPERS["lgm"], f"L-GM verifies inputs with an EER of {number(_LGM_EER.eer)} % under FGSM (eps not public)", _lgm_met),
    Claim(PAPERS["lgm"], "EER under FGSM: L-GM < center < softmax", _lgm_order),
    Claim(
        PAPERS["lgm"],
        f"An FGSM that raises the likelihood costs little: from {number(_LGM_EER.eer)} to {number(_LGM_RAISED.eer)} %,"
        f" {number(_LGM_RAISED.eer - _LGM_EER.eer)} points",
        _lgm_price,
    ),
    Claim(PAPERS["gm"], f"GM has {number(GM_MNIST, digits=2)} % test accuracy on MNIST, {GM_MNIST_FEATURES}-D",
          _gm_accuracy(GM_MNIST, "mnist", GM_MNIST_EPOCHS, GM_MNIST_FEATURES)),
    Claim(PAPERS["gm"], f"GM has {number(GM_CIFAR10, digits=2)} % test accuracy on CIFAR-10 (ResNet-20, best epoch on the test split)",
          _gm_accuracy(GM_CIFAR10, "cifar10", GM_CIFAR10_EPOCHS)),
    Claim(PAPERS["gm"], "GM is more accurate than softmax", lambda evidence: more_accurate(evidence, "gm", "softmax")),
    Claim(PAPERS["gm"], "GM's feature space is symmetric: all angles between class means are alike (here: more than softmax's)",
          _gm_symmetric),
    Claim(PAPERS["mcat"], "MCAT, trained jointly with its detector, is more robust than GM (here: to one who knows the detector)",
          lambda evidence: more_robust(evidence, "mcat", "gm", awareness="adaptive", column="joint_robust_accuracy")),
    Claim(PAPERS["gccs"], "GCCS is at least as accurate as softmax", lambda evidence: more_accurate(evidence, "gccs", "softmax")),
    Claim(PAPERS["gccs"], "Without adversarial training GCCS is more robust than softmax to attacks with and without gradients",
          _gccs_robust),
    Claim(PAPERS["gccs"], "GCCS is more robust than adversarial training (journal version)",
          lambda evidence: more_robust(evidence, "gccs", "pgd_at")),
    Claim(PAPERS["dr_softmax"], "DR-softmax costs no accuracy against softmax",
          lambda evidence: more_accurate(evidence, "dr_softmax", "softmax")),
    Claim(PAPERS["dr_softmax"], "DR-softmax is more robust than softmax", lambda evidence: more_robust(evidence, "dr_softmax", "softmax")),
    Claim(PAPERS["dr_softmax"], "The spread of the non-true softmax values decides robustness: the smaller, the more robust", _dr_spread),
)  # fmt: skip
"""In the order of the page."""
