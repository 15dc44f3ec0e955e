"""Runs on Dask's workers give the same bytes as this process, whatever is killed, cut or restarted meanwhile.

Minutes long: each fault is tried at many random moments.
"""

import multiprocessing
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import torch

from gmbench.benchmark.engine.entry import HEAD
from gmbench.benchmark.engine.plan import Plan, make_plan
from gmbench.benchmark.engine.run import Summary, run_plan
from gmbench.benchmark.engine.scoring import Fitting
from gmbench.benchmark.engine.store import Store
from gmbench.benchmark.engine.suite import load_suite
from gmbench.benchmark.engine.work import perform, piece
from gmbench.benchmark.engine.work.crew import CrewError
from gmbench.benchmark.engine.work.crews import crew_for, in_process
from gmbench.benchmark.engine.work.workers import cluster

pytestmark = [
    pytest.mark.slow,
    # of Dask's own, when what it talked to is killed
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SUITE = """
name = "workers-v1"
data = "digits"
samples = 40
batch = 20
models = ["digits-lgm-s0", "digits-softmax-s0"]
surrogate = ["digits-surrogate-s0"]
detectors = ["msp", "kde"]

[[attacks]]
label = "pgd"
attack = "pgd"
options = { loss = "ce", steps = 10 }
eps = [0.1, 0.2]

[[attacks]]
label = "long"
attack = "pgd"
options = { loss = "margin", steps = 100 }
eps = [0.1]

[[attacks]]
label = "knows"
attack = "selective-pgd"
options = { steps = 5 }
eps = [0.1]
knows = "kde"

[[attacks]]
label = "transfer"
attack = "pgd"
options = { loss = "ce", steps = 10 }
eps = [0.1]
access = "transfer"
"""
CELLS = 14
DOCS = Path(__file__).parents[5] / "docs" / "cluster.md"

Contents = dict[str, dict[str, bytes]]
Fresh = Callable[[], Store]


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("suite") / "suite.toml"
    path.write_text(SUITE, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def plan(suite: Path) -> Plan:
    return make_plan(load_suite(str(suite)))


@pytest.fixture(scope="module")
def inspected(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with inspections alone: other processes would ask for real."""
    store = Store(tmp_path_factory.mktemp("inspected"))
    for job in plan.jobs:
        fitting = Fitting(job.entrant, job.detectors, plan.data["train"])
        store.write(perform.inspect(job, plan.data, fitting))
    return store.root


@pytest.fixture(scope="module")
def expected(plan: Plan, inspected: Path, tmp_path_factory: pytest.TempPathFactory) -> Contents:
    store = Store(tmp_path_factory.mktemp("expected") / "store")
    shutil.copytree(inspected, store.root)
    with in_process(plan) as crew:
        assert run_plan(plan, store, crew) == Summary(CELLS, 0)
    return contents(store)


@pytest.fixture
def fresh(inspected: Path, tmp_path: Path) -> Fresh:
    """A function that gives stores in which nothing but inspections are done."""
    numbers = count()
    return lambda: Store(Path(shutil.copytree(inspected, tmp_path / f"store-{next(numbers)}")))


def contents(store: Store) -> Contents:
    """Give the files of all entries but probes by key, without their heads, which tell how long they took."""
    found = {}
    for key in store.keys():  # noqa: SIM118 - no mapping
        files = store.read_packed(key).files
        if b'"probe"' not in files[HEAD]:
            found[key] = {name: file for name, file in files.items() if name != HEAD}
    return found


def when(store: Store) -> dict[str, float]:
    """Tell when each entry was written."""
    return {key: (store.path(key) / HEAD).stat().st_mtime for key in store.keys()}  # noqa: SIM118


def worker_processes() -> list[int]:
    return [one.pid for one in multiprocessing.active_children() if one.pid]


@contextmanager
def later(seconds: float, what: object, *arguments: object) -> Iterator[None]:
    timer = threading.Timer(seconds, what, arguments)  # type: ignore[arg-type]
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def kill(pid: int, by: int = signal.SIGKILL) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, by)


def test_two_workers_give_the_same_bytes_though_thirty_are_killed(
    plan: Plan, fresh: Fresh, expected: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(piece, "PART", 5_000)  # the long cells are two parts
    dice = random.Random(0)
    killed, runs = 0, 0
    store = fresh()
    with crew_for(plan, store, workers=2) as crew:
        assert str(crew) == "2 workers, one torch thread each"
        assert run_plan(plan, store, crew) == Summary(CELLS, 0)
        assert contents(store) == expected

        def strike() -> None:
            nonlocal killed
            if pids := worker_processes():
                kill(dice.choice(pids))
                killed += 1

        while killed < 30:
            runs += 1
            store = fresh()
            with ExitStack() as struck:
                for _ in range(4):
                    struck.enter_context(later(dice.uniform(0, 2), strike))
                assert run_plan(plan, store, crew) == Summary(CELLS, 0)
            assert contents(store) == expected
    assert runs >= 5
    deadline = time.monotonic() + 10
    while worker_processes() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert worker_processes() == []


def gmbench(suite: Path, store: Store, *options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gmbench.benchmark.cli.main", "run", suite, "--store", store.root]
    where = ["--results", store.root.parent / f"{store.root.name}-results"]
    return subprocess.Popen(
        [str(part) for part in (*command, *where, *options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str], seconds: float = 300) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def check_kept(store: Store, before: dict[str, float], expected: Contents) -> dict[str, float]:
    """See that nothing that was stored is lost or made again, and all is as expected; tell what there is."""
    now, found = when(store), contents(store)
    assert {key: at for key, at in now.items() if key in before} == before
    for key, files in found.items():
        assert files == expected.get(key) or b'"part"' in store.read_packed(key).files[HEAD]
    return {key: at for key, at in now.items() if key in expected}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_client_killed_fifteen_times_loses_nothing(
    suite: Path, fresh: Fresh, expected: Contents, workers: int
) -> None:
    dice, store, kept = random.Random(workers), fresh(), dict[str, float]()
    for _ in range(15):
        process = gmbench(suite, store, "--workers", workers)
        try:
            process.communicate(timeout=dice.uniform(2, 14))
        except subprocess.TimeoutExpired:
            kill(process.pid)
            process.communicate()
        kept = check_kept(store, kept, expected)
        if process.returncode == 0:
            assert contents(store) == expected
            store, kept = fresh(), {}
    assert ended(gmbench(suite, store, "--workers", workers))[0] == 0
    check_kept(store, kept, expected)
    assert contents(store) == expected


def test_two_clients_on_one_store_lose_nothing(suite: Path, fresh: Fresh, expected: Contents) -> None:
    store = fresh()
    both = [  # each writes a report of its own
        gmbench(suite, store, "--workers", 1, "--results", store.root.parent / name) for name in "ab"
    ]
    told = [ended(one) for one in both]
    assert [code for code, _, _ in told] == [0, 0], told
    assert contents(store) == expected


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_what_is_finished_and_ends_its_workers(
    suite: Path, fresh: Fresh, expected: Contents, by: signal.Signals
) -> None:
    store = fresh()
    process = gmbench(suite, store, "--workers", 2)
    while not kept_cells(store, expected):
        time.sleep(0.05)
        assert process.poll() is None
    os.killpg(process.pid, by) if by == signal.SIGINT else kill(process.pid, by)  # as a terminal does
    code, out, err = ended(process, 30)
    assert code == 130
    assert "the same command goes on from there" in out
    assert "Traceback" not in err
    deadline = time.monotonic() + 10
    while processes_of(process.pid) and time.monotonic() < deadline:  # they are being taken apart
        time.sleep(0.1)
    assert processes_of(process.pid) == []
    before = check_kept(store, {}, expected)
    assert ended(gmbench(suite, store, "--workers", 2))[0] == 0
    check_kept(store, before, expected)
    assert contents(store) == expected


def kept_cells(store: Store, expected: Contents) -> set[str]:
    return {key for key in set(store.keys()) & set(expected) if "images" in str(expected[key].keys())}


def processes_of(session: int) -> list[str]:
    """List the processes of a session that live."""
    lines = subprocess.run(
        ["ps", "-eo", "sid=,stat=,args="], capture_output=True, text=True, check=True
    ).stdout
    fields = [line.split(maxsplit=2) for line in lines.splitlines()]
    return [args for sid, state, args in fields if sid == str(session) and not state.startswith("Z")]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class ByHand:
    """A scheduler and workers, started as docs/cluster.md says.

    Args:
        port: Of the scheduler.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        told = DOCS.read_text(encoding="utf-8").replace("8786", str(port))
        self.commands = re.findall(r"^(dask scheduler .*|dask worker tcp://127.*)$", told, re.MULTILINE)
        self.address = f"tcp://127.0.0.1:{port}"
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, command: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a command of Dask's."""
        process = subprocess.Popen(
            [sys.executable, "-m", *command.split()],
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def __enter__(self) -> "ByHand":
        for command in self.commands:
            self.start(command)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_what_the_documentation_says_works_and_gives_the_same_bytes(
    suite: Path, fresh: Fresh, expected: Contents
) -> None:
    with ByHand(free_port()) as hand:
        assert len(hand.commands) == 2
        [client] = re.findall(r"^gmbench run \S+ (--scheduler tcp://127.*)$", DOCS.read_text(), re.MULTILINE)
        store = fresh()
        code, out, err = ended(gmbench(suite, store, *client.replace("8786", str(hand.port)).split()))
        assert code == 0, err
        assert f"2 workers of {hand.address}" in out
        assert contents(store) == expected


def test_a_scheduler_killed_five_times_is_told_in_a_line_and_loses_nothing(
    suite: Path, fresh: Fresh, expected: Contents
) -> None:
    dice, store, kept = random.Random(5), fresh(), dict[str, float]()
    for _ in range(5):
        with ByHand(free_port()) as hand:
            process = gmbench(suite, store, "--scheduler", hand.address)
            goal = len(kept) + dice.randint(0, 3)
            while process.poll() is None and len(set(store.keys()) & set(expected)) <= goal:
                time.sleep(0.05)
            if process.poll() is None:
                time.sleep(dice.uniform(0, 0.5))
                kill(hand.processes[0].pid)
                code, _, err = ended(process, 60)
                assert code == 1
                assert err.splitlines()[-1].startswith(
                    f"error: the Dask scheduler at {hand.address} is gone;"
                )
                assert "Traceback" not in err
            kept = check_kept(store, kept, expected)
    assert ended(gmbench(suite, store, "--workers", 1))[0] == 0
    check_kept(store, kept, expected)
    assert contents(store) == expected


class Proxy:
    """Hands on what comes to a port, until it is cut.

    Args:
        target: Port that it hands on to.
    """

    def __init__(self, target: int) -> None:
        self.target, self.cut = target, False
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.server.getsockname()[1]
        self.lines: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                line, _ = self.server.accept()
                if self.cut:
                    line.close()
                    continue
                try:
                    other = socket.create_connection(("127.0.0.1", self.target))
                except ConnectionRefusedError:  # it is not there yet
                    line.close()
                    continue
                self.lines += [line, other]
                for one, two in ((line, other), (other, line)):
                    threading.Thread(target=self._hand_on, args=(one, two), daemon=True).start()

    def _hand_on(self, one: socket.socket, two: socket.socket) -> None:
        with suppress(OSError):
            while content := one.recv(65536):
                two.sendall(content)
        for line in (one, two):
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def cut_for(self, seconds: float) -> None:
        """End all connections, and take none for a while."""
        self.cut = True
        for line in self.lines:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        self.lines.clear()
        time.sleep(seconds)
        self.cut = False


def test_a_network_that_is_cut_costs_nothing_but_time(plan: Plan, fresh: Fresh, expected: Contents) -> None:
    dice = random.Random(7)
    with ByHand(free_port()) as hand:
        through = Proxy(hand.port)
        far = hand.commands[1].replace(str(hand.port), str(through.port))
        hand.start(far.replace("--nworkers 2", "--nworkers 1"))
        for _ in range(3):
            store = fresh()
            with (
                later(dice.uniform(0, 4), through.cut_for, 2.0),
                crew_for(plan, store, scheduler=hand.address) as crew,
            ):
                assert run_plan(plan, store, crew) == Summary(CELLS, 0)
            assert contents(store) == expected


def test_a_client_that_is_cut_off_gives_out_its_pieces_again(
    plan: Plan, fresh: Fresh, expected: Contents
) -> None:
    with ByHand(free_port()) as hand:
        through = Proxy(hand.port)
        store = fresh()
        with (
            crew_for(plan, store, scheduler=f"tcp://127.0.0.1:{through.port}") as crew,
            later(0.5, through.cut_for, 1.0),
        ):
            assert run_plan(plan, store, crew) == Summary(CELLS, 0)
        assert contents(store) == expected


def test_what_a_scheduler_cannot_do_is_told_in_a_line(
    plan: Plan, fresh: Fresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand = ByHand(free_port())
    store = fresh()

    def refused(told: str, asked: Plan = plan) -> None:
        with pytest.raises(CrewError, match=told), crew_for(asked, store, scheduler=hand.address):
            pass

    monkeypatch.setattr(cluster, "PATIENCE", 4.0)
    refused(
        rf"^expected a Dask scheduler at {hand.address}, got none \(.*\); start one with: dask scheduler$"
    )
    with socket.create_server(("127.0.0.1", hand.port)):  # somebody listens, and says nothing
        refused(rf"^expected a Dask scheduler at {hand.address}, got none \(.*\); start one with: dask sch")
    scheduler, worker = hand.commands
    hand.commands = [scheduler]
    with hand:
        monkeypatch.setattr(cluster, "PATIENCE", 20.0)
        refused(
            rf"^expected a worker at {hand.address}, got none; start one with: dask worker {hand.address}"
        )
        hand.start(worker)
        refused("to announce a GPU, got none; start one for each GPU with: ", replace(plan, device="cuda"))
        original = cluster.differences
        monkeypatch.setattr(
            cluster, "differences", lambda ours, theirs: original({**ours, "torch": "1.0"}, theirs)
        )
        refused(rf"^worker tcp\S+ has torch {re.escape(torch.__version__)} instead of 1.0; install the same")
