"""How each loss is drawn, and which losses share a panel where one cannot hold them all.

A declared loss looks the same in every figure of every suite. Colours are those of Okabe and Ito, "Color
universal design", 2008, which people with any colour vision can tell apart, without the two that are faint on
white. Six colours cannot tell fourteen losses apart, so they come again in each family. No two losses of
gmbench have the same marker, and in a family none has the dashes of another, so that a print without colours
says the same. A new loss of a family gets the next look of it. What declares no family, a user's own defense,
has colours of its own and thicker lines.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ...models.about import ADVERSARIAL
from ...models.losses import about_loss, known_losses

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


_BLUE, _ORANGE, _BLACK = "#0072B2", "#E69F00", "#000000"
_GREEN, _PURPLE, _RED = "#009E73", "#CC79A7", "#D55E00"

_DOTTED, _LONG = ":", (0, (9, 2))
_DASH_DOT_DOT, _DASH_DASH_DOT = (0, (5, 1.2, 1, 1.2, 1, 1.2)), (0, (5, 1.2, 5, 1.2, 1, 1.2))


class _Swatches(NamedTuple):
    """What the losses of a family take in turn, each beginning anew at its end."""

    colors: tuple[str, ...]
    dashes: tuple[Any, ...]
    markers: tuple[Any, ...]

    def line(self, place: int) -> Line:
        """Give the look of the family's loss number ``place``, from 0."""
        color, dashes, marker = (styles[place % len(styles)] for styles in self)
        return Line(color, dashes, marker)


# One more dashes than colours, so that the thirty-first loss is the first to look like another.
_SWATCHES = {
    "class means": _Swatches(
        (_BLUE, _ORANGE, _GREEN, _PURPLE, _RED, _BLACK),
        ("-", "--", "-.", _DOTTED, _DASH_DOT_DOT, _LONG, _DASH_DASH_DOT),
        ("o", "s", "D", "v", "P", "*", (7, 1, 0), (5, 0, 36)),
    ),
    "softmax": _Swatches(
        (_BLACK, _GREEN, _RED, _PURPLE, _ORANGE),
        ("-.", "--", _DOTTED, _DASH_DOT_DOT, _LONG, _DASH_DASH_DOT),
        ("^", "p", "X", "<", (5, 1, 36), (7, 0, 0)),
    ),
    ADVERSARIAL: _Swatches(
        (_GREEN, _BLACK, _RED, _PURPLE, _ORANGE),
        ("-.", "--", _DOTTED, _DASH_DOT_DOT, _LONG, _DASH_DASH_DOT),
        ("h", ">", "d", (4, 1, 0), (4, 1, 45), (8, 0, 0)),
    ),
}
"""L-GM is in every panel: its blue and its whole line are in no other family."""

_NEW_FAMILY = _Swatches(
    (_RED, _GREEN, _PURPLE, _BLACK, _ORANGE),
    (_DASH_DASH_DOT, "--", "-.", _DOTTED, _DASH_DOT_DOT, _LONG),
    ((9, 1, 0), (3, 1, 180), (7, 1, 26), (6, 0, 0), (9, 0, 0), (5, 0, 18)),
)

_OWN_COLORS, _OWN_DASHES, _OWN_MARKERS = (
    ("#6600CC", "#7A3E00"),
    ("-", "--", _DOTTED, "-."),
    ((6, 1, 0), (3, 1, 0), "8", "H", (8, 1, 0)),
)

_OWN_WIDTH = 2.0


def line_of(loss: str, losses: Sequence[str]) -> Line:
    """Tell how to draw ``loss`` among all ``losses`` of the suite.

    A declared one always alike, others by their place.
    """
    declared = {name: line for family in _looks().values() for name, line in family.items()}
    if loss in declared:
        return declared[loss]
    place = [other for other in losses if other not in declared].index(loss)
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
    declared = _looks()
    own = [loss for loss in losses if not any(loss in family for family in declared.values())]
    everywhere = [loss for loss in ("lgm", *(own if len(own) <= len(_OWN_COLORS) else ())) if loss in losses]
    own = [loss for loss in own if loss not in everywhere]
    parts = {title: [loss for loss in family if loss in losses] for title, family in declared.items()}
    size = TOGETHER - 1
    parts |= {f"others {start // size + 1}": own[start : start + size] for start in range(0, len(own), size)}
    return {
        title: list(dict.fromkeys([*everywhere, *part]))
        for title, part in parts.items()
        if set(part) - set(everywhere)
    }


def _looks() -> dict[str, dict[str, Line]]:
    """Give each declared loss the next look of its family, {family: {loss: look}}."""
    looks: dict[str, dict[str, Line]] = {family: {} for family in _SWATCHES}
    for loss in known_losses():
        if family := about_loss(loss).family:
            lines = looks.setdefault(family, {})
            lines[loss] = _SWATCHES.get(family, _NEW_FAMILY).line(len(lines))
    return looks
