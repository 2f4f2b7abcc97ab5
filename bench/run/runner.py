"""The runner: jobs become records, in order, under a time budget, whatever a job does and whenever it is stopped."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench.errors import JobError
from bench.frameworks import FRAMEWORKS
from bench.measure import EXPORTS, PROBE
from bench.measure.nvml import open_gpu
from bench.measure.statistics import median_interval
from bench.plan.cell import Job, Side
from bench.plan.refusal import refusal
from bench.records.environment import Environment, environment
from bench.records.flags import throttled
from bench.records.rates import rate
from bench.records.record import FINAL, Outcome, Record
from bench.records.store import Writer, read_file
from bench.run.batch_size import largest_that_fits
from bench.run.formats import prepare
from bench.run.hashes import hashes
from bench.run.installation import Installation
from bench.run.launcher import Isolation, Launched, Launcher
from bench.run.progress import Progress

TRIES = 3
COOLING_SECONDS = 120.0


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What a run needs to know besides its jobs. `file` takes the records; the logs lie beside it in logs/<name>.

    `others`: the installation and the environment of each side that does not run here.
    """

    file: Path
    matrix_hash: str
    isolation: Isolation
    time_budget_seconds: float | None
    others: Mapping[Side | None, tuple[Installation, Environment]] = {}

    @property
    def name(self) -> str:
        return self.file.stem

    def log_file(self, number: int, job: Job) -> Path:
        """Return the file for one job's output."""
        measurement = job.measurement.replace(":", "-")
        side = f"-{job.side}" if job.side else ""
        return self.file.parent / "logs" / self.name / f"{number:04d}-{measurement}{side}-{job.process}.log"

    def weights_file(self, job: Job) -> Path:
        """Return the file in which the weights for a cell's exports are left: another for what trains otherwise."""
        first = job.seed - job.process  # Every process of an export is of the weights that the first accuracy leaves.
        trained = f"{job.cell.id} {job.side} {first} {hashes(job, matrix='')}"
        name = hashlib.sha256(trained.encode()).hexdigest()[:12]
        return self.file.parent / "weights" / self.name / f"{name}{FRAMEWORKS[job.cell.framework].checkpoint}"


def run_jobs(jobs: Sequence[Job], run: Run, progress: Progress) -> int:
    """Do every job that has no final record yet, appending each record before the next job starts.

    Returns how many the time budget left undone.
    """
    begun = time.monotonic()
    installations = {side: installation for side, (installation, _) in run.others.items()}
    with Writer(run.file) as writer, Launcher(run.isolation, installations) as launcher:
        runner = _Runner(run, launcher, writer, progress)
        jobs = with_weights_files(jobs, run)
        groups = [group for group in together(jobs) if any(runner.final_record(job) is None for job in group)]
        waiting = [job for group in groups for job in group]
        runner.prepare(waiting)
        progress.begin(waiting, done=len(jobs) - len(waiting))
        left = len(waiting)
        for group in groups:
            if runner.enough(group[0]):
                progress.skip(group)
            else:
                spent = time.monotonic() - begun
                budget = run.time_budget_seconds
                if budget is not None and progress.expected_seconds(group) > budget - spent:
                    return left
                progress.start(group)
                progress.finish(group, runner.do(group))
            left -= len(group)
    return 0


class _Runner:
    """One run: its records so far, by what they are of, and the means to make another."""

    def __init__(self, run: Run, launcher: Launcher, writer: Writer, progress: Progress) -> None:
        self._run = run
        self._launcher = launcher
        self._writer = writer
        self._progress = progress
        self._records = {record.key: record for record in read_file(run.file)}
        self._logs = len(self._records)
        self._refused: Mapping[tuple[str, str], Outcome] = {}

    def prepare(self, jobs: Sequence[Job]) -> None:
        """Fetch what the exports among some jobs need, of the cells that can be measured here."""
        self._refused = prepare([job for job in jobs if refusal(job.cell) is None])

    def final_record(self, job: Job) -> Record | None:
        """Return the record that makes this job done: final, and made by the same card, recipe and protocol.

        An accuracy whose weights are wanted and are gone is not done.
        """
        record = self._records.get(job.key)
        if record is None or record.status not in FINAL or record.seed != job.seed:
            return None
        wanted = job.weights_file if job.measurement == "accuracy" and record.status == "ok" else None
        if wanted is not None and not Path(wanted).exists():
            return None
        return record if msgspec.structs.replace(record.hashes, matrix="") == hashes(job, matrix="") else None

    def enough(self, job: Job) -> bool:
        """Return whether the processes so far tell a rate so well, or so little, that one beyond the least need not run."""
        if job.process < job.protocol.processes or job.measurement not in ("training", "inference"):
            return False
        earlier = [self._records.get((*job.key[:3], process)) for process in range(job.process)]
        rates = [value for record in earlier if record and (value := rate(record)) is not None]
        return len(rates) < len(earlier) or median_interval(rates).half_width <= job.protocol.tolerance

    def do(self, jobs: Sequence[Job]) -> list[Record]:
        """Do one job, or several in turns, and return their records.

        A batch size that is left to us is found first, in processes of its own.
        """
        sized: list[tuple[Job, Job]] = []
        records = []
        for job in jobs:
            try:
                size = self._find_batch_size(job) if job.cell.batch_size == "auto" else job.cell.batch_size
                sized.append((job, _with_batch_size(job, size)))
            except JobError as error:
                outcome = Outcome(status=error.status, reason=str(error))
                records.append(self._append(job, None, _without_process(outcome), None))
        return records + self._measure(sized)

    def _measure(self, jobs: Sequence[tuple[Job, Job]]) -> list[Record]:
        """Measure jobs, each as asked for and with its size, and append their records."""
        refused = {job.key: outcome for job, resolved in jobs if (outcome := _refuse(resolved, self._refused))}
        records = [
            self._append(job, resolved, _without_process(refused[job.key]), None)
            for job, resolved in jobs
            if job.key in refused
        ]
        left = [(job, resolved) for job, resolved in jobs if job.key not in refused]
        tried = first = self._try(left) if left else []
        for _ in range(TRIES - 1):
            if not any(map(_worth_another_try, tried)):
                break
            _cool(first[0])
            tried = self._try(left)
        return records + tried

    def _try(self, jobs: Sequence[tuple[Job, Job]]) -> list[Record]:
        logs = [self._log(job) for job, _ in jobs]
        launched = self._launcher.launch_together(
            [(resolved, log) for (_, resolved), log in zip(jobs, logs, strict=True)]
        )
        return [
            self._append(job, resolved, one, log)
            for (job, resolved), one, log in zip(jobs, launched, logs, strict=True)
        ]

    def _log(self, job: Job) -> Path:
        self._logs += 1
        log = self._run.log_file(self._logs, job)
        log.parent.mkdir(parents=True, exist_ok=True)
        return log

    def _find_batch_size(self, job: Job) -> int:
        """Return the largest batch that trains; raise a `JobError` with a probe's status where none does."""
        last: Record | None = None

        def fits(size: int) -> bool:
            nonlocal last
            probe = msgspec.structs.replace(
                _with_batch_size(job, size), measurement=PROBE, process=0, seed=job.seed - job.process
            )
            last = self.final_record(probe) or self._measure([(probe, probe)])[0]
            if last.status not in ("ok", "out_of_memory", "timeout"):
                raise _as_error(last)
            return last.status == "ok"

        size = largest_that_fits(fits)
        if size is None:
            assert last is not None
            raise _as_error(last)
        return size

    def _append(self, job: Job, resolved: Job | None, launched: Launched, log: Path | None) -> Record:
        outcome = launched.outcome
        size = resolved.cell.batch_size if resolved else None
        record = Record(
            run=self._run.name,
            cell=job.cell,
            batch_size=size if isinstance(size, int) else None,
            measurement=job.measurement,
            side=job.side,
            process=job.process,
            seed=job.seed,
            status=outcome.status,
            reason=outcome.reason,
            figures=outcome.figures,
            in_force=outcome.in_force,
            isolation=self._run.isolation if log else "none",
            start_seconds=launched.start_seconds,
            wall_seconds=launched.wall_seconds,
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            log=str(log.relative_to(self._run.file.parent)) if log else None,
            protocol=job.protocol,
            recipe=job.recipe,
            hashes=hashes(job, self._run.matrix_hash),
            environment=self._run.others[job.side][1] if job.side in self._run.others else environment(),
            telemetry=launched.telemetry,
        )
        self._writer.append(record)
        self._records[record.key] = record
        return record


def _worth_another_try(record: Record) -> bool:
    """Return whether heat spoilt the figures; of an accuracy it spoils the seconds, which are no reason to train again."""
    return record.measurement != "accuracy" and throttled(record) is not None


def _cool(record: Record) -> None:
    """Wait until a GPU is as cool as before a record's job, or for two minutes."""
    before = record.telemetry.idle("gpu_celsius") if record.telemetry else []
    gpu = open_gpu(record.cell.device, ("gpu_celsius",))
    end = time.monotonic() + COOLING_SECONDS
    while before and time.monotonic() < end and (gpu.read().get("gpu_celsius") or 0) > before[-1]:
        time.sleep(1)


def with_weights_files(jobs: Sequence[Job], run: Run) -> list[Job]:
    """Return the jobs; exports, and what trains for them, are told where the weights of their cell lie."""
    exported = {job.cell for job in jobs if job.measurement in EXPORTS}
    trained = {job.cell for job in jobs if job.measurement == "accuracy"}

    def told(job: Job) -> Job:
        exports = job.measurement in EXPORTS
        if not exports and (job.measurement != "accuracy" or job.process or job.cell not in exported):
            return job
        file = run.weights_file(job)
        file.parent.mkdir(parents=True, exist_ok=True)
        field = "weights_file" if job.cell in trained else "learned_file"
        return msgspec.structs.replace(job, **{field: str(file.absolute())})

    return [told(job) for job in jobs]


def _refuse(job: Job, refused: Mapping[tuple[str, str], Outcome]) -> Outcome | None:
    """Return the outcome of a job that needs no process to be known."""
    found = refusal(job.cell)
    if found is not None:
        return Outcome(status=found[0], reason=found[1])
    return refused.get((job.cell.framework, job.measurement))


def together(jobs: Sequence[Job]) -> list[tuple[Job, ...]]:
    """Return the jobs in groups: the sides of one timed process of a comparison take turns, every other job is alone."""
    groups: list[tuple[Job, ...]] = []
    for job in jobs:
        timed = job.side is not None and job.measurement in ("training", "inference")
        if timed and groups and groups[-1][0].side is not None and _same(groups[-1][0], job):
            groups[-1] = (*groups[-1], job)
        else:
            groups.append((job,))
    return groups


def _same(one: Job, other: Job) -> bool:
    return msgspec.structs.replace(one, side=None) == msgspec.structs.replace(other, side=None)


def _with_batch_size(job: Job, size: int | str) -> Job:
    return msgspec.structs.replace(job, cell=msgspec.structs.replace(job.cell, batch_size=size))


def _without_process(outcome: Outcome) -> Launched:
    return Launched(outcome=outcome, start_seconds=None, wall_seconds=0.0)


def _as_error(record: Record) -> JobError:
    error = JobError(f"no batch size was found; at {record.batch_size}: {record.reason}")
    error.status = record.status
    return error
