"""Threat models: what is accepted, what is refused and how they read."""

import dataclasses
import math

import pytest

from gmbench.attacks import ThreatModel


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"norm": "linf"}, r"no norm named 'linf'; did you mean 'Linf'\?"),
        ({"norm": "L7"}, "no norm named 'L7'"),
        ({"access": "whitebox"}, r"no access named 'whitebox'; did you mean 'white-box'\?"),
        ({"awareness": "adaptiv"}, r"no awareness named 'adaptiv'; did you mean 'adaptive'\?"),
        ({"eps": 0.0}, "expected eps to be > 0, got 0.0"),
        ({"eps": -0.1}, "expected eps to be > 0, got -0.1"),
        ({"eps": math.nan}, "expected eps to be > 0, got nan"),
        ({"eps": 8.0}, r"expected eps to be at most 1 in Linf .*, got 8.0; is it in units of 1/255\?"),
    ],
)
def test_wrong_values_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ThreatModel(**{"norm": "Linf", "eps": 0.1, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("norm", "eps"), [("Linf", 1.0), ("Linf", math.inf), ("L2", 8.0), ("L2", math.inf), ("Linf", 1 / 255)]
)
def test_right_values_pass(norm: str, eps: float) -> None:
    threat = ThreatModel(norm, eps)
    assert (threat.norm, threat.eps, threat.access, threat.awareness) == (norm, eps, "white-box", "oblivious")


@pytest.mark.parametrize(
    ("threat", "text"),
    [
        (ThreatModel("Linf", 0.3), "Linf 0.3, white-box, oblivious"),
        (ThreatModel("L2", math.inf, "query", "adaptive"), "L2 minimal, query, adaptive"),
    ],
)
def test_reads_as_one_line(threat: ThreatModel, text: str) -> None:
    assert str(threat) == text


def test_is_a_value() -> None:
    threat = ThreatModel("L2", 0.5)
    assert threat == ThreatModel("L2", 0.5)
    assert len({threat, ThreatModel("L2", 0.5), ThreatModel("L2", 0.6)}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        threat.eps = 1.0  # type: ignore[misc]
