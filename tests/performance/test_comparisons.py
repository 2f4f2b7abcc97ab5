"""Comparisons on this machine: the same code twice, and code made slower by a known amount. Run with `make benchmark`.

Each comparison is one `bench run --against HEAD` of its own, with its own processes, order and control.
"""

import json
import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from test_speed import told

from bench.records.store import read_file
from bench.report.compare import Comparison, compare, part

PAIRS = 10
CONTROLS = 7
SLOWED = 1.05
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
# Where each framework predicts, and what makes that take 5 % longer.
DELAYS = {
    "fake": ("fake.py", "STEP_SECONDS = 0.004", f"STEP_SECONDS = {0.004 * SLOWED}"),
    "torchvision": (
        "pytorch.py",
        "            return self.forward(batch[0])\n",
        f"""            import time
            begun = time.perf_counter()
            found = self.forward(batch[0])
            end = begun + {SLOWED} * (time.perf_counter() - begun)
            while time.perf_counter() < end:
                pass
            return found
""",
    ),
}


def run(checkout: Path, model: tuple[str, str], number: int) -> Path:
    """Compare what lies in a checkout with what is committed there; return the results."""
    matrix = checkout / f"one{number}.toml"
    matrix.write_text(MATRIX.format(pairs=PAIRS, architecture=model[0], framework=model[1]))
    command = ["run", "--matrix", str(matrix), "--against", "HEAD", "--results", f"r{number}", "--seed", str(number)]
    subprocess.run(
        [sys.executable, "-m", "bench", *command],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": str(checkout)},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (file,) = (checkout / f"r{number}").glob("*.jsonl")
    return file


def slow_down(checkout: Path, framework: str) -> None:
    name, old, new = DELAYS[framework]
    file = checkout / "bench" / "frameworks" / name
    assert file.read_text().count(old) == 1
    file.write_text(file.read_text().replace(old, new))


def judgements(found: Comparison) -> dict[str, str]:
    return {pair.quantity: pair.verdict.judgement for pair in found.pairs if pair.verdict}


def test_the_same_code_twice_is_rarely_called_different(benchmark: BenchmarkFixture, checkout: Path):
    """Each run has the same cell three times, A, B and A again, and so three pairs."""
    said: list[str] = []
    for number in range(CONTROLS):
        records = read_file(run(checkout, REAL, number))
        sides = {side: part(f"x:side={side}", records) for side in ("a", "b", "a-again")}
        for one, other in combinations(sides.values(), 2):
            said.append(judgements(compare(one, other))["inference"])
    different = sum(one in ("FASTER", "SLOWER") for one in said)
    what = f"{len(said)} pairs of the same real cell, {PAIRS} processes each: called different"
    told(benchmark, what, str(different), "1 or none")
    benchmark.extra_info["compared"] = ", ".join(f"{said.count(one)} {one}" for one in sorted(set(said)))
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
    slow_down(checkout, model[1])
    found, ratios = 0, []
    for number in range(runs):
        file = run(checkout, model, number)
        done = subprocess.run(
            [sys.executable, "-m", "bench", "compare", str(file), "--json"],
            cwd=checkout,
            capture_output=True,
            check=True,
        )
        pair = next(pair for pair in json.loads(done.stdout)["pairs"] if pair["quantity"] == "inference")
        found += pair["verdict"] is not None and pair["verdict"]["judgement"] == "SLOWER"
        ratios.append(f"{pair['verdict']['ratio']:.3f}" if pair["verdict"] else "void")
    what = f"{runs} times B 5 % slower, {model[1]}, {PAIRS} processes each: found"
    told(benchmark, what, str(found), str(runs))
    benchmark.extra_info["compared"] = f"B over A, which should be {1 / SLOWED:.3f}: {', '.join(ratios)}"
    assert found == runs
