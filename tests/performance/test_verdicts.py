"""How often verdicts are wrong, on simulated runs whose truth is known. Run with `make benchmark`.

A simulated matrix has 200 rows, or one; a row has 10 pairs of processes, run A B B A or B A A B by a coin. `spread` is the
standard deviation of a process's log rate. Shapes: normal; a drift of three spreads over the row; heavy tails, Student's t
with 3 degrees of freedom; two modes two spreads apart, 3 in 10 processes in the slower; and an autocorrelation of 0.6 from
process to process.
"""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture
from scipy import optimize, stats
from test_speed import told

from bench.measure.statistics import median_interval
from bench.measure.verdict import SAME_MACHINE_MARGIN, Judgement, Verdict, paired, unpaired, verdicts
from bench.plan.protocol import PRESETS

PAIRS = 10
MATRICES = 1000
RUNS = 4000
SHAPES = ("normal", "drift", "tails", "modes", "autocorrelated")
DIFFERENT = (Judgement.FASTER, Judgement.SLOWER)
Floats = NDArray[np.float64]
EVERY_SIZE = pytest.mark.parametrize("rows", [1, 200])


def processes(random: np.random.Generator, shape: str, spread: float, rows: int) -> Floats:
    """Return log rates in [rows, PAIRS, 2]: of A and B in each pair."""
    size = (rows, 2 * PAIRS)
    inner = {"tails": random.standard_t(3, size) / math.sqrt(3), "modes": random.normal(0, 1 / 3, size)}
    found: Floats = inner.get(shape, random.normal(0, 1, size))
    if shape == "drift":
        found = found + np.linspace(0, 3, 2 * PAIRS)
    if shape == "modes":
        found = found - 2 * (random.random(size) < 0.3)
    if shape == "autocorrelated":
        for later in range(1, 2 * PAIRS):
            found[:, later] = 0.6 * found[:, later - 1] + 0.8 * found[:, later]
    abba = found.reshape(rows, PAIRS // 2, 4)
    turned = np.where(random.random((rows, PAIRS // 2, 1)) < 0.5, [0, 1, 3, 2], [1, 0, 2, 3])
    return spread * np.take_along_axis(abba, turned, 2).reshape(rows, PAIRS, 2)


def judge(logs: Floats) -> tuple[Verdict, ...]:
    return verdicts([paired(row[:, 1] - row[:, 0]) for row in logs], SAME_MACHINE_MARGIN)


@EVERY_SIZE
@pytest.mark.parametrize("spread", [0.005, 0.01, 0.03])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_thing_twice_is_not_called_different(
    benchmark: BenchmarkFixture, shape: str, spread: float, rows: int
):
    random = np.random.default_rng(1)
    found = [one for _ in range(MATRICES) for one in judge(processes(random, shape, spread, rows))]
    wrong = sum(one.judgement in DIFFERENT for one in found) / len(found)
    covered = sum(one.low <= 1 <= one.high for one in found) / len(found)
    told(
        benchmark,
        f"Identical pairs, {shape}, spread {spread:.1%}, {MATRICES} matrices of {rows}: called different",
        f"{wrong:.2%}",
        "1 %",
    )
    benchmark.extra_info["compared"] = f"95 % intervals cover {covered:.1%}, must be 93 to 97 %"
    assert wrong <= 0.01
    assert 0.93 <= covered <= 0.97


@EVERY_SIZE
@pytest.mark.parametrize("shape", SHAPES)
def test_three_percent_are_found(benchmark: BenchmarkFixture, shape: str, rows: int):
    random = np.random.default_rng(2)
    right = 0
    for _ in range(MATRICES):
        logs = processes(random, shape, 0.01, rows)
        logs[0, :, 1] += math.log(1.03)
        right += judge(logs)[0].judgement is Judgement.FASTER
    share = right / MATRICES
    what = f"B 3 % faster in one row of {rows}, {shape}, spread 1.0%, 10 processes: found"
    told(benchmark, what, f"{share:.1%}", "90 % or more")
    assert share >= 0.9


def medians(random: np.random.Generator, shape: str, spread: float, most: int) -> tuple[Floats, float]:
    """Return the rates of one cell's processes in the order they would be started, and their true median."""
    if shape == "modes":
        logs = random.normal(0, 1 / 3, most) - 2 * (random.random(most) < 0.3)
        # The median of 0.7·N(0, ⅓) + 0.3·N(−2, ⅓).
        truth = float(
            optimize.brentq(lambda x: 0.7 * stats.norm.cdf(3 * x) + 0.3 * stats.norm.cdf(3 * x + 6) - 0.5, -2, 1)
        )
    else:
        logs = processes(random, shape, 1.0, 1).ravel()[:most]
        truth = 0.0
    return np.exp(spread * logs), math.exp(spread * truth)


@pytest.mark.parametrize("spread", [0.005, 0.01, 0.03])
@pytest.mark.parametrize("shape", ["normal", "tails", "modes"])
def test_the_interval_of_a_rate_covers_also_where_it_decides_when_to_stop(
    benchmark: BenchmarkFixture, shape: str, spread: float
):
    """As the runner does it: 6 processes, then one more until half the interval is within 1 %, 12 at most."""
    random = np.random.default_rng(4)
    protocol = PRESETS["standard"]
    covered, bootstrapped, used = 0, 0, 0
    for _ in range(RUNS):
        rates, truth = medians(random, shape, spread, protocol.processes_at_most)
        count = protocol.processes
        while count < len(rates) and median_interval(rates[:count]).half_width > protocol.tolerance:
            count += 1
        found = median_interval(rates[:count])
        covered += found.low <= truth <= found.high
        drawn = np.median(rates[random.integers(0, 6, (200, 6))], axis=1)
        bootstrapped += np.quantile(drawn, 0.025) <= truth <= np.quantile(drawn, 0.975)
        used += count
    what = f"Rate of a cell, {shape}, spread {spread:.1%}, {used / RUNS:.1f} processes: 95 % intervals cover"
    told(benchmark, what, f"{covered / RUNS:.1%}", "93 to 97 %")
    benchmark.extra_info["compared"] = f"a percentile bootstrap over 6 processes: {bootstrapped / RUNS:.1%}"
    assert 0.93 <= covered / RUNS <= 0.97


def test_intervals_of_runs_apart_cover_too(benchmark: BenchmarkFixture):
    """Welch's, between 6 processes of a spread of 1 % and 6 of 3 %."""
    random = np.random.default_rng(3)
    effects = [
        unpaired(np.exp(random.normal(0, 0.01, 6)), np.exp(random.normal(0, 0.03, 6))) for _ in range(10 * MATRICES)
    ]
    covered = np.mean([one.low <= 1 <= one.high for one in verdicts(effects, 0.05)])
    told(
        benchmark,
        "Two stored runs of 6 processes, spreads 1 and 3 %: 95 % intervals cover",
        f"{covered:.1%}",
        "93 to 97 %",
    )
    assert 0.93 <= covered <= 0.97
