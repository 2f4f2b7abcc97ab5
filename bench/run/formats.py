"""What formats need that no installation brings: fetched before anything is measured."""

from collections.abc import Iterable

from bench.errors import Unavailable
from bench.export.find import find
from bench.measure import EXPORTS
from bench.plan.cell import Job


def prepare(jobs: Iterable[Job]) -> dict[str, str]:
    """Fetch what the jobs' exports need and tell how it goes; return of each export that cannot be had the reason."""
    missing = {}
    for measurement in sorted({job.measurement for job in jobs} & EXPORTS.keys()):
        try:
            find(measurement.partition(":")[2]).prepare(lambda said: print(said, flush=True))
        except Unavailable as error:
            missing[measurement] = str(error)
    return missing
