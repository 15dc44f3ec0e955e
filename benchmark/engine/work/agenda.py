"""Who waits for whom: tasks with scripts, which ask for pieces to be done and for other tasks to be over."""

import heapq
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from .piece import Done, Piece

__all__ = ["Agenda", "Script", "Task"]

Script = Generator["Task | Sequence[Piece]", Any, bool]
"""Yields pieces, and is sent what each gave; or another task, and is sent whether it went well. Returns
whether its own went well."""


@dataclass(eq=False)
class Task:
    """One thing to be done.

    Args:
        index: Its place in the order.
        script: How.
        ok: Whether it went well; None before it is over.
        done: What its last pieces gave; None for those that are not done yet.
        waiters: Tasks that wait for it.
    """

    index: int
    script: Script
    ok: bool | None = None
    done: list[Done | None] = field(default_factory=list)
    waiters: list["Task"] = field(default_factory=list)


class Agenda:
    """Runs scripts in their order, and none earlier than somebody asks for its pieces.

    So what a script looks up is as of the moment when its pieces are given out.
    """

    def __init__(self) -> None:
        self._count = count()
        self._open = 0
        self._runnable: list[tuple[int, Task, Any]] = []
        self._pieces: list[tuple[int, int, Task, Piece]] = []
        self._given: dict[int, tuple[Task, int]] = {}

    def add(self, script: Script) -> Task:
        """Add a task behind all others."""
        task = Task(next(self._count), script)
        self._open += 1
        heapq.heappush(self._runnable, (task.index, task, None))
        return task

    @property
    def over(self) -> bool:
        """Whether every task is."""
        return not self._open

    def next(self) -> Piece | None:
        """Give out the next piece; None while there is none but what others wait for."""
        while self._runnable or self._pieces:
            if self._pieces and (not self._runnable or self._pieces[0][0] <= self._runnable[0][0]):
                _, slot, task, piece = heapq.heappop(self._pieces)
                self._given[id(piece)] = (task, slot)
                return piece
            self._go_on(*heapq.heappop(self._runnable)[1:])
        return None

    def settle(self, piece: Piece, done: Done) -> None:
        """Hear what a piece gave; where it failed, its task's other pieces are not given out any more."""
        task, slot = self._given.pop(id(piece))
        task.done[slot] = done
        if done.why:
            for entry in [one for one in self._pieces if one[2] is task]:
                self._pieces.remove(entry)
                task.done[entry[1]] = done
            heapq.heapify(self._pieces)
        if None not in task.done:
            heapq.heappush(self._runnable, (task.index, task, list(task.done)))

    def _go_on(self, task: Task, sent: Any) -> None:
        """Send a script what it waited for, and note what it waits for next."""
        try:
            asked = task.script.send(sent)
        except StopIteration as end:
            task.ok = end.value
            self._open -= 1
            for waiter in task.waiters:
                heapq.heappush(self._runnable, (waiter.index, waiter, task.ok))
            return
        if isinstance(asked, Task):
            if asked.ok is None:
                asked.waiters.append(task)
            else:
                heapq.heappush(self._runnable, (task.index, task, asked.ok))
            return
        task.done = [None] * len(asked)
        for slot, piece in enumerate(asked):
            heapq.heappush(self._pieces, (task.index, slot, task, piece))
