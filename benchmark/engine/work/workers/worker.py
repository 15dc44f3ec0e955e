"""The worker's side: opens what has travelled, keeps some of it, and performs.

A process performs one piece at a time, with one torch thread, however many threads Dask gives it.
"""

import signal
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from distributed import get_worker

from ...entry import Packed
from ..crew import CrewError
from ..perform import Member, Place, perform
from ..piece import Done
from .travel import Order, Parcel, load_plugins, opened
from .versions import differences, versions

__all__ = ["dask_setup", "perform_remotely"]

T = TypeVar("T")


class _Kept:
    """Keeps the last few things that were made.

    Args:
        most: How many.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._things: OrderedDict[object, Any] = OrderedDict()

    def get(self, key: object, make: Callable[[], T]) -> T:
        """Give what is kept under the key, or make it."""
        if key not in self._things:
            self._things[key] = make()
        self._things.move_to_end(key)
        while len(self._things) > self._most:
            self._things.popitem(last=False)
        found: T = self._things[key]
        return found


_turn = threading.Lock()
_members, _places = _Kept(3), _Kept(1)


def dask_setup(_worker: object) -> None:
    """Leave interrupts from the keyboard to the client; Dask calls this where it starts a worker of ours."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def perform_remotely(
    order: Order, splits: Mapping[str, Parcel], members: Mapping[str, Parcel], given: Mapping[str, Packed]
) -> Done:
    """Perform a piece on this worker.

    Args:
        order: What to do.
        splits: "train", "validation" and "test".
        members: Those whom it asks, by fingerprint.
        given: The entries that it needs, by key.

    Raises:
        CrewError: This worker has other versions than whoever asks.
    """
    with _turn:
        if told := differences(order.versions, versions()):
            raise CrewError(f"worker {get_worker().address} has {told}")
        torch.set_num_threads(1)
        if order.device.startswith("cuda"):
            _take_gpu()
        load_plugins(order.plugins)
        asked = {name: _member(one, order.device) for name, one in members.items()}
        place: Place = _places.get(
            (order.device, *(one.key for one in splits.values())),
            lambda: Place(
                order.device, {name: opened(one) for name, one in splits.items()}, asked.__getitem__
            ),
        )
        place.member = asked.__getitem__
        return perform(order.piece, place, given.__getitem__, lambda _work: None)


def _place(device: str, splits: Mapping[str, Parcel]) -> Place:
    def make() -> Place:
        nobody: dict[str, Member] = {}
        return Place(device, {name: opened(one) for name, one in splits.items()}, nobody.__getitem__)

    return _places.get((device, *(one.key for one in splits.values())), make)


def _member(packed: Parcel, device: str) -> Member:
    def make() -> Member:
        member: Member = opened(packed)
        member.entrant.classifier.to(device)
        return member

    return _members.get((packed.key, device), make)


def _take_gpu() -> None:
    """Take the GPU whose number is the worker's, where a cluster of this machine's GPUs numbers them."""
    name = get_worker().name
    if isinstance(name, int):
        torch.cuda.set_device(name % torch.cuda.device_count())
