"""What the L-GM paper claims of its equal error rates, judged: Wan et al., CVPR 2018, arXiv 1803.02988.

See `claims` for the others.

An eps counts where every training that was attacked has an EER of enough images. Both populations must say
the same.
"""

from collections.abc import Sequence
from itertools import combinations, pairwise

import pandas as pd

from ..attack_series import FGSM
from ..eer_table import POPULATIONS
from ..over_trainings import OverTrainings
from ..wording import eps_number, eps_text, number
from .comparison import FAILS, HOLDS, OPEN, Held, Judgement, SuiteResults, decided
from .published import PUBLISHED, Published, measured, met_table

__all__ = ["LGM_EER", "LGM_RAISED", "lgm_met", "lgm_order", "lgm_price"]

LGM_EER, CENTER_EER, SOFTMAX_EER = (
    next(one for one in PUBLISHED if (one.loss, one.attack) == (loss, FGSM))
    for loss in ("lgm", "center", "softmax")
)

LGM_RAISED = next(one for one in PUBLISHED if one.attack == "likelihood-fgsm")


def lgm_met(results: SuiteResults) -> Judgement | None:
    """Judge the EER of 3.1 %: met where the mean comes down to it, open where only an interval does."""
    met = met_table(results.eer).set_index(["attack", "loss", "population"])["met"]
    told, held = [], []
    for population in POPULATIONS:
        shares = _shares(results, LGM_EER, population)
        if not shares:
            continue
        nearest = min(shares.values(), key=lambda share: abs(share.mean - LGM_EER.eer))
        reached = min(share.mean for share in shares.values()) <= LGM_EER.eer
        told.append(
            f"{population}: {met[LGM_EER.attack, LGM_EER.loss, population]}"
            + ("" if reached else f", [{number(nearest.low)}, {number(nearest.high)}]")
        )
        held.append(
            HOLDS
            if reached
            else OPEN
            if min(share.low for share in shares.values()) <= LGM_EER.eer
            else FAILS
        )
    return Judgement("; ".join(told), _agreed(held)) if held else None


def lgm_order(results: SuiteResults) -> Judgement | None:
    """Judge the order at each eps, for the paper's is not public: by intervals."""
    told, held = [], []
    for population in POPULATIONS:
        ordered = [
            _shares(results, published, population) for published in (LGM_EER, CENTER_EER, SOFTMAX_EER)
        ]
        sides = {
            eps: _in_order([shares[eps] for shares in ordered])
            for eps in ordered[0]
            if all(eps in shares for shares in ordered)
        }
        if not sides:
            continue
        words = {1: "holds", -1: "does not hold", 0: "not decided"}
        found = {
            word: [eps_number(eps) for eps, its in sides.items() if its == side]
            for side, word in words.items()
        }
        depends = " (it depends on the eps)" if {1, -1} <= set(sides.values()) else ""
        told.append(
            f"{population}: "
            + ", ".join(f"{word} at ε = {' / '.join(eps)}" for word, eps in found.items() if eps)
            + depends
        )
        held.append(decided(sides.values()))
    if {HOLDS, FAILS} <= set(held):
        told.append("it depends on the population")
    return Judgement("; ".join(told), _agreed(held)) if held else None


def _in_order(shares: Sequence[OverTrainings]) -> int:
    """Say whether each lies below the next (1), one above a later one (-1), or intervals overlap (0)."""
    if any(one.low > later.high for one, later in combinations(shares, 2)):
        return -1
    return int(all(one.high < other.low for one, other in pairwise(shares)))


def lgm_price(results: SuiteResults) -> Judgement | None:
    """Judge the rise from 3.1 to 4.3 %, training by training.

    At the eps at which FGSM's own EER is nearest to the paper's.

    Unless that one contains the paper's in its interval, nothing is decided: what an attack costs that starts
    from elsewhere is another
    question. The rise has the interval of the second EER: more than its due, as both attacks are scored on
    the same images.
    """
    told, held, limit = [], [], LGM_RAISED.eer - LGM_EER.eer
    for population in POPULATIONS:
        plain, raised = (
            _eers(results, one, population).set_index(["eps", "model"]) for one in (LGM_EER, LGM_RAISED)
        )
        both = plain.join(raised.add_suffix("_raised"), how="inner")
        if both.empty:
            continue
        eps = (both.groupby("eps")["eer"].mean() - LGM_EER.eer).abs().idxmin()
        at = both[both.index.get_level_values("eps") == eps]
        start = OverTrainings.of(at, "eer")
        rise = OverTrainings.of(
            pd.DataFrame({f"rise{end}": at[f"eer{end}_raised"] - at["eer"] for end in ("", "_low", "_high")}),
            "rise",
        )
        near = start.low <= LGM_EER.eer <= start.high
        held.append(
            OPEN if not near else HOLDS if rise.high <= limit else FAILS if rise.low > limit else OPEN
        )
        told.append(
            f"{population}: at {eps_text(float(str(eps)))} from {start.text()} by {rise.text()} points"
            + ("" if near else ", too far from the paper's EER to tell")
        )
    return Judgement("; ".join(told), _agreed(held)) if held else None


def _eers(results: SuiteResults, published: Published, population: str) -> pd.DataFrame:
    """Select the EERs that stand beside the paper's.

    At those eps at which every training that was attacked has one.
    """
    rows = measured(results.eer, published, population)
    values = rows.groupby("eps")["eer"]
    return rows[values.transform("count") == values.transform("size")]


def _shares(results: SuiteResults, published: Published, population: str) -> dict[float, OverTrainings]:
    """Put the trainings together, {eps: EER}."""
    rows = _eers(results, published, population)
    return {
        float(eps): OverTrainings.of(rows[rows["eps"] == eps], "eer") for eps in sorted(rows["eps"].unique())
    }


def _agreed(held: Sequence[Held]) -> Held:
    """Put the populations together: where they differ, nothing is decided."""
    return held[0] if len(set(held)) == 1 else OPEN
