"""How each loss is drawn, and which losses share a panel where one cannot hold them all.

A loss of the zoo looks the same in every figure of every suite. Colours are those of Okabe and Ito, "Color
universal design", 2008, which people with any colour vision can tell apart, without the two that are faint on
white. Six colours cannot tell fourteen losses apart, so they come again in each family, never twice in one;
no two losses have the same marker, and in a family none has the dashes of another, so that a print without
colours says the same. What is not of the zoo, a user's own defense, has colours of its own and thicker lines.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = ["TOGETHER", "Line", "families", "line_of"]

TOGETHER = 7
"""So many losses are told apart in one panel; more of them get a panel for each family."""


class Line(NamedTuple):
    """What tells one loss from another.

    Marker and dashes are styles of matplotlib, the width is in points.
    """

    color: str
    dashes: Any
    marker: Any
    width: float = 1.2


_BLUE, _ORANGE, _BLACK, _GREEN, _PURPLE, _RED = (
    "#0072B2",
    "#E69F00",
    "#000000",
    "#009E73",
    "#CC79A7",
    "#D55E00",
)

_DOTTED, _DASH_DOT_DOT, _LONG = ":", (0, (5, 1.2, 1, 1.2, 1, 1.2)), (0, (9, 2))

_FAMILIES = {
    "class means": {
        "lgm": Line(_BLUE, "-", "o"),
        "center": Line(_ORANGE, "--", "s"),
        "gm": Line(_GREEN, "-.", "D"),
        "gccs": Line(_PURPLE, _DOTTED, "v"),
        "mmlda": Line(_RED, _DASH_DOT_DOT, "P"),
        "mmc": Line(_BLACK, _LONG, "*"),
    },
    "softmax": {
        "softmax": Line(_BLACK, "-.", "^"),
        "dr_softmax": Line(_GREEN, "--", "p"),
        "l_softmax": Line(_RED, _DOTTED, "X"),
        "rce": Line(_PURPLE, _DASH_DOT_DOT, "<"),
    },
    "adversarial training": {
        "mcat": Line(_GREEN, "-.", "h"),
        "pgd_at": Line(_BLACK, "--", ">"),
        "trades": Line(_RED, _DOTTED, "d"),
        "lgm_at": Line(_PURPLE, _DASH_DOT_DOT, (4, 1, 0)),
    },
}

_ZOO = {loss: line for family in _FAMILIES.values() for loss, line in family.items()}

_OWN_COLORS, _OWN_DASHES, _OWN_MARKERS = (
    ("#6600CC", "#7A3E00"),
    ("-", "--", _DOTTED, "-."),
    ((6, 1, 0), (3, 1, 0), "8", "H", (8, 1, 0)),
)

_OWN_WIDTH = 2.0


def line_of(loss: str, losses: Sequence[str]) -> Line:
    """Tell how to draw ``loss`` among all ``losses`` of the suite.

    One of the zoo always alike, others by their place.
    """
    if loss in _ZOO:
        return _ZOO[loss]
    place = [other for other in losses if other not in _ZOO].index(loss)
    # 2 colours by 4 dashes, and 5 markers: the fortieth is the first to look like another
    turn = place // len(_OWN_COLORS)
    color, dashes = _OWN_COLORS[place % len(_OWN_COLORS)], _OWN_DASHES[turn % len(_OWN_DASHES)]
    return Line(color, dashes, _OWN_MARKERS[place % len(_OWN_MARKERS)], _OWN_WIDTH)


def families(losses: Sequence[str]) -> dict[str, list[str]]:
    """Split the losses of a suite into what shares a panel, {title: losses}.

    All in one without a title up to `TOGETHER` of them.

    L-GM is in every panel, and so are a user's own defenses where they are few: what the others are compared
    with.
    """
    if len(losses) <= TOGETHER:
        return {"": list(losses)}
    own = [loss for loss in losses if loss not in _ZOO]
    everywhere = [loss for loss in ("lgm", *(own if len(own) <= len(_OWN_COLORS) else ())) if loss in losses]
    own = [loss for loss in own if loss not in everywhere]
    parts = {title: [loss for loss in family if loss in losses] for title, family in _FAMILIES.items()}
    size = TOGETHER - 1
    parts |= {f"others {start // size + 1}": own[start : start + size] for start in range(0, len(own), size)}
    return {
        title: list(dict.fromkeys([*everywhere, *part]))
        for title, part in parts.items()
        if set(part) - set(everywhere)
    }
