"""The crew that is Dask's workers: on this machine, or wherever a scheduler has them.

Dask decides who computes what, and has it computed elsewhere when a worker is lost. When the connection to
the scheduler was lost and is there again, what was given out is given out once more.
"""

import asyncio
import logging
import os
import signal
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from queue import Empty, Queue
from typing import Any
from uuid import uuid4

import dask
from distributed import Client, Future, KilledWorker, LocalCluster
from distributed.comm import connect

from .....models.python_file import first_line
from ...failure import say
from ...plan import Plan
from ..crew import CrewError
from ..latest import Latest
from ..perform import members_of
from ..piece import Done, Piece, Supply
from .travel import Order, Parcel, as_it_is, parcel, plugins
from .versions import differences, versions

__all__ = ["Cluster", "check_sendable", "local_cluster", "standing_cluster"]

DEATHS = 3
"""How often a piece is asked for that ends as many workers as Dask allows."""

KEPT = 2
"""Entrants that the cluster keeps for later pieces, with the entries that were needed for them."""

PATIENCE = 10.0
"""Seconds to wait for a scheduler, also for one that was lost, and for its first worker."""

ALONE = 300.0
"""Seconds to wait for a worker where there is none any more."""

LOST = 30
"""Seconds after which a worker of ours that does not come back by itself is replaced."""

LOOK = 1.0
"""Seconds between looks at who is there."""


class Cluster:
    """Performs pieces on Dask's workers.

    Args:
        client: Of the scheduler.
        perform: Done by a worker; see `worker.perform_remotely`.
        plan: Whose pieces.
        told: What it is, for people.
        mend: Called while there is no worker, or fewer than there were, to have them back.
    """

    def __init__(
        self,
        client: Client,
        perform: Callable[..., Done],
        plan: Plan,
        told: str,
        mend: Callable[[], object] = lambda: None,
    ) -> None:
        self._client, self._perform, self._plan, self._told = client, perform, plan, told
        self._address = client.scheduler.address
        self._members = members_of(plan)
        self._order: dict[str, Any] = {"device": plan.device, "versions": versions(), "plugins": plugins()}
        self._resources = {"GPU": 1} if plan.device.startswith("cuda") else None
        self._lent: Latest[dict[str, Future]] = Latest(KEPT)
        self._given: dict[str, tuple[Piece, Supply]] = {}
        self._over: Queue[Future] = Queue()
        self._deaths: Counter[Piece] = Counter()
        self._looked, self._workers, self._seen = 0.0, 1, time.monotonic()
        self._mend, self._most = mend, 1
        self._splits = self._put_splits()

    def __str__(self) -> str:
        return self._told

    @property
    def room(self) -> int:
        """Twice as many pieces as workers: one is computed, and one waits beside it."""
        self._look()
        return 2 * max(1, self._workers) - len(self._given)

    def submit(self, piece: Piece, supply: Supply) -> None:
        lent = self._lent.get(piece.entrant, dict)
        members = {one: self._lend(lent, one, self._packed) for one in piece.entrants}
        given = {key: self._lend(lent, key, supply) for key in piece.needs}
        key = f"gmbench-piece-{uuid4().hex}"
        order = Order(piece, **self._order)
        with _no_advice():
            future = self._client.submit(
                self._perform, order, self._splits, members, given, key=key, resources=self._resources
            )
        self._given[key] = piece, supply
        future.add_done_callback(self._over.put)

    def finished(self, report: Callable[[float], None]) -> tuple[Piece, Done]:
        while True:
            future = self._next()
            piece, supply = self._given.pop(future.key)
            try:
                return piece, future.result()
            except CrewError:
                raise
            except KilledWorker as error:
                self._deaths[piece] += 1
                if self._deaths[piece] == DEATHS:
                    return piece, Done(why=f"every worker that computed it ended: {say(error)}")
            except (CancelledError, OSError):
                self._find_scheduler()
            except Exception as error:  # noqa: BLE001 - of a worker that cannot open what was sent, say
                return piece, Done(why=say(error))
            self.submit(piece, supply)

    def _next(self) -> Future:
        """Wait for the next future that is over, and see meanwhile that somebody is there.

        Raises:
            CrewError: Nobody is.
        """
        while True:
            try:
                return self._over.get(timeout=LOOK)
            except Empty:
                self._look()
                if self._client.status == "closed":
                    raise self._gone() from None
                if time.monotonic() - self._seen > ALONE:
                    raise CrewError(
                        f"expected a worker at {self._address}, got none for {ALONE:g} s; finished cells are "
                        "kept: start workers and run again"
                    ) from None

    def _look(self) -> None:
        """Count the workers, once in a while."""
        now = time.monotonic()
        if now - self._looked < LOOK or self._client.status != "running":
            return
        try:
            self._workers = len(self._client.nthreads())
        except (OSError, CancelledError):
            return
        self._looked = now
        if self._workers:
            self._seen = now
        self._most = max(self._most, self._workers)
        if self._workers < self._most:
            self._mend()

    def _find_scheduler(self) -> None:
        """Wait until the scheduler is there again, and hand it the data once more if it has forgotten them.

        Raises:
            CrewError: It does not come back.
        """
        end = time.monotonic() + 2 * PATIENCE
        while self._client.status != "running":
            if self._client.status == "closed" or time.monotonic() > end:
                raise self._gone()
            time.sleep(0.1)
        if any(future.status in ("cancelled", "lost") for future in self._splits.values()):
            self._lent.clear()
            self._splits = self._put_splits()

    def _gone(self) -> CrewError:
        return CrewError(
            f"the Dask scheduler at {self._address} is gone; finished cells are kept: the same command "
            "goes on from there"
        )

    def _lend(self, lent: dict[str, Future], key: str, make: Callable[[str], object]) -> Future:
        """Have the cluster keep a thing for this piece and for later ones."""
        if key not in lent or lent[key].status in ("cancelled", "lost"):
            lent[key] = self._put(f"gmbench-{key}", make(key))
        return lent[key]

    def _packed(self, fingerprint: str) -> Parcel:
        return parcel(self._members[fingerprint], self._members[fingerprint].entrant.name)

    def _put_splits(self) -> dict[str, Future]:
        """Have the cluster keep the data, of the test split as many images as are asked for."""
        most = max((cell.samples for cell in self._plan.cells() if cell.split == "test"), default=1)
        splits = {**self._plan.data, "test": self._plan.data["test"].head(most)}
        packed = {name: parcel(one, f"the {name} images") for name, one in splits.items()}
        return {name: self._put(f"gmbench-{one.key}", one) for name, one in packed.items()}

    def _put(self, key: str, thing: object) -> Future:
        """Have the cluster keep a thing, as the result of a task: it survives the worker that has it."""
        with _no_advice():
            return self._client.submit(as_it_is, thing, key=key)


def check_sendable(plan: Plan) -> None:
    """See that every entrant of a plan can be sent to workers.

    Raises:
        CrewError: One cannot.
    """
    for member in members_of(plan).values():
        parcel(member, member.entrant.name)


@contextmanager
def local_cluster(workers: int, perform: Callable[..., Done], plan: Plan) -> Iterator[Cluster]:
    """Give a crew of worker processes on this machine, which end with it.

    Args:
        workers: How many.
        perform: Done by a worker.
        plan: Whose pieces.
    """
    options = {"resources": {"GPU": 1}} if plan.device.startswith("cuda") else {}
    with (
        _quiet(),
        # of a worker that ended while it started; `scale` replaces it then
        dask.config.set({"distributed.deploy.lost-worker-timeout": f"{LOST} s"}),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            memory_limit=0,
            dashboard_address="127.0.0.1:0",  # any port: 8787 may be another run's
            silence_logs=logging.CRITICAL,
            preload=f"{__package__}.worker",
            **options,
        ) as cluster,
        Client(cluster, set_as_default=False, timeout=PATIENCE) as client,
    ):
        told = f"{workers} workers, one torch thread each"
        try:
            yield Cluster(client, perform, plan, told, mend=lambda: cluster.scale(workers))
        except BaseException:
            _end_now(cluster)
            raise


def _end_now(cluster: LocalCluster) -> None:
    """End workers in the middle of what they compute: nobody waits for it any more."""
    for nanny in cluster.workers.values():
        nanny.auto_restart = False
        if nanny.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(nanny.pid, signal.SIGKILL)


@contextmanager
def standing_cluster(address: str, perform: Callable[..., Done], plan: Plan) -> Iterator[Cluster]:
    """Give the crew that a scheduler has.

    Args:
        address: Of the scheduler, ``tcp://HOST:PORT``.
        perform: Done by a worker.
        plan: Whose pieces.

    Raises:
        CrewError: There is no such scheduler, it has no workers, they have other versions, or no GPU.
    """
    with _quiet():
        try:
            asyncio.run(_greeted(address))
            client = Client(address, set_as_default=False, timeout=PATIENCE)
        except (OSError, ValueError) as error:
            raise CrewError(
                f"expected a Dask scheduler at {address}, got none ({first_line(error)}); start one with: "
                "dask scheduler"
            ) from None
        with client:
            count = _checked(client, address, plan.device)
            yield Cluster(client, perform, plan, f"{count} workers of {address}")


async def _greeted(address: str) -> None:
    """See that a scheduler answers: a client would wait for ever where somebody listens and says nothing.

    Raises:
        TimeoutError: Nobody answers.
    """
    comm = await asyncio.wait_for(connect(address, timeout=PATIENCE), PATIENCE)
    await comm.close()


def _checked(client: Client, address: str, device: str) -> int:
    """Count the workers, and see that they can do what will be asked of them.

    Raises:
        CrewError: They cannot.
    """
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError:
        raise CrewError(
            f"expected a worker at {address}, got none; start one with: dask worker {address} --nthreads 1"
        ) from None
    found = client.run(versions, on_error="return")
    for worker, told in sorted(found.items()):
        if isinstance(told, Exception):
            raise CrewError(f"worker {worker} has no gmbench like this one: {say(told)}")
        if wrong := differences(versions(), told):
            raise CrewError(f"worker {worker} has {wrong}; install the same on all")
    if device.startswith("cuda"):
        able = [one for one in client.scheduler_info()["workers"].values() if one["resources"].get("GPU")]
        if not able:
            raise CrewError(
                f"expected a worker at {address} to announce a GPU, got none; start one for each GPU with: "
                f"dask worker {address} --nthreads 1 --resources GPU=1"
            )
    return len(found)


@contextmanager
def _quiet() -> Iterator[None]:
    """Have Dask say nothing: what its users should know, errors say in a line."""
    log = logging.getLogger("distributed")
    before = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(before)


@contextmanager
def _no_advice() -> Iterator[None]:
    """Spare the user Dask's advice not to send what is large: it is sent once."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph")
        yield
