"""Comparisons on this machine: the same code twice, and code made slower by a known amount. Run with `make benchmark`.

Each comparison is one `bench run --against HEAD` of its own, with its own processes, order and control.
"""

import math
import os
import subprocess
import sys
from pathlib import Path
from statistics import mean, median, stdev

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from test_speed import told

from bench.records.rates import blocks, log_ratio, rate
from bench.records.record import Record
from bench.records.store import latest, read_file
from bench.report.compare import Pair, compare, sides

PAIRS = 10
CONTROLS = 10
SLOWED = 1.05
CALIBRATIONS = 3
MATRIX = """description = "one cell"
[protocol]
preset = "smoke"
processes = {pairs}
processes_at_most = {pairs}
warmup_at_most_seconds = 0.5
blocks = 40
inference_block_seconds = 0.05
latency_requests = 100
[[grid]]
measurements = ["inference"]
architectures = ["{architecture}"]
frameworks = ["{framework}"]
batch_sizes = [16]
image_sizes = [32]
"""
REAL, FAKE = ("mobilenet_v3_small", "torchvision"), ("resnet18", "fake")
# Where each framework predicts, and what makes that take `delay` seconds longer.
DELAYS = {
    "fake": ("fake.py", "STEP_SECONDS = 0.004", "STEP_SECONDS = 0.004 + {delay}"),
    "torchvision": (
        "pytorch.py",
        "            return self.forward(batch[0])\n",
        """            import time
            found = self.forward(batch[0])
            end = time.perf_counter() + {delay}
            while time.perf_counter() < end:
                pass
            return found
""",
    ),
}


def write_matrix(checkout: Path, model: tuple[str, str], name: str, pairs: int) -> Path:
    matrix = checkout / f"{name}.toml"
    matrix.write_text(MATRIX.format(pairs=pairs, architecture=model[0], framework=model[1]))
    return matrix


def run(checkout: Path, matrix: Path, seed: int, *arguments: str) -> list[Record]:
    """Measure a matrix with what lies in a checkout; return the records."""
    folder = checkout / f"of-{matrix.stem}"
    command = ["run", "--matrix", str(matrix), "--results", str(folder), "--seed", str(seed), *arguments]
    subprocess.run(
        [sys.executable, "-m", "bench", *command],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout)},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (file,) = folder.glob("*.jsonl")
    return latest(read_file(file))


def against_head(checkout: Path, model: tuple[str, str], number: int) -> list[Record]:
    """Compare what lies in a checkout with what is committed there; the number is the seed."""
    return run(checkout, write_matrix(checkout, model, f"one{number}", PAIRS), number, "--against", "HEAD")


def calibrated_delay(checkout: Path, model: tuple[str, str]) -> float:
    """Return the seconds by which a step of the matrix's batch becomes 5 % slower, from processes measured before.

    A share of each call's own time would grow with the noise that it must be told from.
    """
    records = run(checkout, write_matrix(checkout, model, "calibration", CALIBRATIONS), 0)
    return (SLOWED - 1) * median(timed.step_seconds for record in records if (timed := blocks(record)))


def slow_down(checkout: Path, framework: str, delay: float) -> None:
    name, old, new = DELAYS[framework]
    file = checkout / "bench" / "frameworks" / name
    assert file.read_text().count(old) == 1
    file.write_text(file.read_text().replace(old, new.format(delay=delay)))


def judgement(pair: Pair) -> str:
    return pair.verdict.judgement if pair.verdict else "void"


def scatter(records: list[Record]) -> tuple[float, float]:
    """Return the standard deviation of a pair's log ratio of inference: in turns, and had A and B not been side by side.

    The latter is that of two processes of different pairs, which lay minutes apart: the root of twice a side's variance.
    """
    a, b = ({r.process: r for r in records if r.side == side and rate(r)} for side in ("a", "b"))
    in_turns = stdev(log_ratio("inference", a[process], b[process]) for process in a.keys() & b.keys())
    variances = [stdev(math.log(rate(record) or 1) for record in own.values()) ** 2 for own in (a, b)]
    return in_turns, math.sqrt(sum(variances))


def test_the_same_code_twice_is_rarely_called_different(benchmark: BenchmarkFixture, checkout: Path):
    """Each run has the same cell three times, A, B and A again, and so two independent differences: of either from A.

    Every row counts, that of latency too; a run that its control voids has the control's difference.
    """
    said: list[str] = []
    scattered: list[tuple[float, float]] = []
    for number in range(CONTROLS):
        records = against_head(checkout, REAL, number)
        found = compare(*sides("run", records))
        said += [judgement(pair) for pair in (*found.pairs, *found.control)]
        scattered.append(scatter(records))
    different = sum(one in ("FASTER", "SLOWER") for one in said)
    what = f"{2 * CONTROLS} pairs of the same real cell, {PAIRS} processes each, {len(said)} rows: called different"
    told(benchmark, what, str(different), "1 or none")
    in_turns, apart = (mean(column) for column in zip(*scattered, strict=True))
    benchmark.extra_info["compared"] = (
        ", ".join(f"{said.count(one)} {one}" for one in sorted(set(said)))
        + f"; a pair's ratio scatters by {in_turns:.1%}, of processes that lay apart in time by {apart:.1%}"
    )
    assert different <= 1


@pytest.mark.parametrize(("model", "runs"), [(FAKE, 7), (REAL, 5)], ids=["fake", "real"])
def test_five_percent_are_found_every_time(
    benchmark: BenchmarkFixture, checkout: Path, model: tuple[str, str], runs: int
):
    if model == FAKE:  # A sleep of a millisecond is too much the timer's.
        file = checkout / "bench" / "frameworks" / "fake.py"
        file.write_text(file.read_text().replace("STEP_SECONDS = 0.001", "STEP_SECONDS = 0.004"))
        who = ["-c", "user.name=someone", "-c", "user.email=someone@example.org"]
        subprocess.run(["git", *who, "commit", "-qam", "steps of 4 ms"], cwd=checkout, check=True)
    slow_down(checkout, model[1], calibrated_delay(checkout, model))
    found, ratios = 0, []
    for number in range(runs):
        compared = compare(*sides("run", against_head(checkout, model, number)))
        pair = next(pair for pair in compared.pairs if pair.quantity == "inference")
        found += judgement(pair) == "SLOWER"
        ratios.append(f"{pair.verdict.ratio:.3f}" if pair.verdict else "void")
    what = f"{runs} times B 5 % slower, {model[1]}, {PAIRS} processes each: found"
    told(benchmark, what, str(found), str(runs))
    benchmark.extra_info["compared"] = f"B over A, which should be {1 / SLOWED:.3f}: {', '.join(ratios)}"
    assert found == runs
