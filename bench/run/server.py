"""The server: a process that starts one process a job, and never outlives who asked it.

It imports what the framework's table says, once, and then forks; it never touches a device, so a forked job starts with
everything imported and nothing initialised. With isolation 'spawn' it imports nothing and every job begins in a fresh
interpreter. Requests and answers are lines of JSON on a socket; when it
closes, the server kills its job and ends.
"""

import contextlib
import ctypes
import importlib
import os
import select
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Literal, NoReturn

import msgspec

from bench.plan.files import PACKAGE

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One job: where its description lies, where its outcome must go, and the file that takes its output.

    `turns`: the socket over which it hands over to the jobs that it is compared with.
    """

    job_file: str
    result_file: str
    log_file: str
    turns: str | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the server says: it is ready, a job has this process id, or that job ended with this wait status."""

    event: Literal["ready", "started", "ended"]
    value: int = 0


def main() -> None:
    """Serve until the socket closes: `server.py SOCKET_FD ISOLATION MODULE…`."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    isolation, preload = sys.argv[2], sys.argv[3:]
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # While it imports it cannot see the socket close.
    if isolation == "fork":
        for module in preload:
            with contextlib.suppress(
                ModuleNotFoundError
            ):  # An extra that is not installed; whoever needs it will say so.
                importlib.import_module(module)
    _prctl(_PR_SET_PDEATHSIG, 0)
    stream = connection.makefile("rwb", buffering=0)
    _answer(stream, Answer(event="ready"))
    while line := stream.readline():
        request = msgspec.json.decode(line, type=Request)
        pid = _start(request, isolation, connection)
        with contextlib.suppress(OSError):  # Whoever asked may be gone; waiting below finds out.
            _answer(stream, Answer(event="started", value=pid))
        status = _wait(pid, connection)
        if status is None:
            return
        _answer(stream, Answer(event="ended", value=status))


def _answer(stream: socket.SocketIO, answer: Answer) -> None:
    stream.write(msgspec.json.encode(answer) + b"\n")


def _start(request: Request, isolation: str, connection: socket.socket) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        log = os.open(request.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(connection.fileno())
        _work(request, isolation)
    except BaseException:
        traceback.print_exc()
    finally:  # Nothing of the server may run on in the child, whatever was raised.
        os._exit(70)


def _work(request: Request, isolation: str) -> NoReturn:
    if isolation == "spawn":
        root = str(PACKAGE.parent)
        place = str(sys.path.index(root))
        arguments = [sys.executable, "-P", "-c", WORKER, place, root, *_arguments(request)]
        os.execv(sys.executable, arguments)
    worker = importlib.import_module("bench.run.worker")
    worker.main(*_arguments(request))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _arguments(request: Request) -> list[str]:
    """Return what the worker is called with."""
    return [request.job_file, request.result_file, *([request.turns] if request.turns else [])]


def _wait(pid: int, connection: socket.socket) -> int | None:
    """Wait for the job, then end what it left behind; return its wait status, or None when the socket closed first."""
    child = os.pidfd_open(pid)
    try:
        ready, _, _ = select.select([child, connection.fileno()], [], [])
    finally:
        os.close(child)
    asked_to_stop = child not in ready
    for kill in (os.kill, os.killpg):
        with contextlib.suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    _end_orphans()
    return None if asked_to_stop else status


def _end_orphans() -> None:
    """Kill whatever the job's descendants left: as a subreaper this process has become their parent."""
    while True:
        children = Path(f"/proc/self/task/{os.getpid()}/children")
        remaining = children.read_text().split() if children.exists() else []
        if not remaining:
            return
        for orphan in remaining:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(orphan), signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(int(orphan), 0)


def _prctl(option: int, value: int) -> None:
    if _LIBC is not None:
        _LIBC.prctl(option, value, 0, 0, 0)


# Puts a folder into a fresh interpreter's path: the first two arguments say where, and which.
BEGINNING = "import sys; sys.path.insert(int(sys.argv.pop(1)), sys.argv.pop(1)); "
SERVER = f"{BEGINNING}from bench.run.server import main; main()"
WORKER = (
    f"{BEGINNING}import os; from bench.run.worker import main; main(*sys.argv[1:]); sys.stdout.flush(); os._exit(0)"
)
