"""The worker's side: opens what has travelled, keeps some of it, and performs.

A process performs one piece at a time, with one torch thread, however many threads Dask gives it.
"""

import signal
import threading
from collections.abc import Mapping

import torch
from distributed import get_worker

from ...entry import Packed
from ..crew import CrewError
from ..latest import Latest
from ..perform import Member, Place, perform
from ..piece import Done
from .travel import Order, Parcel, load_plugins, opened
from .versions import differences, versions

__all__ = ["dask_setup", "perform_remotely"]

_turn = threading.Lock()
_members: Latest[Member] = Latest(3)
_places: Latest[Place] = Latest(1)


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
        place = _places.get(
            (order.device, *(one.key for one in splits.values())), lambda: _place(order, splits)
        )
        place.member = asked.__getitem__
        return perform(order.piece, place, given.__getitem__, lambda _work: None)


def _place(order: Order, splits: Mapping[str, Parcel]) -> Place:
    nobody: dict[str, Member] = {}
    return Place(order.device, {name: opened(one) for name, one in splits.items()}, nobody.__getitem__)


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
