"""Jobs: what is done of each cell, in how many processes, and in which order."""

import random
from collections.abc import Sequence
from typing import Literal

from bench.measure import EXPORTS, MEASUREMENTS
from bench.plan.cards import framework_model
from bench.plan.cell import Job, Side
from bench.plan.matrix import Planned
from bench.plan.protocol import Protocol
from bench.plan.recipe import recipe_for
from bench.plan.refusal import refusal

# What is compared with: something that takes turns with it, or results that are stored.
Against = Literal["turns", "stored"]


def processes(measurement: str, protocol: Protocol, in_turns: bool = False) -> int:
    """Return how many fresh processes a measurement may take; in turns, as many as the protocol asks for at least.

    A test whose number of pairs hung on what the pairs said would be wrong more often than it claims. Each process of an export
    makes an artifact of its own, and no more are begun than are asked for: making one takes longer than to ask it.
    """
    if measurement in EXPORTS:
        return protocol.processes
    timed = protocol.processes if in_turns else protocol.processes_at_most
    return {"training": timed, "inference": timed, "accuracy": protocol.seeds}.get(measurement, 1)


def jobs(planned: Sequence[Planned], protocol: Protocol, seed: int, against: Against | None = None) -> tuple[Job, ...]:
    """Return every job, in blocks: the first process of everything, then the second, each block shuffled by the seed.

    So a machine that grows warm or busy slows every cell alike, and a run that is cut short has something of each.
    In turns every process is one of A and one of B, one right after the other: A B, then B A, or the other way
    round by a coin. Whatever is compared with, one measurement of one cell is the control: of it A is measured twice, and
    where A is stored, what is measured here; never of a cell of which it is known that it cannot run. Exports come last in
    their block: they are made of what accuracy has trained.
    """
    tasks = [(entry, m) for entry in planned for m in MEASUREMENTS if m in entry.measurements]
    timed = [(e, m) for e, m in tasks if m in ("training", "inference") and refusal(e.cell) is None]
    control = random.Random(seed).choice(timed) if against and timed else None
    found: list[Job] = []
    for process in range(max(protocol.processes_at_most, protocol.seeds)):
        block = [task for task in tasks if process < processes(task[1], protocol, against == "turns")]
        random.Random(f"{seed}/{process}").shuffle(block)
        block.sort(key=lambda task: task[1] in EXPORTS)
        for entry, measurement in block:
            sides: list[Side | None] = ["a", "b"] if against == "turns" else [None]
            sides += ["a-again"] if (entry, measurement) == control else []
            random.Random(f"{seed}/{process // 2}/{entry.cell.id}/{measurement}").shuffle(sides)
            found += [
                Job(
                    cell=entry.cell,
                    measurement=measurement,
                    process=process,
                    seed=seed + process,
                    protocol=protocol,
                    recipe=recipe_for(entry.cell.recipe, entry.cell.architecture),
                    model=framework_model(entry.cell.architecture, entry.cell.framework),
                    side=side,
                )
                for side in (sides[::-1] if process % 2 else sides)
            ]
    return tuple(found)
