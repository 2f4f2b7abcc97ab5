"""The launcher: one job, one process, one outcome, whatever happens in there."""

import contextlib
import os
import select
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import msgspec

from bench.export import FORMATS
from bench.frameworks import FRAMEWORKS
from bench.measure import MEASUREMENTS, PROBES
from bench.measure.nvml import open_gpu
from bench.measure.processor import Processor
from bench.measure.telemetry import Reader, Sampler, Telemetry
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
        self._launched += 1
        job_file, result_file = (Path(self._folder.name) / f"{self._launched}.{part}" for part in ("job", "result"))
        job_file.write_bytes(msgspec.json.encode(job))
        try:
            server = self._server(job)
        except ServerGone as gone:
            return Launched(outcome=Outcome(status="failed", reason=str(gone)), start_seconds=None, wall_seconds=0.0)
        request = Request(job_file=str(job_file), result_file=str(result_file), log_file=str(log_file))
        readers: list[Reader] = [Processor(lambda: server.job)]
        if job.cell.device.startswith("cuda"):
            readers.append(open_gpu(job.cell.device))
        with Sampler(readers) as sampler:
            if any(name in reader.names for reader in readers for name in _POWER):
                time.sleep(IDLE_SECONDS)
            sampler.job_begins()
            asked = time.monotonic()
            how = server.run(request, job.protocol.timeout_seconds)
            wall_seconds = time.monotonic() - asked
        if result_file.exists():
            outcome = msgspec.json.decode(result_file.read_bytes(), type=Outcome)
        else:
            outcome = how
        started = outcome.worker_started
        return Launched(
            outcome=outcome,
            start_seconds=None if started is None else started - asked,
            wall_seconds=wall_seconds,
            telemetry=sampler.telemetry(),
        )

    def _server(self, job: Job) -> "Server":
        framework = FRAMEWORKS[job.cell.framework]
        threads = job.protocol.threads or physical_cores()
        # CUDA numbers GPUs by speed unless told to go by their slots, as NVML does.
        environment = {"OMP_NUM_THREADS": str(threads), "CUDA_DEVICE_ORDER": "PCI_BUS_ID", **framework.environment}
        installation = self._installations.get(job.side, OURS)
        key = (installation, framework.preload, *sorted(environment.items()))
        if key in self._servers and not self._servers[key].alive:
            self._servers.pop(key).close()
        if key not in self._servers:
            self._servers[key] = Server(installation, (*framework.preload, *_OWN_MODULES), environment, self.isolation)
        return self._servers[key]


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

    def run(self, request: Request, timeout_seconds: float) -> Outcome:
        """Run one job; return what its end says where it left no outcome of its own."""
        deadline = time.monotonic() + timeout_seconds
        try:
            self._stream.write(msgspec.json.encode(request) + b"\n")
            started = self._answer(START_TIMEOUT_SECONDS)
            if started is None:
                raise ServerGone(f"it started no process within {START_TIMEOUT_SECONDS:g} s")
            self.job = started.value
            ended = self._answer(deadline - time.monotonic())
            if ended is None:
                self._kill_job()
                if self._answer(KILL_TIMEOUT_SECONDS) is None:  # It cannot die, in a driver's call say: begin anew.
                    self._process.kill()
                    self._process.wait()
                return Outcome(status="timeout", reason=f"killed after {timeout_seconds:g} s without an answer")
        except (ServerGone, OSError) as gone:
            self._kill_job()
            self._process.kill()
            self._process.wait()  # Until it is reaped it still looks alive, and the next job would be sent to it.
            return Outcome(status="failed", reason=f"the server ended with the job: {gone}")
        finally:
            self.job = None
        return Outcome(status="failed", reason=_describe_end(ended.value))

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
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        by = ", by someone else or by the kernel for want of memory" if name == "SIGKILL" else ""
        return f"the process was killed by {name}{by}"
    return f"the process ended with status {os.waitstatus_to_exitcode(status)} and no result"
