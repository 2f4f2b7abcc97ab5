"""Code made slower by a known amount, on this machine. Run with `make benchmark-comparisons`; an hour.

Each comparison is one `bench run --against HEAD` of its own, with its own processes, order and control.
"""

import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from test_speed import told

from bench.records.rates import blocks
from bench.records.record import Record
from bench.records.store import latest, read_file
from bench.report.compare import Pair, compare, sides

PAIRS = 10
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


def against_head(
    checkout: Path, model: tuple[str, str], number: int, *arguments: str, pairs: int = PAIRS
) -> list[Record]:
    """Compare what lies in a checkout with what is committed there; the number is the seed."""
    matrix = write_matrix(checkout, model, f"one{number}", pairs)
    return run(checkout, matrix, number, "--against", "HEAD", *arguments)


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
