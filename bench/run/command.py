"""`bench run`: options become jobs, jobs become a results file, and its tables are shown."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bench.errors import UsageError
from bench.measure import EXPORTS
from bench.measure.statistics import FEWEST_FOR_INTERVAL
from bench.plan.cell import Cell, Job, Side
from bench.plan.estimate import estimate_seconds
from bench.plan.files import file_hash
from bench.plan.jobs import Against, jobs
from bench.plan.matrix import Matrix, Planned, expand, matrix_path, read_matrix
from bench.plan.protocol import Protocol, preset
from bench.plan.selection import narrow
from bench.records.environment import Environment, environment, has_cuda_driver
from bench.records.record import Record
from bench.records.store import latest, read_file
from bench.report.format import counted
from bench.report.readme import heading
from bench.report.table import Table, show
from bench.report.tables import tables
from bench.run.ceilings import ceilings_job
from bench.run.installation import Installation, opened
from bench.run.launcher import Isolation
from bench.run.progress import Progress, duration
from bench.run.runner import Run, run_jobs

if TYPE_CHECKING:
    from bench.run.stored import Stored

COMPLETE, FAILED = 0, 1
Others = Mapping[Side | None, tuple[Installation, Environment]]
_FAILURES = ("failed", "timeout", "diverged", "out_of_memory")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asked for. `against`: a results file, a virtual environment or a git ref to compare with.

    `isolation` None: fork; against another version spawn, and against stored results theirs. `allow_different`: compare
    with stored results that are unlike.
    """

    matrix: str
    protocol: str | None
    against: str | None
    allow_different: bool
    axes: dict[str, str]
    device: str
    results: Path
    resume: bool
    time_budget_seconds: float | None
    seed: int
    isolation: Isolation | None


def measure(options: Options) -> int:
    """Measure the matrix, print its tables, and return the exit status: 1 when a row failed, else 0."""
    against = options.against
    if against is None:
        return _measure(options, options.isolation or "fork", {})
    if _is_stored(against):
        # Only here, for statistics need scipy, and without anything to compare a run does not.
        from bench.run.stored import Stored

        stored = Stored(Path(against))
        return _measure(options, options.isolation or stored.isolation, {}, stored)
    with opened(against) as other:
        return _measure(options, options.isolation or "spawn", {"a": other, "a-again": other})


def _is_stored(against: str) -> bool:
    return Path(against).is_file() or against.endswith(".jsonl")


def _measure(options: Options, isolation: Isolation, others: Others, stored: "Stored | None" = None) -> int:
    path, matrix, planned = _plan(options)
    _refuse_absent(planned[0].cell.device)
    todo = jobs(planned, matrix.protocol, options.seed, _against(options))
    if stored is not None:
        stored.refuse_unlike(todo, isolation, options.allow_different)
    file = _results_file(options, isolation, path, matrix, others)
    run = Run(
        file=file,
        matrix_hash=file_hash(path),
        isolation=isolation,
        time_budget_seconds=options.time_budget_seconds,
        others=others,
    )
    if (limits := ceilings_job(todo)) is not None:
        todo = (limits, *todo)
    counts = f"{counted(len(planned), 'cell')}, {counted(len(todo), 'job')}"
    print(f"{counts}, {isolation} isolation, into {file}", flush=True)
    if others:
        _warn_of_few(matrix.protocol)
    if options.against is not None and not any(_has_speed(job) for job in todo):
        print("Nothing here is timed in training, in inference or as an export: there will be no verdict", flush=True)
    left = _run(todo, run)
    records = latest(read_file(file)) if file.exists() else []
    asked = {job.key for job in todo}
    records = [record for record in records if record.key in asked]
    shown = list(tables(records))
    if stored is not None and any(record.figures and record.side is None for record in records):
        shown.append(stored.table(file, records))
    show(*(table for table in shown if table.rows), heading=heading(records) if records else "")
    print(_closing(records, left, file))
    return FAILED if any(record.status in _FAILURES for record in records) else COMPLETE


def _against(options: Options) -> Against | None:
    if options.against is None:
        return None
    return "stored" if _is_stored(options.against) else "turns"


def _warn_of_few(protocol: Protocol) -> None:
    if protocol.processes < FEWEST_FOR_INTERVAL:
        print(
            f"{counted(protocol.processes, 'pair')} a row, where a verdict takes {FEWEST_FOR_INTERVAL} or more: it will hardly "
            "tell anything; --protocol standard has 6, rigorous 10",
            flush=True,
        )


def _has_speed(job: Job) -> bool:
    return job.measurement in ("training", "inference", *EXPORTS)


def _run(todo: Sequence[Job], run: Run) -> int:
    """Do the jobs, and say where what is measured lies when that ends early; return how many the time budget left."""
    try:
        with Progress() as progress:
            return run_jobs(todo, run, progress)
    except OSError as error:
        raise UsageError(f"{error}; what is measured lies in {run.file}, go on with --resume") from None
    except KeyboardInterrupt:
        kept = (
            f"What is measured lies in {run.file}; go on with --resume."
            if _has_records(run.file)
            else "Nothing is measured yet."
        )
        print(f"\nInterrupted. {kept}", flush=True)
        raise


def dry(options: Options) -> None:
    """Print the cells, what is measured of each, and a rough estimate."""
    _, matrix, planned = _plan(options)
    todo = jobs(planned, matrix.protocol, options.seed, _against(options))
    _check_against(options, todo)
    by_cell: dict[Cell, list[Job]] = defaultdict(list)
    for job in todo:
        by_cell[job.cell].append(job)
    show(
        Table(
            title=f"{options.matrix}: {matrix.description}",
            columns=("Cell", "Measurements", "Processes at most", "Estimate"),
            labels=2,
            rows=tuple(_dry_row(entry, by_cell[entry.cell]) for entry in planned),
        )
    )
    seconds = sum(map(estimate_seconds, todo))
    counts = f"{counted(len(planned), 'cell')}, {counted(len(todo), 'job')}"
    print(f"{counts}, very roughly {duration(seconds)}: nothing is known of this machine.")


def _check_against(options: Options, todo: Sequence[Job]) -> None:
    """Raise `UsageError` where a run could not be held against what is named."""
    if options.against is None:
        return
    if not _is_stored(options.against):
        with opened(options.against):
            return
    from bench.run.stored import Stored

    stored = Stored(Path(options.against))
    stored.refuse_unlike(todo, options.isolation or stored.isolation, options.allow_different)


def _dry_row(entry: Planned, own: list[Job]) -> tuple[str, ...]:
    seconds = sum(map(estimate_seconds, own))
    return (entry.cell.id, ", ".join(entry.measurements), str(len(own)), duration(seconds))


def _plan(options: Options) -> tuple[Path, Matrix, tuple[Planned, ...]]:
    path = matrix_path(options.matrix)
    matrix = read_matrix(path)
    if options.protocol is not None:
        matrix = msgspec.structs.replace(matrix, protocol=preset(options.protocol))
    planned = expand(narrow(matrix.grid, options.axes), resolve_device(options.device))
    if not planned:
        raise UsageError(f"nothing of the matrix {options.matrix} is left; see it with bench run --dry-run")
    if options.against is not None and any(entry.cell.batch_size == "auto" for entry in planned):
        raise UsageError(
            "--against: a batch size of 'auto' is found for either side by itself, where the other is not in memory; "
            "name one for both, as with --batch-sizes 64"
        )
    return path, matrix, planned


def resolve_device(asked: str) -> str:
    """Return the device to run on: with 'auto' the first GPU that NVML sees, else the CPU."""
    kind, _, number = asked.partition(":")
    if asked == "auto":
        return "cuda" if environment().gpus else "cpu"
    if kind not in ("cpu", "cuda") or (number and (kind == "cpu" or not number.isdecimal())):
        raise UsageError(f"--device {asked!r} is none of auto, cpu, cuda, cuda:0, cuda:1 …")
    return asked


def _refuse_absent(device: str) -> None:
    """Raise `UsageError` for a GPU that is not here: every job would start only to say so."""
    there = environment()
    nvml_answers = there.driver is not None
    if device.startswith("cuda") and there.gpu(device) is None and (nvml_answers or not has_cuda_driver()):
        seen = f"NVML sees {counted(len(there.gpus), 'GPU')}" if nvml_answers else "CUDA's driver is not installed"
        raise UsageError(f"--device {device}: there is no such GPU here, {seen}; --device cpu measures without one")


def _results_file(options: Options, isolation: Isolation, path: Path, matrix: Matrix, others: Others) -> Path:
    """Return a new file, or with --resume the newest of this matrix, if machine, software and protocol are the same."""
    runs = sorted(options.results.glob(f"{path.stem}-[0-9]*.jsonl")) if options.resume else []
    if runs:
        differing = _differences(runs[-1], isolation, matrix, others)
        if not differing:
            return runs[-1]
        print(f"{runs[-1]} is not gone on with, a new run begins: {'; '.join(differing)}")
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return options.results / f"{path.stem}-{stamp}.jsonl"


def _differences(file: Path, isolation: Isolation, matrix: Matrix, others: Others) -> list[str]:
    """Return in what a run differs from one that began now; records of the two could not stand in one table."""
    records: list[Record] = read_file(file)
    if not records:
        return []
    if bool(others) is not any(record.side == "b" for record in records):
        return ["one of the two compares with --against"]
    fields = [name for name in Environment.__struct_fields__ if name not in ("command", "commit", "dirty")]
    found = []
    for record in {record.side: record for record in records}.values():
        then = record.environment
        now = others[record.side][1] if record.side in others else environment()
        found += [f"{n}: {getattr(then, n)} → {getattr(now, n)}" for n in fields if getattr(then, n) != getattr(now, n)]
    if records[-1].protocol != matrix.protocol:
        found.append("another protocol")
    if records[-1].isolation not in (isolation, "none"):
        found.append(f"isolation: {records[-1].isolation} → {isolation}")
    return found


def _has_records(file: Path) -> bool:
    return file.exists() and file.stat().st_size > 0


def _closing(records: list[Record], left: int, file: Path) -> str:
    counts = dict.fromkeys(("ok", "unsupported", "unavailable", *_FAILURES), 0)
    for record in records:
        counts[record.status] += 1
    said = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    budget = ""
    if left:
        budget = f"\nThe time budget is spent with {left} jobs left, at most; go on with --resume."
    return f"{said}. Results: {file}{budget}"
