"""What a guest says of itself when it is born; the host believes no more than that it has these types."""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from .wire import Nonsense

__all__ = ["DetectorFacts", "Facts", "HeadFacts", "facts_from"]

Plain = bool | int | float | str | None


@dataclass(frozen=True)
class HeadFacts:
    """Of the classifier's head: its repr's first line, whether it is a mixture, its margin if it has one."""

    told: str
    mixture: bool
    alpha: float | None


@dataclass(frozen=True)
class DetectorFacts:
    """Of the detector: its repr, what a `Detector` declares, and its configuration, reprs where not plain."""

    told: str
    layers: tuple[str, ...] | Literal["all"]
    differentiable: bool
    needs_likelihood: bool
    needs_model: bool
    configuration: dict[str, Plain]


@dataclass(frozen=True)
class Facts:
    """Of the whole defense.

    Args:
        name: What build() calls it.
        state: Hash of all that classifier and detector hold.
        sources: Files that it was made from, {name of the module: path}; the host reads and hashes them.
        training: Whether any module of the classifier is in training mode.
        head: Of its head.
        detector: Of its detector; None for none.
        note: What was done to another's model and its user should know, or nothing.
        found: What is known of another's model, in words.
    """

    name: str
    state: str
    sources: dict[str, str]
    training: bool
    head: HeadFacts
    detector: DetectorFacts | None
    note: str
    found: dict[str, str]


def facts_from(told: dict[str, Any]) -> Facts:
    """Read what a guest said.

    Raises:
        Nonsense: It is something else.
    """
    try:
        return TypeAdapter(Facts).validate_python(told)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise Nonsense(f"what it is, got a wrong '{place}': {first['msg']}") from None
