"""The launcher: one job, one process, one outcome, whatever happens in there."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import msgspec

from bench.errors import how_ended
from bench.export import FORMATS
from bench.frameworks import FRAMEWORKS
from bench.measure import MEASUREMENTS, PROBES
from bench.measure.nvml import open_gpu
from bench.measure.processor import Processor
from bench.measure.telemetry import Reader, Sampler, Telemetry
from bench.measure.turns import Seat
from bench.plan.cell import Job, Side
from bench.records.environment import physical_cores
from bench.records.record import Outcome
from bench.run.installation import OURS, Installation
from bench.run.server import SERVER, Answer, Request

Isolation = Literal["fork", "spawn"]
START_TIMEOUT_SECONDS = 300.0
KILL_TIMEOUT_SECONDS = 30.0
# Before a job, where there is a sensor of power: what the machine takes when nothing runs.
IDLE_SECONDS = 1.0
_POWER = ("cpu_energy_joules", "gpu_energy_joules", "gpu_watts")
# Imported by the server too, so that every job of a run is measured by the same code, whatever is edited meanwhile.
_OWN_MODULES = (
    "bench.run.worker",
    "bench.data.digits",
    *sorted({entry.partition(":")[0] for entry in (MEASUREMENTS | PROBES).values()} | set(FORMATS.values())),
)


class Launched(msgspec.Struct, frozen=True, kw_only=True):
    """An outcome with what it took: `start_seconds` is None where the worker never reached its first line."""

    outcome: Outcome
    start_seconds: float | None
    wall_seconds: float
    telemetry: Telemetry | None = None


class ServerGone(Exception):
    """The server ended or did not answer in time."""


class Launcher:
    """Starts jobs through servers, one server an environment. As a context manager it leaves no process behind."""

    def __init__(self, isolation: Isolation, installations: Mapping[Side | None, Installation] | None = None) -> None:
        """`installations`: where the jobs of a side run, for those that do not run here."""
        self.isolation: Isolation = isolation
        self._installations = installations or {}
        self._servers: dict[tuple[object, ...], Server] = {}
        self._launched = 0
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for server in self._servers.values():
            server.close()
        self._folder.cleanup()

    def launch(self, job: Job, log_file: Path) -> Launched:
        """Run one job to its end or its time limit, and say how it ended."""
        return self.launch_together([(job, log_file)])[0]

    def launch_together(self, jobs: Sequence[tuple[Job, Path]]) -> list[Launched]:
        """Run jobs, each with the file for its output; several take turns, and only the one whose turn it is runs.

        A turn lasts from the start, or from one hand-over, to the next hand-over or the end. A job that hands over never
        runs to its end before the next one starts. The time limit is of a job's own turns.
        """
        with contextlib.ExitStack() as stack:
            runs: list[_Running] = []
            for job, log_file in jobs:
                self._launched += 1
                path = Path(self._folder.name) / str(self._launched)
                path.with_suffix(".job").write_bytes(msgspec.json.encode(job))
                seat = stack.enter_context(Seat(f"{path}.turn")) if len(jobs) > 1 else None
                runs.append(_Running(job, path, log_file, seat))
            readers: list[Reader] = [Processor(lambda: [run.process for run in runs if run.process is not None])]
            device = jobs[0][0].cell.device
            if device.startswith("cuda"):
                readers.append(open_gpu(device))
            for run in runs:
                run.find_server(self._server)
            sampler = stack.enter_context(Sampler(readers))
            if any(name in reader.names for reader in readers for name in _POWER):
                time.sleep(IDLE_SECONDS)
            sampler.job_begins()
            waiting = deque(run for run in runs if run.outcome is None)
            while waiting:
                run = waiting.popleft()
                run.take_turn()
                if run.outcome is None:
                    waiting.append(run)
        return [run.launched(sampler.telemetry()) for run in runs]

    def _server(self, job: Job) -> "Server":
        framework = FRAMEWORKS[job.cell.framework]
        threads = job.protocol.threads or physical_cores()
        # CUDA numbers GPUs by speed unless told to go by their slots, as NVML does.
        environment = {
            "OMP_NUM_THREADS": str(threads),
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
            "TMPDIR": self._folder.name,  # What a job that is killed leaves behind goes with the launcher.
            **framework.environment,
        }
        installation = self._installations.get(job.side, OURS)
        key = (job.side, installation, framework.preload, *sorted(environment.items()))
        if key in self._servers and not self._servers[key].alive:
            self._servers.pop(key).close()
        if key not in self._servers:
            self._servers[key] = Server(installation, (*framework.preload, *_OWN_MODULES), environment, self.isolation)
        return self._servers[key]


class _Running:
    """One job on its way to an outcome."""

    def __init__(self, job: Job, path: Path, log_file: Path, seat: Seat | None) -> None:
        self.outcome: Outcome | None = None
        self._limit = job.protocol.timeout_seconds
        self._job = job
        self._seat = seat
        self._request = Request(
            job_file=str(path.with_suffix(".job")),
            result_file=str(path.with_suffix(".result")),
            log_file=str(log_file),
            turns=seat.path if seat else None,
        )
        self._server: Server | None = None
        self._asked: float | None = None
        self._spent = 0.0

    @property
    def process(self) -> int | None:
        return self._server.job if self._server else None

    def find_server(self, find: Callable[[Job], "Server"]) -> None:
        """Find the server, which imports what the job needs, before anything is timed."""
        try:
            self._server = find(self._job)
        except ServerGone as gone:
            self.outcome = Outcome(status="failed", reason=str(gone))

    def take_turn(self) -> None:
        """Run until the job hands over or has ended."""
        assert self._server is not None, "a job without a server has an outcome"
        begun = time.monotonic()
        if self._asked is None:
            self._asked = begun
            self.outcome = self._server.begin(self._request)
        elif self._seat is not None:
            with contextlib.suppress(OSError):  # It has died meanwhile; waiting says how.
                self._seat.give()
        if self.outcome is None:
            self.outcome = self._server.wait(begun + self._limit - self._spent, self._limit, self._seat)
        self._spent += time.monotonic() - begun
        result = Path(self._request.result_file)
        if self.outcome is not None and result.exists():
            self.outcome = _decoded(result.read_bytes())

    def launched(self, telemetry: Telemetry) -> Launched:
        assert self.outcome is not None, "every job ends"
        if self._asked is None:
            return Launched(outcome=self.outcome, start_seconds=None, wall_seconds=0.0)
        started = self.outcome.worker_started
        return Launched(
            outcome=self.outcome,
            start_seconds=None if started is None else started - self._asked,
            wall_seconds=self._spent,
            telemetry=telemetry,
        )


def _decoded(result: bytes) -> Outcome:
    """Return what a worker wrote; that of another commit may write what this one does not know."""
    try:
        return msgspec.json.decode(result, type=Outcome)
    except msgspec.DecodeError as error:
        return Outcome(status="failed", reason=f"its bench writes other figures than this one reads: {error}")


class Server:
    """One server process and the socket to it."""

    def __init__(
        self, installation: Installation, preload: tuple[str, ...], environment: dict[str, str], isolation: Isolation
    ) -> None:
        ours, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()
        with theirs:
            self._process = subprocess.Popen(
                [
                    *(installation.python, "-P", "-c", SERVER, *installation.arguments),
                    *(str(theirs.fileno()), isolation, *preload),
                ],
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._socket = ours
        self._stream = ours.makefile("rwb", buffering=0)
        self.job: int | None = None
        try:
            if self._answer(START_TIMEOUT_SECONDS) is None:
                raise ServerGone(f"the server was not ready after {START_TIMEOUT_SECONDS:g} s")
        except BaseException:
            self._process.kill()
            self.close()
            raise

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def begin(self, request: Request) -> Outcome | None:
        """Start one job; return None, or the outcome where it could not be started."""
        try:
            self._stream.write(msgspec.json.encode(request) + b"\n")
            started = self._answer(START_TIMEOUT_SECONDS)
            if started is None:
                raise ServerGone(f"it started no process within {START_TIMEOUT_SECONDS:g} s")
        except (ServerGone, OSError) as gone:
            return self._gone(gone)
        self.job = started.value
        return None

    def wait(self, until: float, limit_seconds: float, seat: Seat | None) -> Outcome | None:
        """Wait until the job hands over, and return None, or until it has ended, and return what its end says.

        At `until`, on the monotonic clock, it is killed.
        """
        try:
            while True:
                watched: list[socket.socket | Seat] = [self._socket]
                if seat is not None and not seat.left:
                    watched.append(seat)
                ready, _, _ = select.select(watched, [], [], max(0.0, until - time.monotonic()))
                if self._socket in ready:
                    ended = self._answer(0.0)
                    assert ended is not None, "it is readable"
                    self.job = None
                    return Outcome(status="failed", reason=_describe_end(ended.value))
                if seat is not None and seat in ready:
                    if seat.handed_over():
                        return None
                    continue
                self._kill_job()
                if self._answer(KILL_TIMEOUT_SECONDS) is None:  # It cannot die, in a driver's call say: begin anew.
                    self._process.kill()
                    self._process.wait()
                self.job = None
                return Outcome(status="timeout", reason=f"killed after {limit_seconds:g} s without an answer")
        except (ServerGone, OSError) as gone:
            return self._gone(gone)

    def _gone(self, why: Exception) -> Outcome:
        self._kill_job()
        self._process.kill()
        self._process.wait()  # Until it is reaped it still looks alive, and the next job would be sent to it.
        self.job = None
        return Outcome(status="failed", reason=f"the server ended with the job: {why}")

    def close(self) -> None:
        """End the server, its job and what the job started; returns when they are gone."""
        self._kill_job()
        self._stream.close()
        self._socket.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def _kill_job(self) -> None:
        if self.job is not None:
            for kill in (os.kill, os.killpg):  # The process too: it may not have reached its own group yet.
                with contextlib.suppress(ProcessLookupError):
                    kill(self.job, signal.SIGKILL)

    def _answer(self, timeout_seconds: float) -> Answer | None:
        """Return the next answer, or None when the time is over; raise `ServerGone` when the server is."""
        ready, _, _ = select.select([self._socket], [], [], max(0.0, timeout_seconds))
        if not ready:
            return None
        line = self._stream.readline()
        if not line:
            raise ServerGone(self._last_error() or "it closed its socket")
        return msgspec.json.decode(line, type=Answer)

    def _last_error(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""


def _describe_end(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    killed = ", by someone else or by the kernel for want of memory" if code == -signal.SIGKILL else ""
    return f"the process {how_ended(code)}{killed if code < 0 else ' and no result'}"
