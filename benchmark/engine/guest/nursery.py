"""Where guests are born: a process that has imported torch and gmbench, and forks.

Importing takes seconds, a fork some hundredths. It runs no user's code, so that what it forks is as fresh as
a new interpreter. It knows nothing of the run: the host tells each guest's environment when it is born. When
the host goes, however it does, it ends every guest's process group and goes, too.
"""

import array
import gc
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch

from ....models.checkpoint import load_checkpoint
from .server import serve
from .wire import Channel

__all__ = ["main"]

SMALL = "digits-softmax-s0"
"""A checkpoint that loads in no time."""

BIRTH = 2**20
"""Bytes of a request: an environment and the folders that are imported from."""


def main() -> None:
    """Serve the host over the socket whose descriptor is the only argument, until it is closed."""
    host = socket.socket(fileno=int(sys.argv[1]))
    children: set[int] = set()
    ending: set[int] = set()  # killed, and their ends not yet seen: until then nobody else gets their ids
    _warm_up()
    gc.collect()
    gc.freeze()  # pages that no child's collector touches need no copy
    host.sendall(b"{}\n")
    try:
        while request := _heard(host):
            message, files = request
            if "born" in message:
                child = os.fork()
                if child == 0:
                    host.close()
                    _live(message["born"], *files)
                children.add(child)
                answer = {"pid": child}
            else:
                child = message["end"]
                kill(child)
                children.discard(child)
                answer = {"status": status(child) if message["wait"] else 0}
                ending |= set() if message["wait"] else {child}
            for file in files:
                os.close(file)
            host.sendall(json.dumps(answer).encode() + b"\n")
            ending = {child for child in ending if not is_over(child)}
    except OSError:  # the host is gone
        pass
    finally:
        for child in children:
            kill(child)


def _warm_up() -> None:
    """Load a model of ours and run it, so that what happens at the first time has happened in every child.

    In one thread and without gradients: torch's threads would not survive a fork.
    """
    torch.set_num_threads(1)
    classifier, _ = load_checkpoint(SMALL)
    with torch.no_grad():
        classifier.outputs(torch.rand(2, 1, 8, 8))


def kill(child: int) -> None:
    """Kill a child with its process group, which it leads from its first breath on, but for that breath."""
    for by in (os.killpg, os.kill):
        with suppress(ProcessLookupError, PermissionError):
            by(child, signal.SIGKILL)


def status(child: int) -> int:
    """Wait for a child's end and tell how it came, as `os.waitstatus_to_exitcode` does."""
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    except ChildProcessError:
        return 0


def is_over(child: int) -> bool:
    """Tell whether a child has ended, and was looked after."""
    try:
        return os.waitpid(child, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True


def _heard(host: socket.socket) -> tuple[Mapping[str, Any], list[int]] | None:
    """Read a line and the file descriptors that come with it; None when the host is gone."""
    line, files = b"", array.array("i")
    while not line.endswith(b"\n"):
        part, ancillary, _, _ = host.recvmsg(BIRTH, socket.CMSG_SPACE(3 * files.itemsize))
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                files.frombytes(content[: len(content) - len(content) % files.itemsize])
        if not part:
            return None
        line += part
    return json.loads(line), list(files)


def _live(world: Mapping[str, Any], line: int, desk: int, log: int) -> None:
    """Be a guest, and never return."""
    try:
        os.setsid()
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        os.chdir(world["folder"])
        os.environ.clear()
        os.environ.update(world["environment"])
        sys.path[:] = world["path"]
        sys.argv[:] = [world["file"]]
        serve(Channel(socket.socket(fileno=line), desk))
        os._exit(0)
    except BaseException:  # noqa: BLE001 - a child must never go on as its parent
        traceback.print_exc()
    finally:
        os._exit(1)


if __name__ == "__main__":
    main()
