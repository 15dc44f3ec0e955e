"""What an attack needs of its threat model is asked before anything is computed."""

from math import inf

import pytest

from gmbench.attacks import ATTACKS, ThreatModel
from gmbench.attacks.core.attack import check_climbable, check_served
from gmbench.attacks.core.threat import ACCESS, grants


@pytest.mark.parametrize("name", list(ATTACKS))
def test_an_attack_is_served_by_what_it_says_it_needs(name: str) -> None:
    attack = ATTACKS.build(name)
    knows = "kde" if attack.reads_score else ""
    for norm in attack.norms:
        check_served(attack, name, ThreatModel(norm, 0.1, attack.access, knows))
    check = {access: ThreatModel(attack.norms[0], 0.1, access, knows) for access in ACCESS}
    for access, threat in check.items():
        if access == "transfer" and knows:
            with pytest.raises(
                ValueError, match=r"with access transfer to know no detector, got 'kde': .*query"
            ):
                check_served(attack, name, threat)
        elif grants(access, attack.access) or (access == "transfer" and attack.access == "white-box"):
            check_served(attack, name, threat)
        else:
            with pytest.raises(
                ValueError, match=f"access of attack '{name}' to be .* got {access}; say access"
            ):
                check_served(attack, name, threat)


@pytest.mark.parametrize("name", list(ATTACKS))
def test_an_attack_is_not_served_by_less(name: str) -> None:
    attack = ATTACKS.build(name)
    knows = "kde" if attack.reads_score else ""
    for norm in {"Linf", "L2"} - set(attack.norms):
        with pytest.raises(ValueError, match=f"no norm of attack '{name}' named '{norm}'"):
            check_served(attack, name, ThreatModel(norm, 0.1, attack.access, knows))
    smallest = ThreatModel(attack.norms[0], inf, attack.access, knows)
    if attack.minimises:
        check_served(attack, name, smallest)
    else:
        with pytest.raises(ValueError, match="to be finite, got inf"):
            check_served(attack, name, smallest)
    if attack.reads_score:
        with pytest.raises(ValueError, match="to know a detector, whose score it reads, got none; say which"):
            check_served(attack, name, ThreatModel(attack.norms[0], 0.1, attack.access))


@pytest.mark.parametrize("name", list(ATTACKS))
def test_who_climbs_a_score_is_refused_one_without_gradients(name: str) -> None:
    attack = ATTACKS.build(name)
    check_climbable(attack, name, "kde", differentiable=True)
    if not attack.needs_score_gradients:
        check_climbable(attack, name, "lid", differentiable=False)
        return
    told = f"detector 'lid' to have gradients for attack '{name}', got none; take an attack that needs none: "
    with pytest.raises(ValueError, match=told) as refused:
        check_climbable(attack, name, "lid", differentiable=False)
    for other in str(refused.value).split("none: ")[1].split(", "):  # the way out is one
        assert not ATTACKS.build(other).needs_score_gradients
        assert ATTACKS.build(other).reads_score
