"""Threat models: what is accepted, what is refused and how they read."""

import dataclasses
import itertools
import math

import pandas as pd
import pytest

from gmbench.attacks import ATTACKS, ThreatModel
from gmbench.attacks.core.threat import ACCESS, THREAT_COLUMNS

KNOWS = ("", "kde", "msp")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"norm": "linf"}, r"no norm named 'linf'; did you mean 'Linf'\?"),
        ({"norm": "L7"}, "no norm named 'L7'"),
        ({"access": "whitebox"}, r"no access named 'whitebox'; did you mean 'white-box'\?"),
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
        (ThreatModel("L2", math.inf, "query", "kde"), "L2 minimal, query, knows kde"),
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


@pytest.mark.parametrize(
    ("access", "permitted"),
    [
        ("white-box", {"white-box", "query", "decision", "transfer"}),
        ("query", {"query", "decision"}),
        ("decision", {"decision"}),
        ("transfer", {"transfer"}),
    ],
)
def test_what_each_threat_model_permits(access: str, permitted: set[str]) -> None:
    for knows, other_access, other_knows in itertools.product(KNOWS, ACCESS, KNOWS):
        expected = other_access in permitted and other_knows in ("", knows)
        threat = ThreatModel("Linf", 0.1, access, knows)
        assert threat.permits(ThreatModel("Linf", 0.1, other_access, other_knows)) == expected
        assert not threat.permits(ThreatModel("Linf", 0.2, other_access, other_knows))
        assert not threat.permits(ThreatModel("Linf", 0.05, other_access, other_knows))
        assert not threat.permits(ThreatModel("L2", 0.1, other_access, other_knows))


def test_permission_passes_on() -> None:
    """Else a stronger threat model could lack an attack that a weaker one has."""
    every = [ThreatModel("Linf", 0.1, *kind) for kind in itertools.product(ACCESS, KNOWS)]
    for one, two, three in itertools.product(every, repeat=3):
        assert one.permits(one)
        assert one.permits(three) or not (one.permits(two) and two.permits(three))


@pytest.mark.parametrize(
    ("name", "accesses"),
    [
        ("pgd", {"white-box", "transfer"}),
        ("square", {"white-box", "query"}),
        ("uniform-noise", {"white-box", "query", "decision"}),
    ],
)
def test_what_suffices_for_an_attack(name: str, accesses: set[str]) -> None:
    attack = ATTACKS.build(name)
    assert {one for one in ACCESS if ThreatModel("Linf", 0.1, one).suffices_for(attack)} == accesses


def test_what_an_attacker_has() -> None:
    threats = [ThreatModel("L2", 0.1, access) for access in ACCESS]
    assert [threat.access for threat in threats if threat.has_gradients] == ["white-box"]
    assert [threat.access for threat in threats if threat.uses_surrogate] == ["transfer"]
    knowing = [ThreatModel("L2", 1, knows=one) for one in KNOWS]
    assert [threat.knows_detector for threat in knowing] == [False, True, True]
    assert [threat.awareness for threat in knowing] == ["oblivious", "adaptive", "adaptive"]


def test_an_attack_that_reads_a_score_must_know_a_detector() -> None:
    class Reader:
        access, reads_score = "query", True

    assert ThreatModel("Linf", 0.1, "query", "kde").suffices_for(Reader())
    assert not ThreatModel("Linf", 0.1, "query").suffices_for(Reader())
    assert not ThreatModel("Linf", 0.1, "decision", "kde").suffices_for(Reader())


def test_a_surrogates_features_say_nothing_of_the_victims_detector() -> None:
    class Climber:
        access, reads_score = "white-box", True

    assert ThreatModel("Linf", 0.1, "white-box", "kde").suffices_for(Climber())
    assert not ThreatModel("Linf", 0.1, "transfer", "kde").suffices_for(Climber())


def test_words_read_from_a_file_mean_the_same() -> None:
    transfer, kde, white = ("".join(list(word)) for word in ("transfer", "kde", "white-box"))
    assert ThreatModel("L2", 1, transfer, kde).uses_surrogate
    assert ThreatModel("L2", 1, transfer, kde).knows_detector
    assert ThreatModel("L2", 1, white).has_gradients


def test_is_read_from_the_row_of_a_frame() -> None:
    threats = [ThreatModel("Linf", 0.25, "query"), ThreatModel("L2", math.inf, knows="kde")]
    frame = pd.DataFrame([threat.row() for threat in threats])
    assert tuple(frame.columns) == THREAT_COLUMNS
    assert [ThreatModel.of_row(row) for row in frame.itertuples(index=False)] == threats
    assert [ThreatModel.of_row(row) for _, row in frame.astype({"norm": "category"}).iterrows()] == threats


def test_is_ordered_by_norm_and_size_first() -> None:
    small, large = ThreatModel("Linf", 0.1, "query"), ThreatModel("Linf", 0.2)
    assert sorted([large, small, ThreatModel("L2", 2.0)]) == [ThreatModel("L2", 2.0), small, large]
