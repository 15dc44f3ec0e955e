"""Who performs is chosen by what is asked for, what is there to do, and what is installed."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from gmbench.benchmark.engine.plan import Plan, make_plan
from gmbench.benchmark.engine.store import Store
from gmbench.benchmark.engine.suite import load_suite
from gmbench.benchmark.engine.work import crews
from gmbench.benchmark.engine.work.crew import CrewError
from gmbench.benchmark.engine.work.here import Here
from gmbench.benchmark.engine.work.workers import cluster

SUITE = """
name = "chosen-v1"
data = "digits"
samples = 20
models = ["digits-softmax-s0"]
detectors = ["msp"]
[[attacks]]
label = "fgsm"
attack = "fgsm"
eps = [0.1]
"""
PIECES = 3


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    path = tmp_path_factory.mktemp("suite") / "suite.toml"
    path.write_text(SUITE, encoding="utf-8")
    return make_plan(load_suite(str(path)))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of workers that were asked for; none are started."""
    asked: list[int] = []

    def noted(workers: int, *_: object) -> nullcontext[str]:
        asked.append(workers)
        return nullcontext("workers")

    monkeypatch.setattr(cluster, "local_cluster", noted)
    monkeypatch.setattr(crews, "processors", lambda: 64)
    return asked


def seconds(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    monkeypatch.setattr(crews, "WORTH", 20.0)
    monkeypatch.setattr(crews, "estimate", lambda *_: [SimpleNamespace(seconds=value)])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"workers": 0}, "expected workers to be at least 1, got 0"),
        ({"workers": -2}, "expected workers to be at least 1, got -2"),
        ({"workers": 2, "scheduler": "tcp://h:1"}, "expected workers or a scheduler, .* got both"),
        ({"scheduler": "h:1"}, "expected a scheduler to be tcp://HOST:PORT or tls://HOST:PORT, got 'h:1'"),
        ({"scheduler": "tcp://h"}, "expected a scheduler to be tcp://HOST:PORT"),
    ],
)
def test_what_nobody_can_do_is_told(
    plan: Plan, tmp_path: Path, asked: dict[str, object], message: str
) -> None:
    wanted = crews.crew_for(plan, Store(tmp_path), **asked)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message), wanted:
        pass


@pytest.mark.parametrize("asked", [{"workers": 2}, {"scheduler": "tcp://127.0.0.1:1"}])
def test_the_extra_is_named_where_it_is_not_installed(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, object]
) -> None:
    monkeypatch.setattr(crews, "find_spec", lambda _: None)
    message = r"needs Dask; install it with: pip install 'gmbench\[distributed\]'$"
    wanted = crews.crew_for(plan, Store(tmp_path), **asked)  # type: ignore[arg-type]
    with pytest.raises(ImportError, match=message), wanted:
        pass
    seconds(monkeypatch, 1000)
    with crews.crew_for(plan, Store(tmp_path)) as crew:
        assert isinstance(crew, Here)


@pytest.mark.parametrize(("workers", "expected"), [(1, []), (2, [2]), (50, [PIECES])])
def test_there_are_as_many_workers_as_are_asked_for_but_no_more_than_pieces(
    plan: Plan, tmp_path: Path, started: list[int], workers: int, expected: list[int]
) -> None:
    with crews.crew_for(plan, Store(tmp_path), workers) as crew:
        assert isinstance(crew, Here) == (not expected)
    assert started == expected


@pytest.mark.parametrize(("needed", "expected"), [(1, []), (19, []), (21, [PIECES])])
def test_where_nobody_says_how_many_it_must_be_worth_their_start(
    plan: Plan,
    tmp_path: Path,
    started: list[int],
    monkeypatch: pytest.MonkeyPatch,
    needed: float,
    expected: list[int],
) -> None:
    seconds(monkeypatch, needed)
    with crews.crew_for(plan, Store(tmp_path)):
        pass
    assert started == expected


def test_where_an_entrant_cannot_be_sent_nobody_is_started_but_by_request(
    plan: Plan, tmp_path: Path, started: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: Plan) -> None:
        raise CrewError("cannot be sent")

    seconds(monkeypatch, 1000)
    monkeypatch.setattr(cluster, "check_sendable", refused)
    with crews.crew_for(plan, Store(tmp_path)) as crew:
        assert isinstance(crew, Here)
    with pytest.raises(CrewError, match="cannot be sent"), crews.crew_for(plan, Store(tmp_path), 2):
        pass
    assert started == []


def test_this_process_has_one_torch_thread_while_it_computes(plan: Plan) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with crews.in_process(plan) as crew:
            assert torch.get_num_threads() == 1
            assert str(crew) == "in this process, one torch thread"
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_all_are_packed_once_to_see_whether_they_can_be_sent(
    plan: Plan, tmp_path: Path, started: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Plan] = []
    seconds(monkeypatch, 1000)
    monkeypatch.setattr(cluster, "check_sendable", seen.append)
    with crews.crew_for(plan, Store(tmp_path)):
        pass
    assert started == [PIECES]
    assert seen == [plan]
