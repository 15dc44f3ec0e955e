"""A loss has one look, and no two that share a panel look alike, to any eye."""

from itertools import combinations, product

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from gmbench.benchmark.report.looks import Line, families, line_of
from gmbench.models.about import About
from gmbench.models.heads.head import HEADS
from gmbench.models.losses import known_losses

from .figures.drawn import ZOO

EYES = {  # Machado, Oliveira, Fernandes 2009, severity 1, on linear sRGB
    "usual": np.eye(3),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritan": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
OKABE_ITO = {"#000000", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7"}


PUBLISHED = {
    "lgm": ("#0072B2", "-", "o"),
    "center": ("#E69F00", "--", "s"),
    "softmax": ("#000000", "-.", "^"),
    "gm": ("#009E73", "-.", "D"),
    "gccs": ("#CC79A7", ":", "v"),
    "dr_softmax": ("#009E73", "--", "p"),
    "l_softmax": ("#D55E00", ":", "X"),
    "rce": ("#CC79A7", (0, (5, 1.2, 1, 1.2, 1, 1.2)), "<"),
    "mmlda": ("#D55E00", (0, (5, 1.2, 1, 1.2, 1, 1.2)), "P"),
    "mmc": ("#000000", (0, (9, 2)), "*"),
    "mcat": ("#009E73", "-.", "h"),
    "pgd_at": ("#000000", "--", ">"),
    "trades": ("#D55E00", ":", "d"),
    "lgm_at": ("#CC79A7", (0, (5, 1.2, 1, 1.2, 1, 1.2)), (4, 1, 0)),
}
"""Colours, dashes and markers of the published figures."""


def luminance(color):
    return np.array([0.2126, 0.7152, 0.0722]) @ linear(color)


def linear(color):
    rgb = np.array(to_rgb(color))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """Convert linear sRGB to CIE L*a*b*."""
    xyz = (
        np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
        @ rgb.clip(0, 1)
        / [0.9505, 1, 1.089]
    )
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


def test_no_two_of_sixteen_losses_look_alike():
    losses = [*ZOO, "mine", "yours"]
    lines = [line_of(loss, losses) for loss in losses]
    assert len({line.marker for line in lines}) == 16
    assert {line.color.lower() for line in lines[:-2]} <= OKABE_ITO
    # WCAG's least contrast of graphics is 3; center's orange has always been fainter
    for loss, line in zip(losses, lines, strict=True):
        assert 1.05 / (luminance(line.color) + 0.05) > (2.2 if loss == "center" else 3)


def test_a_loss_of_the_zoo_looks_the_same_in_every_suite():
    assert {loss: line_of(loss, ["a", loss]) for loss in ZOO} == {
        loss: Line(*look) for loss, look in PUBLISHED.items()
    }
    assert set(ZOO) == set(known_losses())
    for loss in ZOO:
        assert line_of(loss, [loss]) == line_of(loss, ["a", *reversed(ZOO)])


def test_a_users_defenses_stand_out():
    names = [f"mine-{place}" for place in range(20)]
    own = [line_of(name, [*ZOO, *names]) for name in names]
    zoo = [line_of(loss, ZOO) for loss in ZOO]
    assert len(set(own)) == 20
    assert not {line.color for line in own} & {line.color for line in zoo}
    assert min(line.width for line in own) > 1.5 * max(line.width for line in zoo)


@pytest.mark.parametrize("eye", list(EYES))
def test_losses_that_share_a_panel_are_told_apart_by_any_eye(eye):
    losses = [*ZOO, "mine", "yours"]
    for part in families(losses).values():
        lines = [line_of(loss, losses) for loss in part]
        for one, other in combinations(lines, 2):
            assert (
                np.linalg.norm(lab(EYES[eye] @ linear(one.color)) - lab(EYES[eye] @ linear(other.color))) > 15
            )
        dashes = [line.dashes for line in lines if line.width < 2]
        assert len(set(dashes)) == len(dashes)


def test_many_losses_are_split_into_families_beside_l_gm():
    assert families(ZOO[:7]) == {"": ZOO[:7]}
    parts = families([*ZOO, "mine"])
    assert set().union(*parts.values()) == {*ZOO, "mine"}
    assert all(part[:2] == ["lgm", "mine"] for part in parts.values())
    assert max(map(len, parts.values())) <= 8
    assert len(parts) == 3
    many = [f"mine-{place}" for place in range(20)]
    parts = families([*many, "lgm"])
    assert [loss for part in parts.values() for loss in part if loss != "lgm"] == many
    assert all(part[0] == "lgm" and len(part) <= 7 for part in parts.values())


@pytest.mark.usefixtures("forgetful")
def test_a_new_loss_takes_the_next_look_of_its_family_and_moves_no_other():
    before = {loss: line_of(loss, ZOO) for loss in ZOO}
    names = [f"new-{place}" for place in range(2)]
    every = ["class means", "softmax", "adversarial training", "a new family"]
    for family, name in product(every, names):
        HEADS.register(f"{family}-{name}")(type("New", (), {"about": About(title=name, family=family)}))
    losses = known_losses()
    assert {loss: line_of(loss, losses) for loss in ZOO} == before
    for family, part in families(losses).items():
        lines = [line_of(loss, losses) for loss in part]
        assert len({(line.color, line.dashes) for line in lines}) == len(lines), family
        assert len({line.marker for line in lines}) == len(lines), family
        assert max(line.width for line in lines) < 2  # none is drawn as a user's own
    assert list(families(losses)) == every
