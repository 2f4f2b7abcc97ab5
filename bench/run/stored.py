"""Stored results that a new run is held against: what is unlike is refused before anything is measured."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.errors import UsageError
from bench.plan.cell import Cell, Job
from bench.plan.protocol import Protocol
from bench.records.environment import Environment, environment
from bench.records.record import Hashes, Record
from bench.records.store import latest, read
from bench.report.compare import compare, part
from bench.report.comparison import table
from bench.report.conditions import shared, unlike
from bench.report.table import Table
from bench.run.hashes import hashes
from bench.run.launcher import Isolation


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What a job would be measured under. `batch_size`: None where it is to be found."""

    cell: Cell
    batch_size: int | None
    measurement: str
    protocol: Protocol
    isolation: Isolation
    hashes: Hashes
    environment: Environment


class Stored:
    """A file's results; raises `UsageError` for one that cannot be read or holds two sides."""

    def __init__(self, path: Path) -> None:
        self._part = part(str(path), latest(read(path)))
        self._held = [record for record in self._part.records if record.figures]

    @property
    def isolation(self) -> Isolation:
        """How its processes began, as those that are held against them should; fork where they began both ways."""
        return "spawn" if {record.isolation for record in self._held} == {"spawn"} else "fork"

    def refuse_unlike(self, jobs: Sequence[Job], isolation: Isolation, allow_different: bool) -> None:
        """Raise `UsageError` where it has no row of these jobs, or was not measured as these would be."""
        planned = [_planned(job, isolation) for job in jobs]
        name = self._part.name
        if not shared(self._held, planned, frozenset())[0]:
            raise UsageError(f"--against {name}: it has no row of this matrix; bench run --dry-run lists the cells")
        found, _ = unlike(self._held, planned, frozenset())
        if found and not allow_different:
            listed = "\n  ".join(found)
            raise UsageError(
                f"--against {name}: what it holds (A) is unlike this run (B); "
                f"--allow-different compares them all the same:\n  {listed}"
            )

    def table(self, file: Path, records: Sequence[Record]) -> Table:
        """Return a table of new records held against it."""
        return table(compare(self._part, part(str(file), records)))


def _planned(job: Job, isolation: Isolation) -> Planned:
    return Planned(
        cell=job.cell,
        batch_size=job.cell.batch_size if isinstance(job.cell.batch_size, int) else None,
        measurement=job.measurement,
        protocol=job.protocol,
        isolation=isolation,
        hashes=hashes(job, matrix=""),
        environment=environment(),
    )
