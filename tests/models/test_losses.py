"""What losses, attacks and detectors declare, and what follows from it."""

import re

import pytest

from gmbench.attacks import ATTACKS
from gmbench.detectors import DETECTORS
from gmbench.models import HEADS
from gmbench.models.about import About, about_of
from gmbench.models.losses import about_loss, in_order, is_adversarial, known_losses, loss_name

TITLES = {
    "lgm": "L-GM",
    "center": "center",
    "softmax": "softmax",
    "gm": "GM",
    "gccs": "GCCS",
    "dr_softmax": "DR-softmax",
    "l_softmax": "L-Softmax",
    "rce": "RCE",
    "mmlda": "MMLDA",
    "mmc": "MMC",
    "mcat": "MCAT",
    "pgd_at": "PGD-AT",
    "trades": "TRADES",
    "lgm_at": "L-GM-AT",
}
"""Of the published tables, in their order."""

FAMILIES = ("class means", "softmax", "adversarial training")


def test_losses_are_called_and_ordered_as_published() -> None:
    assert known_losses() == list(TITLES)
    assert [loss_name(loss) for loss in known_losses()] == list(TITLES.values())


def test_every_loss_but_softmax_has_a_paper_and_every_one_a_family_and_a_place() -> None:
    found = {loss: about_loss(loss) for loss in known_losses()}
    assert [loss for loss, about in found.items() if not about.citation] == ["softmax"]
    assert {about.family for about in found.values()} == set(FAMILIES)
    assert len({about.place for about in found.values()}) == len(found)
    assert {about.detector for about in found.values()} - {None} <= set(DETECTORS)


def test_what_is_no_loss_of_ours_is_called_by_its_name_and_comes_last() -> None:
    assert about_loss("mine") == About(title="mine")
    assert in_order(["b", "softmax", "a", "lgm", "b"]) == ["lgm", "softmax", "a", "b"]


def test_adversarially_trained_losses_are_known_by_their_family() -> None:
    assert [loss for loss in [*known_losses(), "mine"] if is_adversarial(loss)] == [
        *("mcat", "pgd_at", "trades", "lgm_at")
    ]


@pytest.mark.parametrize("registry", [HEADS, ATTACKS, DETECTORS], ids=["losses", "attacks", "detectors"])
def test_everything_registered_declares_itself(registry) -> None:
    found = [about_of(name, registry[name]) for name in registry]
    assert all(isinstance(vars(registry[name]).get("about"), About) for name in registry)
    titles = [about.title for about in found]
    assert len(set(titles)) == len(titles)
    for about in found:
        assert not about.citation or re.search(r" \d{4}( \(\w+\))?$", about.citation), about
        assert not about.paper or re.fullmatch(r"arXiv \d{4}\.\d{4,5}|doi:\S+", about.paper), about


def test_a_class_inherits_no_declaration() -> None:
    class Parent:
        about = About(title="Parent", citation="Somebody 2020")

    class Child(Parent):
        pass

    assert about_of("parent", Parent).title == "Parent"
    assert about_of("child", Child) == About(title="child")


def test_a_declaration_is_one_line() -> None:
    assert str(about_loss("lgm")) == "L-GM (Wan et al. 2018, arXiv 1803.02988)"
    assert str(about_loss("softmax")) == "softmax"
