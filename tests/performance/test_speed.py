"""How fast bench itself is. Run with `make benchmark`; the figures stand in docs/performance.md."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch
from conftest import CELL, CHECKOUT, FAST
from pytest_benchmark.fixture import BenchmarkFixture
from torchvision.models import resnet18

from bench.data.read import read_dataset
from bench.frameworks.torchvision import build
from bench.frameworks.trial import Request
from bench.measure.timing import rotating, time_blocks
from bench.plan.cards import model_card
from bench.plan.cell import Job
from bench.plan.jobs import jobs
from bench.plan.matrix import Grid, Planned, expand
from bench.plan.recipe import recipe
from bench.run.launcher import Launcher

MakeJob = Callable[..., Job]
BLOCK_SECONDS = 0.5


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
def test_throughput_is_what_a_loop_by_hand_reaches(benchmark: BenchmarkFixture, measurement: str):
    """Thirty pairs in one process, the order turned round each time: what is left is what the harness costs.

    In processes of their own the two would differ by what differs between any two processes here, 10 % and more.
    """
    cell = msgspec.structs.replace(
        CELL, architecture="resnet18", framework="torchvision", batch_size=32, image_size=64, recipe="baseline"
    )
    model = model_card("resnet18").frameworks["torchvision"]
    request = Request(
        cell=cell, model=model, recipe=recipe("baseline"), classes=10, seed=0, threads=torch.get_num_threads()
    )
    trial = build(request)
    digits = read_dataset("digits", 64).training
    batches = [trial.place(digits.images[i : i + 32], digits.labels[i : i + 32]) for i in range(0, 128, 32)]
    step = rotating(batches, trial.train_step if measurement == "training" else trial.predict)
    by_hand = loop_by_hand(measurement, batches)

    def ours() -> float:
        blocks = time_blocks(
            step, trial.synchronize, warmup_steps=1, warmup_seconds=0, blocks=1, block_seconds=BLOCK_SECONDS
        )
        return blocks.images_per_second(32)

    ours(), by_hand()
    ratios = []
    for pair in range(30):
        rates = {side: side() for side in ((ours, by_hand) if pair % 2 else (by_hand, ours))}
        ratios.append(rates[ours] / rates[by_hand])
    ratio = statistics.median(ratios)
    told(benchmark, f"ResNet-18 {measurement}, `bench` over a loop by hand", f"{ratio:.3f}", "0.98 to 1.02")
    low, _, high = statistics.quantiles(ratios, n=4)
    benchmark.extra_info["compared"] = f"30 interleaved pairs, the middle half from {low:.3f} to {high:.3f}"
    assert 0.98 <= ratio <= 1.02


def loop_by_hand(measurement: str, batches: list[tuple[torch.Tensor, torch.Tensor]]) -> Callable[[], float]:
    """Return a function that runs a plain loop for a while and returns images a second; nothing of bench is in it."""
    torch.manual_seed(0)
    model = resnet18(num_classes=10).to(memory_format=torch.channels_last).train(measurement == "training")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.6e-4, weight_decay=0.05, fused=True)
    criterion = torch.nn.CrossEntropyLoss(label_smoothing=0.1)

    def train(images: torch.Tensor, labels: torch.Tensor) -> None:
        criterion(model(images), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    def predict(images: torch.Tensor, labels: torch.Tensor) -> None:
        with torch.inference_mode():
            model(images)

    step = train if measurement == "training" else predict

    def run() -> float:
        begun, count = time.perf_counter(), 0
        while time.perf_counter() - begun < BLOCK_SECONDS:
            step(*batches[count % 4])
            count += 1
        return 32 * count / (time.perf_counter() - begun)

    return run
