"""`bench run`: options become jobs, jobs become a results file, and its tables are shown."""

from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench.errors import UsageError
from bench.plan.cell import Cell, Job
from bench.plan.estimate import estimate_seconds
from bench.plan.files import file_hash
from bench.plan.jobs import jobs
from bench.plan.matrix import Matrix, Planned, expand, matrix_path, read_matrix
from bench.plan.selection import narrow
from bench.records.environment import Environment, environment
from bench.records.record import Record
from bench.records.store import latest, read_file
from bench.report.table import Table, show
from bench.report.tables import tables
from bench.run.launcher import Isolation
from bench.run.progress import Progress, duration
from bench.run.runner import Run, run_jobs

COMPLETE, FAILED = 0, 1
_FAILURES = ("failed", "timeout", "diverged", "out_of_memory")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asked for."""

    matrix: str
    axes: dict[str, str]
    device: str
    results: Path
    resume: bool
    time_budget_seconds: float | None
    seed: int
    isolation: Isolation


def measure(options: Options) -> int:
    """Measure the matrix, print its tables, and return the exit status: 1 when a row failed, else 0."""
    path, matrix, planned = _plan(options)
    file = _results_file(options, path, matrix)
    run = Run(
        file=file,
        matrix_hash=file_hash(path),
        isolation=options.isolation,
        time_budget_seconds=options.time_budget_seconds,
    )
    todo = jobs(planned, matrix.protocol, options.seed)
    print(f"{len(planned)} cells, {len(todo)} jobs, {options.isolation} isolation, into {file}", flush=True)
    try:
        with Progress() as progress:
            ended = run_jobs(todo, run, progress)
    except OSError as error:
        raise UsageError(f"{error}; what is measured lies in {file}, go on with --resume") from None
    except KeyboardInterrupt:
        kept = (
            f"What is measured lies in {file}; go on with --resume."
            if _has_records(file)
            else "Nothing is measured yet."
        )
        print(f"\nInterrupted. {kept}", flush=True)
        raise
    records = latest(read_file(file)) if file.exists() else []
    asked = {job.key for job in todo}
    records = [record for record in records if record.key in asked]
    for table in tables(records):
        show(table)
    print(_closing(records, todo, ended, file))
    return FAILED if any(record.status in _FAILURES for record in records) else COMPLETE


def dry(options: Options) -> None:
    """Print the cells, what is measured of each, and a rough estimate."""
    _, matrix, planned = _plan(options)
    todo = jobs(planned, matrix.protocol, options.seed)
    by_cell: dict[Cell, list[Job]] = defaultdict(list)
    for job in todo:
        by_cell[job.cell].append(job)
    show(
        Table(
            title=f"{options.matrix}: {matrix.description}",
            columns=("Cell", "Measurements", "Processes", "Estimate"),
            labels=2,
            rows=tuple(_dry_row(entry, by_cell[entry.cell]) for entry in planned),
        )
    )
    seconds = sum(map(estimate_seconds, todo))
    print(
        f"{len(planned)} cells, {len(todo)} jobs, very roughly {duration(seconds)}: nothing is known of this machine."
    )


def _dry_row(entry: Planned, own: list[Job]) -> tuple[str, ...]:
    seconds = sum(map(estimate_seconds, own))
    return (entry.cell.id, ", ".join(entry.measurements), str(len(own)), duration(seconds))


def _plan(options: Options) -> tuple[Path, Matrix, tuple[Planned, ...]]:
    path = matrix_path(options.matrix)
    matrix = read_matrix(path)
    planned = expand(narrow(matrix.grid, options.axes), _device(options.device))
    if not planned:
        raise UsageError(f"nothing of the matrix {options.matrix} is left; see it with bench run --dry-run")
    return path, matrix, planned


def _device(asked: str) -> str:
    """Return the device to run on: with 'auto' the first GPU that NVML sees, else the CPU."""
    kind, _, number = asked.partition(":")
    if asked == "auto":
        return "cuda" if environment().gpus else "cpu"
    if kind not in ("cpu", "cuda") or (number and (kind == "cpu" or not number.isdecimal())):
        raise UsageError(f"--device {asked!r} is none of auto, cpu, cuda, cuda:0, cuda:1 …")
    return asked


def _results_file(options: Options, path: Path, matrix: Matrix) -> Path:
    """Return a new file, or with --resume the newest of this matrix, if machine, software and protocol are the same."""
    runs = sorted(options.results.glob(f"{path.stem}-[0-9]*.jsonl")) if options.resume else []
    if runs:
        differing = _differences(runs[-1], options, matrix)
        if not differing:
            return runs[-1]
        print(f"{runs[-1]} is not gone on with, a new run begins: {'; '.join(differing)}")
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return options.results / f"{path.stem}-{stamp}.jsonl"


def _differences(file: Path, options: Options, matrix: Matrix) -> list[str]:
    """Return in what a run differs from one that began now; records of the two could not stand in one table."""
    records: list[Record] = read_file(file)
    if not records:
        return []
    then, now = records[-1].environment, environment()
    fields = [name for name in Environment.__struct_fields__ if name not in ("command", "commit", "dirty")]
    found = [f"{n}: {getattr(then, n)} → {getattr(now, n)}" for n in fields if getattr(then, n) != getattr(now, n)]
    if records[-1].protocol != matrix.protocol:
        found.append("another protocol")
    if records[-1].isolation not in (options.isolation, "none"):
        found.append(f"isolation: {records[-1].isolation} → {options.isolation}")
    return found


def _has_records(file: Path) -> bool:
    return file.exists() and file.stat().st_size > 0


def _closing(records: list[Record], todo: tuple[Job, ...], ended: str, file: Path) -> str:
    counts = dict.fromkeys(("ok", "unsupported", "unavailable", *_FAILURES), 0)
    for record in records:
        counts[record.status] += 1
    said = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    budget = ""
    if ended == "time_budget":
        left = len({job.key for job in todo} - {record.key for record in records})
        budget = f"\nThe time budget is spent with {left} of {len(todo)} jobs left; go on with --resume."
    return f"{said}. Results: {file}{budget}"
