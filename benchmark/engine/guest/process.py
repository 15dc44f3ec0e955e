"""The host's side of a guest's process: starting it, asking it within a time limit, ending it."""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, NoReturn

import torch
from torch import Tensor

from ..failure import GuestError
from .wire import Channel, Ended, Late, Nonsense

__all__ = ["LIMIT", "LateGuest", "Process", "Program"]

LIMIT = 600.0
"""Seconds that a guest may take over one answer: minutes beyond any honest pass of one batch."""

HIDDEN = ("GMBENCH_STORE", "OLDPWD")
"""What of the environment tells where results lie; a guest is told its own folder as the working one."""

MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(2**30), "MALLOC_MMAP_THRESHOLD_": str(2**25)}
"""Has glibc keep what a pass frees for the next: else a small process hands it back and asks for it again,
page by page, which makes the pass of a small net a quarter slower."""

LAST_LINES = 2
"""Lines that an error tells of what a guest printed."""

LONGEST = 1000
"""Letters that an error tells of what a guest says."""


class LateGuest(GuestError):
    """A guest did not answer in time."""


class OutOfMemory(GuestError, MemoryError):
    """A guest had not the memory for what it was asked; half of it may fit."""


@dataclass(frozen=True)
class Program:
    """What a guest runs.

    Args:
        file: The user's; its folder is the working one.
        model: ``FILE.py:CLASS@WEIGHTS``, a model in it; "" for what its build() returns.
        shape: Of the images that such a model will get, (C, H, W); None where that is not known.
        plugins: Files that are loaded first.
    """

    file: Path
    model: str = ""
    shape: tuple[int, int, int] | None = None
    plugins: tuple[Path, ...] = ()


class Process:
    """A guest that is born now and answers until `close`.

    Args:
        program: What it runs.
        limit: Seconds that it may take over an answer.
        nursery: Where it is born; None for this process's.
    """

    def __init__(self, program: Program, limit: float = LIMIT, nursery: "Nursery | None" = None) -> None:
        self._limit = limit
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the guest
        self._desk = _shared_file()
        ours, theirs = socket.socketpair()
        self._line = ours
        self._ended = ""
        file = program.file.resolve()
        folder = file.parent
        world = {
            "file": file.name,
            "folder": str(folder),
            "path": [str(Path(place).resolve()) for place in sys.path],
            "environment": _environment() | {"PWD": str(folder)},
        }
        with theirs:
            self._nursery = nursery or _nursery()
            self._pid = self._nursery.born(world, theirs.fileno(), self._desk, self._log.fileno())
        self._channel = Channel(ours, self._desk)
        self._say(
            {
                "file": str(file),
                "model": program.model,
                "shape": program.shape,
                "threads": torch.get_num_threads(),
                "plugins": list(map(str, program.plugins)),
            }
        )

    def hear(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Wait for the answer to what was last said: first to its birth.

        Raises:
            GuestError: It fails, ends, is late or answers nonsense.
        """
        try:
            answer, tensors = self._channel.hear(self._limit)
        except Late:
            self._end(
                f"expected the defense's process to answer within {self._limit:g} s, got nothing; if it is "
                "that slow, give it longer: --guest-limit SECONDS",
                LateGuest,
            )
        except Nonsense as error:
            self._end(f"expected the defense's process to answer with {error}")
        except Ended:
            self._end("")
        if "error" in answer:
            raise (OutOfMemory if answer.get("memory") is True else GuestError)(_short(str(answer["error"])))
        return answer, tensors

    def ask(
        self, question: Mapping[str, Any], tensors: Mapping[str, Tensor] | None = None
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Ask, and wait for the answer.

        Raises:
            GuestError: It fails, has ended, is late or answers nonsense.
        """
        self._say(question, tensors)
        return self.hear()

    def close(self) -> None:
        """Kill it with its process group; a second call does nothing."""
        if self._pid:
            self._line.close()
            if not self._ended:
                self._nursery.end(self._pid, wait=False)
            self._pid = 0
            os.close(self._desk)
            self._log.close()

    def _say(self, message: Mapping[str, Any], tensors: Mapping[str, Tensor] | None = None) -> None:
        if self._ended:
            raise GuestError(self._ended)
        with suppress(Ended):  # `hear` says why
            self._channel.say(message, tensors)

    def _end(self, why: str, kind: type[GuestError] = GuestError) -> NoReturn:
        """Kill it and say why, with what it printed last.

        Raises:
            GuestError: Always.
        """
        code = self._nursery.end(self._pid, wait=True)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        why = why or f"expected the defense's process to answer, got its end ({how})"
        said = self._last_said()
        self._ended = f"{why}; it last said: {said}" if said else why
        self.close()
        raise kind(self._ended)

    def _last_said(self) -> str:
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - 4096))
        lines = self._log.read().decode(errors="replace").split("\n")
        return _short(" / ".join([line.strip() for line in lines if line.strip()][-LAST_LINES:]))

    def __del__(self) -> None:
        with suppress(Exception):
            self.close()


def _short(text: str) -> str:
    """Make what a guest says one line that does no harm to a terminal."""
    line = " ".join(text.split())
    line = "".join(letter if letter.isprintable() else "?" for letter in line)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in HIDDEN}


def _shared_file() -> int:
    """Open a file without a name, in memory where the system can."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("gmbench")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class Nursery:
    """The host's end of the process that guests are born in."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._host = ours
        self._turn = threading.Lock()
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", f"{__package__}.nursery", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._log,
                cwd="/",
                env=_environment() | MEMORY | {"PWD": "/", "PYTHONPATH": os.pathsep.join(sys.path)},
                start_new_session=True,  # an interrupt from the keyboard is the host's
            )
        self._answers = self._host.makefile("rb")

    def wait(self) -> None:
        """Wait until it has imported what it imports.

        Raises:
            GuestError: It cannot start.
        """
        if not self._answers.readline():
            self._log.seek(0)
            said = self._log.read().decode(errors="replace").strip().splitlines() or ["nothing"]
            raise GuestError(f"expected a process for defenses to start, got: {_short(said[-1])}")

    def born(self, world: Mapping[str, Any], line: int, desk: int, log: int) -> int:
        """Have a guest born, and tell its process id."""
        with self._turn:
            self._host.setblocking(True)
            message = json.dumps({"born": world}).encode() + b"\n"
            try:
                sent = socket.send_fds(self._host, [message], [line, desk, log])
                self._host.sendall(message[sent:])
                return int(json.loads(self._answers.readline())["pid"])
            except (OSError, ValueError) as error:
                _nursery_of.cache_clear()
                raise GuestError("expected the process that starts defenses to live, got its end") from error

    def end(self, pid: int, *, wait: bool) -> int:
        """Kill a guest with its process group; where it is waited for, tell its exit code, else 0."""
        with self._turn:
            try:
                self._host.sendall(json.dumps({"end": pid, "wait": wait}).encode() + b"\n")
                return int(json.loads(self._answers.readline())["status"])
            except (OSError, ValueError):  # somebody killed the nursery: its children are ours to end
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
                return -signal.SIGKILL

    def close(self) -> None:
        """Let it end all its guests and itself."""
        self._answers.close()
        self._host.close()
        self._log.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)


def _nursery() -> Nursery:
    """Give this process's nursery; a fork of this process has one of its own."""
    return _nursery_of(os.getpid())


@cache
def _nursery_of(_process: int) -> Nursery:
    nursery = Nursery()
    atexit.register(nursery.close)
    nursery.wait()
    return nursery
