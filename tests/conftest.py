"""What the tests share: small cells and jobs of the fake framework, and a command line in a process of its own."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bench.data.dataset import Dataset, Split
from bench.plan.cards import framework_model
from bench.plan.cell import Cell, Job
from bench.plan.protocol import Protocol
from bench.plan.recipe import recipe
from bench.records.record import Export, Inference, Outcome
from bench.run.launcher import Launcher
from bench.run.worker import execute

CHECKOUT = Path(__file__).parent.parent
FAST = Protocol(
    processes=2,
    processes_at_most=2,
    seeds=1,
    warmup_steps=2,
    warmup_seconds=0.01,
    warmup_at_most_seconds=0.05,
    blocks=3,
    inference_block_seconds=0.02,
    training_block_seconds=0.02,
    latency_requests=20,
    latency_seconds=20.0,
    compared_images=8,
    timeout_seconds=60.0,
    threads=2,
)
CELL = Cell(
    architecture="fake/well",
    framework="fake",
    precision="fp32",
    execution="eager",
    device="cpu",
    batch_size=16,
    image_size=32,
    dataset="digits",
    weights="random",
    recipe="short",
)


def committed_results() -> list[Path]:
    """Return the results files that are committed: a run of one's own may lie beside them."""
    listed = subprocess.run(["git", "ls-files", "results"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return [CHECKOUT / name for name in listed.stdout.split()]


def with_requests(figures: Inference | Export, **changes: Any) -> Inference | Export:
    """Return figures whose single requests were others; an artifact's were timed once."""
    if isinstance(figures, Inference):
        return msgspec.structs.replace(figures, **changes)
    return msgspec.structs.replace(figures, timings=(msgspec.structs.replace(figures.main, **changes),))


@pytest.fixture(scope="session")
def launcher() -> Iterator[Launcher]:
    """Yield one launcher for all tests that only need a job done: each framework is imported once."""
    with Launcher("fork") as started:
        yield started


@pytest.fixture
def make_job() -> Callable[..., Job]:
    """Return a function that makes a job; its keywords replace fields of the cell, the job or the protocol."""

    def make(measurement: str = "training", **changes: Any) -> Job:
        of = {kind: {k: v for k, v in changes.items() if k in kind.__struct_fields__} for kind in (Cell, Protocol)}
        cell = msgspec.structs.replace(CELL, **of[Cell])
        return Job(
            cell=cell,
            measurement=measurement,
            process=changes.get("process", 0),
            seed=changes.get("seed", 0),
            protocol=msgspec.structs.replace(FAST, **of[Protocol]),
            recipe=msgspec.structs.replace(
                recipe(cell.recipe), **{k: v for k, v in changes.items() if k in ("epochs", "learning_rate")}
            ),
            model=framework_model(cell.architecture, cell.framework),
        )

    return make


@pytest.fixture
def run_bench(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs `bench` in a temporary folder and returns its status and output."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bench", *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(CHECKOUT)} | environment,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


@pytest.fixture
def fake_matrix(tmp_path: Path) -> Path:
    """Return a matrix of three fake cells that ends within seconds."""
    values = {k: v for k, v in msgspec.to_builtins(FAST).items() if v is not None and k != "preset"}
    protocol = "\n".join(f"{k} = {v}" for k, v in values.items())
    file = tmp_path / "fake.toml"
    file.write_text(
        f"""description = "three fake cells"
[protocol]
{protocol}
[[grid]]
measurements = ["build", "training", "inference"]
architectures = ["resnet18", "resnet50", "vit_b_16"]
frameworks = ["fake"]
batch_sizes = [16]
image_sizes = [32]
"""
    )
    return file


@pytest.fixture
def execute_here() -> Iterator[Callable[[Job], Outcome]]:
    """Return a function that does a job in this process, and lift the worker's memory limit afterwards."""
    limits = resource.getrlimit(resource.RLIMIT_DATA)
    yield execute
    resource.setrlimit(resource.RLIMIT_DATA, limits)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a repository of its own with this code, committed."""
    folder = tmp_path / "checkout"
    for name in ("bench", "models", "datasets"):
        shutil.copytree(CHECKOUT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "as it was"]):
        who = ["-c", "user.name=someone", "-c", "user.email=someone@example.org"]
        subprocess.run(["git", *who, *command], cwd=folder, check=True)
    return folder


@pytest.fixture
def data_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which data sets lie for this test."""
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def write_image() -> Callable[[Path, int], None]:
    """Return a function that writes a picture of one grey level."""

    def write(file: Path, level: int) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (12, 10), (level, level, level)).save(file, quality=95)

    return write


@pytest.fixture
def levels() -> Callable[[Split], list[int]]:
    """Return a function that reads the grey levels of a split's pictures."""

    def read(split: Split) -> list[int]:
        pixels: NDArray[np.uint8] = split.batch(np.arange(len(split)))
        return [int(level) for level in pixels.mean(axis=(1, 2, 3)).round()]

    return read


@pytest.fixture
def class_names() -> Callable[[Split, Dataset], list[str]]:
    """Return a function that names the classes of a split's pictures."""
    return lambda split, dataset: [dataset.classes[number] for number in split.labels]
