"""Jobs: what is done of each cell, in how many processes, and in which order."""

import random
from collections.abc import Sequence

from bench.measure import MEASUREMENTS
from bench.plan.cards import framework_model
from bench.plan.cell import Job
from bench.plan.matrix import Planned
from bench.plan.protocol import Protocol
from bench.plan.recipe import recipe


def processes(measurement: str, protocol: Protocol) -> int:
    """Return how many fresh processes a measurement takes."""
    return {"training": protocol.processes, "inference": protocol.processes, "accuracy": protocol.seeds}.get(
        measurement, 1
    )


def jobs(planned: Sequence[Planned], protocol: Protocol, seed: int) -> tuple[Job, ...]:
    """Return every job, in blocks: the first process of everything, then the second, each block shuffled by the seed.

    So a machine that grows warm or busy slows every cell alike, and a run that is cut short has something of each.
    """
    found: list[Job] = []
    for process in range(max(protocol.processes, protocol.seeds, 1)):
        block = [
            Job(
                cell=entry.cell,
                measurement=measurement,
                process=process,
                seed=seed + process,
                protocol=protocol,
                recipe=recipe(entry.cell.recipe),
                model=framework_model(entry.cell.architecture, entry.cell.framework),
            )
            for entry in planned
            for measurement in MEASUREMENTS
            if measurement in entry.measurements and process < processes(measurement, protocol)
        ]
        random.Random(f"{seed}/{process}").shuffle(block)
        found += block
    return tuple(found)
