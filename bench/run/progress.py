"""Progress: what runs now, how many jobs of how many, the time left, the last figures."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bench.measure import CEILINGS
from bench.plan.cell import Job
from bench.plan.estimate import estimate_seconds
from bench.records.frame import figures
from bench.records.record import Record

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

_SHOWN: dict[str, Callable[[Any], str]] = {
    "parameters": lambda value: f"{value / 1e6:.1f} M parameters",
    "training_images_per_second": lambda value: f"training {value:,.0f} img/s",
    "inference_images_per_second": lambda value: f"inference {value:,.0f} img/s",
    "latency_p50_seconds": lambda value: f"p50 {value * 1e3:.1f} ms",
    "test_top1": lambda value: f"top-1 {value:.1%}",
    "test_macro_f1_at_chosen": lambda value: f"macro F1 {value:.3f}",
    "training_peak_resident_bytes": lambda value: f"training peak {value / 2**20:,.0f} MiB",
    "training_peak_allocated_bytes": lambda value: f"allocator peak {value / 2**20:,.0f} MiB",
    "artifact_bytes": lambda value: f"{value / 2**20:.1f} MiB",
    "export_latency_p50_seconds": lambda value: f"p50 {value * 1e3:.1f} ms",
}


def describe(record: Record) -> str:
    """Return a record's outcome in one line: its first figures, or its status and reason."""
    if record.status != "ok":
        return f"{record.status}: {record.reason}"
    values = figures(record)
    return ", ".join(show(values[name]) for name, show in _SHOWN.items() if values.get(name) is not None) or "ok"


def duration(seconds: float) -> str:
    """Return seconds as a person says them: 45 s, 3 min, 1 h 20 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


class Progress:
    """Shows a run: one line that changes on a terminal, one line a job elsewhere. Use as a context manager."""

    def __init__(self) -> None:
        self._jobs: Sequence[Job] = ()
        # What jobs took and what was guessed, begun as if the guess had been right for a minute.
        self._taken = self._guessed = 60.0
        self._left = 0.0
        self._finished = 0
        self._before = self._skipped = 0
        self._started = 0.0
        self._current: Sequence[Job] = ()
        self._last = ""
        self._live: Live | None = None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def begin(self, jobs: Sequence[Job], done: int) -> None:
        """Take the jobs of this run; `done` are behind it already."""
        self._jobs, self._before = jobs, done
        self._left = sum(map(estimate_seconds, jobs))
        if sys.stdout.isatty() and jobs:
            from rich.live import Live

            self._live = Live(get_renderable=self._render, refresh_per_second=2, transient=True)
            self._live.start()

    def start(self, jobs: Sequence[Job]) -> None:
        """Take the jobs that run now: one, or several in turns."""
        self._current, self._started = jobs, time.monotonic()

    def finish(self, jobs: Sequence[Job], records: Sequence[Record]) -> None:
        """Take the jobs' records: learn from their duration, and show them."""
        if any(record.isolation != "none" for record in records):
            self._taken += time.monotonic() - self._started
            self._guessed += sum(map(estimate_seconds, jobs))
        self._left = max(0.0, self._left - sum(map(estimate_seconds, jobs)))
        self._current = ()
        left = duration(self.seconds_left())
        keys = {job.key: job for job in jobs}
        for record in records:
            self._finished += 1
            position = f"[{self._before + self._finished}/{self._total}]"
            self._last = f"{position} {name(keys[record.key])}: {describe(record)}"
            if self._live is None:
                print(f"{self._last} ({left} left)", flush=True)
            else:
                self._live.console.print(self._last, highlight=False, markup=False)

    def skip(self, jobs: Sequence[Job]) -> None:
        """Take jobs out that need not run."""
        self._skipped += len(jobs)
        self._left = max(0.0, self._left - sum(map(estimate_seconds, jobs)))

    def expected_seconds(self, jobs: Sequence[Job]) -> float:
        """Return how long jobs may take: the guess, corrected by what this run's jobs took of theirs."""
        return sum(map(estimate_seconds, jobs)) * self._taken / self._guessed

    def seconds_left(self) -> float:
        return self._left * self._taken / self._guessed

    @property
    def _total(self) -> int:
        return self._before + len(self._jobs) - self._skipped

    def _render(self) -> "RenderableType":
        from rich.table import Table

        if not self._current:
            return "finishing" if self._finished else "starting"
        line = Table.grid(padding=(0, 2))
        elapsed = duration(time.monotonic() - self._started)
        line.add_row(
            f"{self._before + self._finished}/{self._total} done",
            f"now {' and '.join(map(name, self._current))} ({elapsed})",
            f"about {duration(self.seconds_left())} left",
        )
        return line


def name(job: Job) -> str:
    """Return a job's name for a person: the cell's axes that tell it apart, the measurement, the process."""
    cell = job.cell
    if job.measurement == CEILINGS:
        return f"the ceilings of {cell.device}"
    again = (f" {job.side}" if job.side else "") + (f" #{job.process + 1}" if job.process else "")
    shape = f"{cell.batch_size}×{cell.image_size} px"
    return f"{cell.architecture} {cell.framework} {cell.precision} {cell.execution} {shape} {job.measurement}{again}"
