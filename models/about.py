"""What a loss, an attack or a detector says about itself, once, beside its code.

Names for people, papers, the order of tables, looks in figures and default detectors all follow from it.
"""

from dataclasses import dataclass

from pydantic import ConfigDict

__all__ = ["ADVERSARIAL", "LAST", "About", "Variant", "about_of"]

ADVERSARIAL = "adversarial training"
"""Family of the losses whose training sees adversarial images."""

LAST = 1000
"""Place of what declares none: after all that do."""


@dataclass(frozen=True)
class About:
    """A declaration, ``about = About(...)`` in the body of a registered class.

    Args:
        title: What people call it.
        citation: Who proposed it and when, as tables print it ("Wan et al. 2018"); "" where nobody did.
        paper: Where to find that paper, an arXiv identifier or a DOI.
        family: Of a loss: "class means", "softmax", "adversarial training" or another; those of one family
            share the panels of figures. A loss without one is drawn as a user's own.
        detector: Of a loss: the detector that its paper verifies inputs with; None where it names none of
            ours.
        place: Of a loss: where tables and legends put it, rising; those of one place stand by name.
    """

    title: str
    citation: str = ""
    paper: str = ""
    family: str = ""
    detector: str | None = None
    place: int = LAST

    def __str__(self) -> str:
        """Write title and source on one line: "L-GM (Wan et al. 2018, arXiv 1803.02988)"."""
        source = ", ".join(part for part in (self.citation, self.paper) if part)
        return f"{self.title} ({source})" if source else self.title


@dataclass(frozen=True, kw_only=True)
class Variant(About):
    """What a recipe declares, table ``[about]``, where its loss alone does not say what its models are.

    Args:
        name: What their rows are grouped under, the `loss` of every frame.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str


def about_of(name: str, declaring: object) -> About:
    """Take what a registered class declares; its name is its title where it declares nothing.

    What a class inherits is about its parent.
    """
    found = vars(declaring).get("about")
    return found if isinstance(found, About) else About(title=name)
