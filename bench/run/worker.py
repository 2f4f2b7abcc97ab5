"""The worker: one job in one process. This is the only process that imports a framework."""

import importlib
import math
import re
import resource
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from bench.data.dataset import Dataset
from bench.data.read import read_dataset
from bench.errors import JobError, Status, reason
from bench.frameworks import FRAMEWORKS, builder
from bench.frameworks.trial import Request, Trial
from bench.measure import MEASUREMENTS, PROBES
from bench.measure.context import Context
from bench.measure.diagnosis import check_task, positive_weights
from bench.measure.turns import Turns
from bench.plan.cards import FrameworkModel
from bench.plan.cell import Job
from bench.records.environment import physical_cores
from bench.records.record import Figures, Outcome
from bench.records.trained import pixels_beside

# The share of the machine's free memory that a job on the CPU may take before an allocation fails in the job itself
# and not, by the kernel's choice, in some other process.
MEMORY_SHARE = 0.9


def main(job_file: str, result_file: str, turns: str | None = None) -> None:
    """Do the job described in one file and leave its outcome in another, whole or not at all.

    `turns`: the socket over which it takes turns with the jobs that it is compared with.
    """
    started = time.monotonic()
    job = msgspec.json.decode(Path(job_file).read_bytes(), type=Job)
    outcome = msgspec.structs.replace(execute(job, Turns(turns)), worker_started=started)
    beside = Path(f"{result_file}.part")
    beside.write_bytes(msgspec.json.encode(outcome))
    beside.rename(result_file)


def execute(job: Job, turns: Turns | None = None) -> Outcome:
    """Do the job in this process; whatever it raises becomes its status and reason."""
    trials: list[Trial] = []
    try:
        figures = _measure(job, trials, turns or Turns(None))
        return Outcome(status="ok", figures=figures, in_force=trials[0].in_force() if trials else {})
    except Exception as error:
        traceback.print_exc()
        in_force = trials[0].in_force() if trials else {}
        return Outcome(status=status(job.cell.framework, error), reason=reason(error), in_force=in_force)


def _measure(job: Job, trials: list[Trial], turns: Turns) -> Figures:
    if job.cell.device == "cpu":
        _limit_memory()
    threads = job.protocol.threads or physical_cores()
    # Imported here, where nothing is timed and no memory counted yet: a fresh interpreter takes seconds for it.
    build_trial = builder(job.cell.framework)
    dataset = read_dataset(job.cell.dataset, job.cell.image_size)
    check_task(job.recipe, dataset)

    def build() -> Trial:
        trials.append(build_trial(request(job, dataset, threads)))
        return trials[0]

    context = Context(job, dataset, threads, build, turns)
    figures: Figures = _load((MEASUREMENTS | PROBES)[job.measurement])(context)
    _refuse_not_finite(msgspec.to_builtins(figures), job.measurement)
    return figures


def request(job: Job, dataset: Dataset, threads: int) -> Request:
    """Return what a framework needs to know to build a job's trial for a data set."""
    return Request(
        cell=job.cell,
        model=job.model or FrameworkModel(model=job.cell.architecture),
        recipe=job.recipe,
        classes=len(dataset.classes),
        seed=job.seed,
        threads=threads,
        positive_weights=positive_weights(dataset) if job.recipe.loss == "weighted-bce" else None,
        pixels=pixels_beside(job.cell.weights),
    )


def _load(entry: str) -> Callable[..., Any]:
    module, _, name = entry.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def _limit_memory() -> None:
    lines = Path("/proc/meminfo").read_text().splitlines()
    available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    container = Path("/sys/fs/cgroup/memory.max")
    if container.exists() and (limit := container.read_text().strip()).isdecimal():
        available = min(available, int(limit))
    resource.setrlimit(resource.RLIMIT_DATA, (int(available * MEMORY_SHARE), resource.RLIM_INFINITY))


def status(framework: str, error: Exception) -> Status:
    """Return what a row says whose measurement raised this."""
    if isinstance(error, JobError):
        return error.status
    if isinstance(error, MemoryError):
        return "out_of_memory"
    described = f"{type(error).__module__}.{type(error).__qualname__}: {error}"
    patterns = FRAMEWORKS[framework].out_of_memory
    return "out_of_memory" if any(re.search(pattern, described) for pattern in patterns) else "failed"


def _refuse_not_finite(value: object, where: str) -> None:
    """Raise for a NaN or an infinity anywhere in the figures: JSON has neither, and None means 'not measured'."""
    if isinstance(value, float) and not math.isfinite(value):
        raise JobError(f"{where} is {value}")
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for name, inner in items:
        _refuse_not_finite(inner, f"{where}.{name}")
