"""The same code twice, on this machine: how often is it called different? Run with `make benchmark-controls`; half an hour."""

import math
from pathlib import Path
from statistics import mean, stdev

from pytest_benchmark.fixture import BenchmarkFixture
from test_comparisons import REAL, against_head, judgement
from test_speed import told

from bench.records.rates import log_ratio, rate
from bench.records.record import Record
from bench.report.compare import Pair, compare, sides

CONTROLS = 10
# As many as the protocol `standard` has at least.
PAIRS = 6


def scatter(records: list[Record]) -> tuple[float, float]:
    """Return the standard deviation of a pair's log ratio of inference: in turns, and had A and B not been side by side.

    The latter is that of two processes of different pairs, which lay minutes apart: the root of twice a side's variance.
    """
    a, b = ({r.process: r for r in records if r.side == side and rate(r)} for side in ("a", "b"))
    in_turns = stdev(log_ratio("inference", a[process], b[process]) for process in a.keys() & b.keys())
    variances = [stdev(math.log(rate(record) or 1) for record in own.values()) ** 2 for own in (a, b)]
    return in_turns, math.sqrt(sum(variances))


def judged(records: list[Record]) -> tuple[Pair, ...]:
    """Return the rows of a run and of its control; without the control's records none is void, and its margin is kept."""
    found = compare(*sides("run", records))
    alone = [record for record in records if record.side != "a-again"]
    return *compare(*sides("run", alone), found.margin).pairs, *found.control


def test_the_same_code_twice_is_rarely_called_different(benchmark: BenchmarkFixture, checkout: Path):
    """Each run has the same cell three times, A, B and A again, and so two independent differences: of either from A.

    Every row counts, that of latency too, and those that a control voids, by what they would have read. Processes are forked:
    all of a side share where its server's code and data came to lie, which a fresh interpreter each would even out, so
    that differences are called here sooner than in a run by the default.
    """
    said: list[str] = []
    scattered: list[tuple[float, float]] = []
    for number in range(CONTROLS):
        records = against_head(checkout, REAL, number, "--isolation", "fork", pairs=PAIRS)
        said += [judgement(pair) for pair in judged(records)]
        scattered.append(scatter(records))
    different = sum(one in ("FASTER", "SLOWER") for one in said)
    what = (
        f"{2 * CONTROLS} pairs of the same real cell, {PAIRS} forked processes each, {len(said)} rows: called different"
    )
    told(benchmark, what, str(different), "1 or none")
    in_turns, apart = (mean(column) for column in zip(*scattered, strict=True))
    benchmark.extra_info["compared"] = (
        ", ".join(f"{said.count(one)} {one}" for one in sorted(set(said)))
        + f"; a pair's ratio scatters by {in_turns:.1%}, of processes that lay apart in time by {apart:.1%}"
    )
    assert different <= 1
