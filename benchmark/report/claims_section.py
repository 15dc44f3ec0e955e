"""The section "The papers' claims": every claim with its judgement, see `claims`."""

from collections.abc import Mapping
from types import MappingProxyType

from ..analysis.claims.comparison import SuiteResults
from ..analysis.claims.every import CLAIMS
from .tables import markdown

__all__ = ["claims_markdown"]

_RULES = """On this suite's data, nets and attacks, which are not the papers'. In per cent: the mean over the
trainings, [low, high] from the lowest to the highest end of their 95 % intervals over the images. Where such
intervals overlap it is *not decided*.

- **Accuracy**, on the whole test split: by intervals. A published one holds if the mean comes up to it.
- **EER**, at eps at which all trainings that were attacked have one. A published one holds if the mean comes
  down to it at some eps. The order: at each eps, by intervals. *All* and *successful* adversarials must
  agree.
- **Robustness**, the worst case per image over the attacks of a threat model, at the eps at which the two
  losses met the most, the same attacks on as many images: by intervals and, where some loss has several
  trainings that met the same, by a gap larger than between any of one loss. Where both are at the floor or
  the ceiling, or one failed a sanity check, an eps decides nothing.
- **Symmetry**: the range of the angles between class means, smaller in every training of one loss than in any
  of the other.
- **Correlation**: the 95 % interval, of resampled losses with all their models, must not contain 0.

What is told of several eps holds if it does at some and fails at none, and the other way round. A published
number that the interval contains and the mean does not reach is not decided."""


def claims_markdown(
    results: SuiteResults, kept: Mapping[tuple[str, str], tuple[str, str]] = MappingProxyType({})
) -> str:
    """Write the section; empty where the suite says nothing of any claim.

    Args:
        results: What the claims are judged by.
        kept: {(paper, claim): (measured, verdict)} of an earlier page, for those that ``results`` lacks what
            they are judged by.
    """
    lines = []
    for claim in CLAIMS:
        judgement = claim.judge(results)
        told = (judgement.measured, judgement.held) if judgement else kept.get((claim.paper, claim.claim))
        if told:
            measured, held = told
            lines.append(
                {
                    "paper": claim.paper,
                    "claim": claim.claim,
                    "measured here": measured,
                    "verdict": f"**{held}**",
                }
            )
    return "\n\n".join(["## The papers' claims", _RULES, markdown(lines)]) if lines else ""
