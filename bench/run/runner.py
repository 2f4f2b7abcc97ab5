"""The runner: jobs become records, in order, under a time budget, whatever a job does and whenever it is stopped."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from bench.errors import JobError
from bench.frameworks import FRAMEWORKS, missing_packages
from bench.measure import PROBE
from bench.plan.cards import dataset_hash, model_card, model_card_hash
from bench.plan.cell import Job
from bench.plan.files import file_hash
from bench.plan.recipe import recipe_hash
from bench.records.environment import environment
from bench.records.record import FINAL, Hashes, Outcome, Record
from bench.records.store import Writer, read_file
from bench.run.batch_size import largest_that_fits
from bench.run.launcher import Isolation, Launched, Launcher
from bench.run.progress import Progress


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What a run needs to know besides its jobs. `file` takes the records; the logs lie beside it in logs/<name>."""

    file: Path
    matrix_hash: str
    isolation: Isolation
    time_budget_seconds: float | None

    @property
    def name(self) -> str:
        return self.file.stem

    def log_file(self, number: int, job: Job) -> Path:
        """Return the file for one job's output."""
        measurement = job.measurement.replace(":", "-")
        return self.file.parent / "logs" / self.name / f"{number:04d}-{measurement}-{job.process}.log"


def run_jobs(jobs: Sequence[Job], run: Run, progress: Progress) -> Literal["complete", "time_budget"]:
    """Do every job that has no final record yet, appending each record before the next job starts."""
    begun = time.monotonic()
    with Writer(run.file) as writer, Launcher(run.isolation) as launcher:
        runner = _Runner(run, launcher, writer, progress)
        waiting = [job for job in jobs if runner.final_record(job) is None]
        progress.begin(waiting, done=len(jobs) - len(waiting))
        for job in waiting:
            left = None if run.time_budget_seconds is None else run.time_budget_seconds - (time.monotonic() - begun)
            if left is not None and progress.expected_seconds(job) > left:
                return "time_budget"
            progress.start(job)
            progress.finish(job, runner.do(job))
    return "complete"


class _Runner:
    """One run: its records so far, by what they are of, and the means to make another."""

    def __init__(self, run: Run, launcher: Launcher, writer: Writer, progress: Progress) -> None:
        self._run = run
        self._launcher = launcher
        self._writer = writer
        self._progress = progress
        self._records = {record.key: record for record in read_file(run.file)}
        self._logs = len(self._records)

    def final_record(self, job: Job) -> Record | None:
        """Return the record that makes this job done: final, and made by the same card, recipe and protocol."""
        record = self._records.get(job.key)
        if record is None or record.status not in FINAL or record.seed != job.seed:
            return None
        same = msgspec.structs.replace(record.hashes, matrix="") == msgspec.structs.replace(
            self._hashes(job), matrix=""
        )
        return record if same else None

    def do(self, job: Job) -> Record:
        """Do one job and return its record; a batch size that is left to us is found first, in processes of its own."""
        if job.cell.batch_size != "auto":
            return self._measure(job, job)
        try:
            size = self._find_batch_size(job)
        except JobError as error:
            return self._append(job, None, _without_process(Outcome(status=error.status, reason=str(error))), None)
        return self._measure(job, _with_batch_size(job, size))

    def _measure(self, job: Job, resolved: Job) -> Record:
        refused = _refuse(resolved)
        if refused is not None:
            return self._append(job, resolved, _without_process(refused), None)
        self._logs += 1
        log = self._run.log_file(self._logs, job)
        log.parent.mkdir(parents=True, exist_ok=True)
        return self._append(job, resolved, self._launcher.launch(resolved, log), log)

    def _find_batch_size(self, job: Job) -> int:
        """Return the largest batch that trains; raise a `JobError` with a probe's status where none does."""
        last: Record | None = None

        def fits(size: int) -> bool:
            nonlocal last
            probe = msgspec.structs.replace(
                _with_batch_size(job, size), measurement=PROBE, process=0, seed=job.seed - job.process
            )
            last = self.final_record(probe) or self._measure(probe, probe)
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
            hashes=self._hashes(job),
            environment=environment(),
        )
        self._writer.append(record)
        self._records[record.key] = record
        return record

    def _hashes(self, job: Job) -> Hashes:
        weights = job.cell.weights
        return Hashes(
            card=model_card_hash(job.cell.architecture),
            recipe=recipe_hash(job.cell.recipe),
            matrix=self._run.matrix_hash,
            protocol=job.protocol.hash,
            weights=file_hash(Path(weights)) if Path(weights).is_file() else None,
            dataset=dataset_hash(job.cell.dataset),
        )


def _refuse(job: Job) -> Outcome | None:
    """Return the outcome of a job that needs no process to be known: nothing to import, or nothing to run."""
    name, device = job.cell.framework, job.cell.device.partition(":")[0]
    framework = FRAMEWORKS[name]
    missing = missing_packages(name)
    if missing:
        return Outcome(status="unavailable", reason=f"{', '.join(missing)} not installed: {framework.install}")
    if device not in framework.precisions:
        return Outcome(status="unsupported", reason=f"{name} does not run on {device}")
    if job.cell.precision not in framework.precisions[device]:
        return Outcome(status="unsupported", reason=f"{name} has no {job.cell.precision} on {device}")
    if job.cell.execution not in framework.executions:
        return Outcome(status="unsupported", reason=f"{name} has no execution {job.cell.execution}")
    if job.model is None and not framework.any_architecture:
        return Outcome(status="unsupported", reason=f"the card of {job.cell.architecture} names no model in {name}")
    least = model_card(job.cell.architecture).minimum_image_size
    if job.cell.image_size < least and not framework.any_architecture:
        return Outcome(status="unsupported", reason=f"{job.cell.architecture} takes images of {least} px or more")
    return None


def _with_batch_size(job: Job, size: int) -> Job:
    return msgspec.structs.replace(job, cell=msgspec.structs.replace(job.cell, batch_size=size))


def _without_process(outcome: Outcome) -> Launched:
    return Launched(outcome=outcome, start_seconds=None, wall_seconds=0.0)


def _as_error(record: Record) -> JobError:
    error = JobError(f"no batch size was found; at {record.batch_size}: {record.reason}")
    error.status = record.status
    return error
