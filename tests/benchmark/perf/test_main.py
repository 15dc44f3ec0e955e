"""The contests of `make perf` can be run, and their tables say what was met."""

from io import StringIO

import pytest
import torch
from rich.console import Console

from gmbench.attacks import ATTACKS, ThreatModel
from gmbench.benchmark.contracts.problems import build_conv
from gmbench.benchmark.perf import guests
from gmbench.benchmark.perf.__main__ import OURS, Timing, compare, contenders, ours, table
from gmbench.benchmark.perf.contests import CONTESTS, Contest
from gmbench.benchmark.perf.guests import guest_and_checkpoint
from gmbench.benchmark.perf.peers import PACKAGES, Problem

THERE = [contest for contest in CONTESTS if contest.there]


@pytest.fixture
def problem() -> Problem:
    classifier, x, y = build_conv(4)
    return Problem(classifier.float(), x.float(), y, "Linf", 0.4, {"steps": 2})


@pytest.mark.parametrize("contest", THERE, ids=lambda contest: contest.attack)
def test_a_contest_is_of_an_attack_as_it_is(contest: Contest) -> None:
    attack = ATTACKS.build(contest.attack, **contest.settings)
    assert contest.norm in attack.norms
    assert ThreatModel(contest.norm, contest.eps, attack.access, contest.knows).suffices_for(attack)
    assert set(contest.peers) <= set(PACKAGES)
    assert contest.peers or contest.bare


def test_bare_passes_are_as_many_as_the_attacks(problem: Problem) -> None:
    contest = Contest("pgd", "Linf", 0.4, {"steps": 2}, {}, aim=1.0, bare=1.05)
    found = contenders(contest, problem)
    assert list(found) == [OURS, "bare passes, contiguous", "bare passes, channels last"]
    seen = []
    problem.classifier.net.register_forward_hook(lambda *_: seen.append(torch.is_grad_enabled()))
    ours(contest, problem)
    by_attack = seen.copy()
    seen.clear()
    contenders(contest, problem)["bare passes, contiguous"]()
    assert seen == by_attack == [True, True, False]


def shown(contest: Contest, problem: Problem, timings: dict[str, Timing]) -> str:
    console = Console(file=StringIO(), width=200)
    console.print(table(contest, problem, timings))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_the_fastest_peer_and_the_better_bare_loop_count(problem: Problem) -> None:
    contest = Contest(
        "pgd", "Linf", 0.4, {"steps": 2}, {"foolbox": ours, "adv-lib": ours}, aim=0.7, bare=1.05, bf16=0.4
    )
    seconds = {
        OURS: 1.0,
        "gmbench, bf16": 0.5,
        "bare passes, contiguous": 0.97,
        "bare passes, channels last": 0.9,
        "foolbox": 1.6,
        "adv-lib": 1.25,
    }
    lines = shown(contest, problem, {name: Timing(value, problem.x) for name, value in seconds.items()})
    told = {line.split("│")[1].strip(): line for line in lines.splitlines() if "│" in line}
    assert "0.40 met" in told["gmbench, bf16"]  # to the fastest peer's 1.25
    assert "1.11 missed" in told["bare passes, channels last"]
    assert "1.03" in told["bare passes, contiguous"]
    assert "met" not in told["bare passes, contiguous"]
    assert "0.80 missed" in told["adv-lib"]
    assert "0.62" in told["foolbox"]
    assert "0.62 met" not in told["foolbox"]


def test_strength_is_successes_and_where_it_is_sought_size(problem: Problem) -> None:
    x, wrong = problem.x, problem.x.flip(0)  # another class's image
    some = torch.cat([wrong[:2], x[2:]])
    assert compare(problem, wrong, x).startswith("4.00 ")
    assert "missed" in compare(problem, some, wrong)
    assert "met" in compare(problem, torch.cat([wrong[:3], x[3:]]), wrong)
    smallest = Problem(problem.classifier, x, problem.y, "Linf", float("inf"), {})
    assert "1.00 [green]met" in compare(smallest, wrong, wrong)
    assert compare(smallest, x, wrong) == "nothing in common"


def test_a_guest_is_attacked_as_its_checkpoint_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guests, "IMAGES", 6)
    with guest_and_checkpoint("digits-lgm-s0", None) as pair:
        images = {name: run() for name, run in pair.items()}
    assert torch.equal(images["guest"], images["checkpoint"])
