"""What formats need that no installation brings: fetched before anything is measured."""

from collections.abc import Iterable

from bench.errors import JobError
from bench.export.find import find_made_from
from bench.frameworks import source_kind
from bench.measure import EXPORTS
from bench.plan.cell import Job
from bench.records.record import Outcome


def prepare(jobs: Iterable[Job]) -> dict[tuple[str, str], Outcome]:
    """Fetch what the jobs' exports need and tell how it goes; return the outcomes of those that cannot be had.

    They stand by framework and measurement. For what cannot be made from a framework's models nothing is fetched.
    """
    refused = {}
    for framework, measurement in sorted({(job.cell.framework, job.measurement) for job in jobs}):
        if measurement not in EXPORTS:
            continue
        try:
            wanted = find_made_from(measurement.partition(":")[2], source_kind(framework))
            wanted.prepare(lambda said: print(said, flush=True))
        except JobError as error:
            refused[framework, measurement] = Outcome(status=error.status, reason=str(error))
    return refused
