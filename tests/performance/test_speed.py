"""How fast bench itself is. Run with `make benchmark`; the figures stand in docs/performance.md."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import CELL, CHECKOUT, FAST
from pytest_benchmark.fixture import BenchmarkFixture
from torchvision.models import resnet18

from bench.data.read import read_dataset
from bench.plan.cell import Job
from bench.plan.jobs import jobs
from bench.plan.matrix import Grid, Planned, expand
from bench.records.record import Inference, Training
from bench.run.launcher import Launcher

MakeJob = Callable[..., Job]


def told(benchmark: BenchmarkFixture, what: str, figure: str, limit: str) -> None:
    """Keep a figure for docs/performance.md; a benchmark that times nothing of its own gets an empty round."""
    if benchmark.stats is None:
        benchmark.pedantic(lambda: None)
    benchmark.extra_info.update(what=what, figure=figure, limit=limit)


@pytest.mark.parametrize("arguments", [["--help"], ["list", "models"]], ids=" ".join)
def test_the_command_line_answers_within_300_ms(benchmark: BenchmarkFixture, arguments: list[str]):
    command = [sys.executable, "-m", "bench", *arguments]
    benchmark.pedantic(
        lambda: subprocess.run(command, cwd=CHECKOUT, capture_output=True, check=True), rounds=10, warmup_rounds=2
    )
    seconds = benchmark.stats.stats.median
    told(benchmark, f"`bench {' '.join(arguments)}`, whole process", f"{seconds:.2f} s", "0.3 s")
    assert seconds < 0.3


def test_ten_thousand_cells_expand_within_a_second(benchmark: BenchmarkFixture):
    grid = Grid(
        measurements=("build", "training", "inference"),
        architectures=("resnet18", "resnet50", "vit_b_16", "swin_t", "inception_v3"),
        frameworks=("torchvision", "timm"),
        precisions=("fp32", "tf32", "amp-fp16", "amp-bf16", "bf16"),
        executions=("eager", "compiled"),
        batch_sizes=tuple(range(1, 51)),
        image_sizes=(224, 256),
    )

    def plan() -> tuple[tuple[Planned, ...], tuple[Job, ...]]:
        planned = expand((grid,), "cpu")
        return planned, jobs(planned, FAST, 0)

    planned, _ = benchmark.pedantic(plan, rounds=5)
    assert len(planned) == 10_000
    seconds = benchmark.stats.stats.median
    told(benchmark, "a matrix of 10,000 cells to cells and jobs", f"{seconds:.2f} s", "1 s")
    assert seconds < 1.0


def test_a_warm_server_starts_a_job_within_200_ms(benchmark: BenchmarkFixture, make_job: MakeJob, tmp_path: Path):
    job = make_job("build", framework="timm", architecture="resnet18")
    with Launcher("fork") as launcher:
        cold = time.monotonic()
        launcher.launch(job, tmp_path / "log")
        cold = time.monotonic() - cold
        starts = [launcher.launch(job, tmp_path / "log").start_seconds or 9 for _ in range(20)]
    seconds = statistics.median(starts)
    told(benchmark, "a job from a warm server, to its first own line", f"{seconds * 1e3:.0f} ms", "200 ms")
    benchmark.extra_info["compared"] = f"{cold:.1f} s for the first job, imports and its own work included"
    assert seconds < 0.2


@pytest.mark.parametrize("measurement", ["inference", "training"])
def test_throughput_is_what_a_loop_by_hand_reaches(
    benchmark: BenchmarkFixture, make_job: MakeJob, tmp_path: Path, measurement: str
):
    """Six pairs, the order turned round each time, the loop by hand in a fresh process as bench's is."""
    job = make_job(
        measurement,
        framework="torchvision",
        architecture="resnet18",
        batch_size=32,
        image_size=64,
        warmup_seconds=1.0,
        blocks=8,
        inference_block_seconds=0.5,
        training_block_seconds=0.5,
        latency_requests=1,
    )
    ratios = []
    with Launcher("fork") as launcher:

        def ours() -> float:
            figures = launcher.launch(job, tmp_path / "log").outcome.figures
            assert isinstance(figures, (Inference, Training))
            return figures.resident.images_per_second(32)

        for pair in range(6):
            if pair % 2:
                by_hand = loop_by_hand(measurement)
                ratios.append(ours() / by_hand)
            else:
                measured = ours()
                ratios.append(measured / loop_by_hand(measurement))
    ratio = statistics.median(ratios)
    told(benchmark, f"ResNet-18 {measurement}, `bench` over a loop by hand", f"{ratio:.3f}", "0.98 to 1.02")
    benchmark.extra_info["compared"] = f"six interleaved pairs: {', '.join(f'{r:.3f}' for r in sorted(ratios))}"
    assert 0.98 <= ratio <= 1.02


def loop_by_hand(measurement: str) -> float:
    """Return images a second of a plain loop in a fresh process, without anything of bench but the images."""
    done = subprocess.run(
        [sys.executable, __file__, measurement],
        env=os.environ
        | {"PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'tests'}", "OMP_NUM_THREADS": str(torch.get_num_threads())},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.splitlines()[-1])


def by_hand(measurement: str) -> float:
    torch.manual_seed(0)
    digits = read_dataset(CELL.dataset, 64)
    pixels = torch.from_numpy(digits.training.images[:128]).permute(0, 3, 1, 2).float() / 255
    images = list(((pixels - 0.45) / 0.22).to(memory_format=torch.channels_last).split(32))
    labels = list(torch.from_numpy(digits.training.labels[:128]).split(32))
    model = resnet18(num_classes=10).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.6e-4, weight_decay=0.05, fused=True)
    loss = torch.nn.CrossEntropyLoss(label_smoothing=0.1)

    def train(i: int) -> None:
        loss(model(images[i % 4]), labels[i % 4]).backward()
        optimizer.step()
        optimizer.zero_grad()

    def predict(i: int) -> None:
        with torch.inference_mode():
            model(images[i % 4])

    model.train(measurement == "training")
    step = train if measurement == "training" else predict
    run_for(step, 1.0)
    return run_for(step, 4.0)


def run_for(step: Callable[[int], None], seconds: float) -> float:
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        step(count)
        count += 1
    return 32 * count / (time.perf_counter() - begun)


if __name__ == "__main__":
    print(by_hand(sys.argv[1]))
