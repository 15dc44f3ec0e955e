"""The headline of a results page.

One row per loss, with what is left of it at every eps that was attacked in earnest.

What one row says is comparable with the next: the eps are those at which a threat model met the most attacks,
since what a few weak attacks leave looks like robustness; a loss's mean is over the trainings that met the
most attacks there, and a cell whose attacks or images are
others than those named below the table says so. Linf alone: an attack that looks for the smallest
perturbation leaves no robust image.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from ...models.losses import about_loss, loss_name
from ..analysis.attack_series import (
    FGSM,
    WITH_DETECTION,
    _under,
    attacks_of,
    eps_of,
    fullest_eps,
    losses_of,
    number_of,
    own_rows,
    reliable,
    rows_of,
)
from ..analysis.leaderboard import verdict_text
from ..analysis.wording import FEW, eps_number, number
from .tables import markdown

__all__ = ["summary_markdown"]

OBLIVIOUS, ADAPTIVE = ("white-box", "oblivious"), ("white-box", "adaptive")


@dataclass(frozen=True)
class _Met:
    """The trainings of one loss that met the most under a threat model.

    Args:
        rows: Of the leaderboard; a row per training and eps.
        attacks: Their labels at each eps at which it was attacked.
        images: A number per eps, likewise.
    """

    rows: pd.DataFrame = field(repr=False)
    attacks: Mapping[float, frozenset[str]]
    images: tuple[int, ...]

    def beside(self, usual: "_Met") -> list[str]:
        """Say what is not as usual."""
        told = []
        if others := [
            (own, usual.attacks[eps])
            for eps, own in self.attacks.items()
            if own != usual.attacks.get(eps, own)
        ]:
            own, expected = min(others, key=lambda pair: len(pair[0]))
            at = "" if len(others) == len(self.attacks) else " at some ε"
            told.append((number_of(own) if len(own) != len(expected) else "other attacks") + at)
        if set(self.images) != set(usual.images):
            told.append(_images(self))
        return told


def summary_markdown(eer: pd.DataFrame, leaderboard: pd.DataFrame, detectors: Mapping[str, str]) -> str:
    """Write the table and how to read it; empty where nothing was attacked in Linf.

    Args:
        eer: The table of EERs.
        leaderboard: The leaderboard.
        detectors: {loss: detector}, see `verification_detectors`.
    """
    own = own_rows(leaderboard, detectors)
    losses, names = losses_of(leaderboard), own.groupby("loss", observed=True)["model"].unique()
    if not any(fullest_eps(leaderboard, *threat) for threat in (OBLIVIOUS, ADAPTIVE)):
        return ""
    told = [
        "In per cent, mean over the training seeds; each loss with the detector that verifies its inputs."
    ]
    lines = [
        {
            "loss": loss_name(loss),
            "paper": about_loss(loss).citation,
            "detector": detectors.get(loss, "none"),
            "seeds": str(len(names[loss])),
        }
        for loss in losses
    ]
    clean, images = _clean(own, losses)
    told[0] += f" Clean accuracy is of {images} test images."
    _add(lines, "clean accuracy (%)", clean)
    for threat, column, title, meaning in (
        (OBLIVIOUS, "robust_accuracy", "robust accuracy", "right, clean and under every attack"),
        (
            ADAPTIVE,
            WITH_DETECTION,
            "robust accuracy with detection",
            "right and accepted when clean, right or rejected under attack, at 5 % FPR",
        ),
    ):
        eps = fullest_eps(leaderboard, *threat)
        met = {loss: _met(own[(own["loss"] == loss)], threat, eps) for loss in losses}
        if not any(met.values()):  # no attack so, or none on the detectors of these rows
            continue
        usual = _usual([one for one in met.values() if one])
        told.append(
            f"**{title.capitalize()}**: {meaning}, the worst case over {_named(usual.attacks.values())}; "
            f"{_images(usual)}, which met all of them."
        )
        head = f"{title} (%), {', '.join(threat)}, ε = {_joined(eps)}"
        _add(lines, head, [_cell(met[loss], usual, eps, column, len(names[loss]), "n/a") for loss in losses])
        if threat == OBLIVIOUS and len(rows := rows_of(reliable(eer), FGSM)):
            cells = [_fgsm(rows, loss, detectors, eps, len(names[loss])) for loss in losses]
            _add(lines, f"EER (%), {FGSM}, all, ε = {_joined(eps)}", cells)
        if threat == ADAPTIVE:
            head = f"worst EER (%), successful, {', '.join(threat)}, ε = {_joined(eps[-1:])}"
            _add(
                lines,
                head,
                [
                    _cell(met[loss], usual, eps[-1:], "eer_successful", len(names[loss]), FEW)
                    for loss in losses
                ],
            )
    _add(lines, "checks", [_checks(own[own["loss"] == loss]) for loss in losses])
    told.append(
        "**EER**: 50 is chance; above it adversarial images look *more* trustworthy than clean ones. In "
        "parentheses: what differs from the"
        " above, or how many seeds met the most attacks. The eps are those that met the most attacks; the "
        "others stand below."
    )
    return "\n\n".join([markdown(lines), "\n".join(f"- {line}" for line in told)])


def _met(rows: pd.DataFrame, threat: tuple[str, str], eps: Sequence[float]) -> _Met | None:
    """Choose the trainings that met the most at these eps.

    Of several such groups the largest, then the first by name.
    """
    rows = _under(rows, threat)
    rows = rows[rows["eps"].isin(eps)].sort_values(["model", "eps"])
    groups: dict[tuple[tuple[float, frozenset[str], int], ...], list[str]] = {}
    for name, part in rows.groupby("model", observed=True):
        met = tuple(
            zip(
                part["eps"].astype(float),
                map(attacks_of, part["attacks"]),
                part["images"].astype(int),
                strict=True,
            )
        )
        groups.setdefault(met, []).append(str(name))
    if not groups:
        return None
    most = max(groups, key=lambda met: (sum(len(attacks) for _, attacks, _ in met), len(groups[met])))
    attacks = {eps: attacks for eps, attacks, _ in most}
    return _Met(rows[rows["model"].isin(groups[most])], attacks, tuple(images for _, _, images in most))


def _usual(met: Sequence[_Met]) -> _Met:
    """Choose whose attacks and images are named below the table.

    The most attacks, then what most losses met.
    """
    often = Counter((*one.attacks.items(), one.images) for one in met)
    return max(
        met,
        key=lambda one: (
            sum(map(len, one.attacks.values())),
            often[*one.attacks.items(), one.images],
            one.images,
        ),
    )


def _named(attacks: Iterable[frozenset[str]]) -> str:
    """Name those that were run at every eps, and say where there are others."""
    every = list(attacks)
    common = frozenset.intersection(*every)
    return ", ".join(sorted(common)) + (
        " and others at some ε" if any(one != common for one in every) else ""
    )


def _images(met: _Met) -> str:
    return f"{' / '.join(map(str, dict.fromkeys(met.images)))} images"


def _cell(
    met: _Met | None, usual: _Met, eps: Sequence[float], column: str, trainings: int, missing: str
) -> str:
    """Join the means at these eps: "97.0 / 76.3 (1 of 3 seeds)"."""
    if met is None:
        return "not run"
    used = met.rows["model"].nunique()
    return _texts(met.rows, column, eps, missing) + _aside(_seeds(used, trainings) + met.beside(usual))


def _seeds(used: int, trainings: int) -> list[str]:
    return [f"{used} of {trainings} seeds"] if used < trainings else []


def _fgsm(
    rows: pd.DataFrame, loss: str, detectors: Mapping[str, str], eps: Sequence[float], trainings: int
) -> str:
    """Join the mean EERs of the trainings that were attacked at the most of these eps.

    Where sets of trainings differ, the largest set.
    """
    if loss not in detectors:
        return "n/a"
    own = rows[
        (rows["loss"] == loss)
        & (rows["detector"] == detectors[loss])
        & (rows["population"] == "all")
        & rows["eps"].isin(eps)
    ]
    if own.empty:
        return "not run"
    met = {str(name): tuple(eps_of(part)) for name, part in own.groupby("model", observed=True)}
    often = Counter(met.values())
    most = max(often, key=lambda sizes: (len(sizes), often[sizes]))
    used = [name for name, sizes in met.items() if sizes == most]
    return _texts(own[own["model"].isin(used)], "eer", eps, FEW) + _aside(_seeds(len(used), trainings))


def _clean(own: pd.DataFrame, losses: Sequence[str]) -> tuple[list[str], int]:
    """Take each training's accuracy where the most images were attacked, -> a cell per loss.

    The images of most of them.
    """
    most = own.sort_values("images").groupby("model", observed=True).last()
    usual = Counter(most["images"].astype(int)).most_common(1)[0][0]
    cells = []
    for loss in losses:
        rows = most[most["loss"] == loss]
        others = sorted({int(images) for images in rows["images"]} - {usual})
        cells.append(
            number(float(rows["clean_accuracy"].mean())) + _aside([f"{images} images" for images in others])
        )
    return cells, usual


def _checks(rows: pd.DataFrame) -> str:
    return verdict_text(rows)


def _texts(rows: pd.DataFrame, column: str, eps: Sequence[float], missing: str) -> str:
    """Write the mean at each eps.

    Where a training has no value there is none, lest it be of the others alone.
    """
    values = [rows.loc[rows["eps"] == size, column] for size in eps]
    texts = [
        number(float(part.mean(skipna=False)), missing=missing) if len(part) else "not run" for part in values
    ]
    return texts[0] if len(set(texts)) == 1 and texts[0] in (missing, "not run") else " / ".join(texts)


def _aside(told: Sequence[str]) -> str:
    return f" ({', '.join(told)})" if told else ""


def _joined(eps: Sequence[float]) -> str:
    return " / ".join(map(eps_number, eps))


def _add(lines: Sequence[dict[str, str]], column: str, cells: Sequence[str]) -> None:
    for line, cell in zip(lines, cells, strict=True):
        line[column] = cell
