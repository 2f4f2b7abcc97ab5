"""Lints find each a mistake that was put in, and nothing in results that are right."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import committed_results

from bench.measure.telemetry import Telemetry
from bench.records.environment import Gpu
from bench.records.record import Accuracy, Inference, Record, Training
from bench.records.store import read_file
from bench.report.lint import lint

RunBench = Callable[..., subprocess.CompletedProcess[str]]
FIXTURE = Path(__file__).parents[1] / "records" / "schema-1.jsonl"
replace = msgspec.structs.replace


def first(kind: type) -> Record:
    return next(r for r in read_file(FIXTURE) if isinstance(r.figures, kind))


def changed(kind: type, **figures: Any) -> Record:
    record = first(kind)
    return replace(record, figures=replace(record.figures, **figures))


def unlearned() -> list[Record]:
    training, accuracy = first(Training), changed(Accuracy, test_top1=0.11)
    return [training, replace(accuracy, cell=training.cell)]


def powered(watts: float) -> Record:
    """Return a training of twelve seconds on a GPU limited to 700 W, whose energy counter grew by so much."""
    record = first(Training)
    blocks = replace(
        record.figures.resident, block_seconds=(1.0,) * 12, begun_seconds=tuple(10.0 + n for n in range(12))
    )
    telemetry = Telemetry(
        begun_seconds=8.0,
        idle_seconds=1.0,
        elapsed_seconds=tuple(number / 2 for number in range(40)),
        series={"gpu_energy_joules": tuple(watts * number / 2 for number in range(40))},
        missing={},
        cost_seconds=0.0,
    )
    gpu = Gpu(
        name="NVIDIA H200",
        memory_bytes=None,
        power_limit_watts=700.0,
        sm_clock_maximum_mhz=None,
        memory_clock_maximum_mhz=None,
        ecc=None,
    )
    return replace(
        record,
        cell=replace(record.cell, device="cuda"),
        figures=replace(record.figures, resident=blocks),
        environment=replace(record.environment, gpus=(gpu,), driver="580.1", cuda="13.0", dirty=False),
        telemetry=telemetry,
        wall_seconds=60.0,
    )


def test_power_within_the_limit_is_no_finding():
    assert lint([powered(690.0)]) == ()


@pytest.mark.parametrize(
    ("name", "records"),
    [
        ("tail", [changed(Inference, latency_seconds=(0.001,) * 195 + (1.0,) * 5)]),
        ("time", [replace(first(Training), wall_seconds=0.001)]),
        ("share", [changed(Accuracy, test_top1=0.99, test_top5=0.9)]),
        ("environment", [replace(first(Training), environment=replace(first(Training).environment, packages={}))]),
        ("void", unlearned()),
        ("power", [powered(900.0)]),
    ],
)
def test_each_lint_finds_its_mistake(name: str, records: list[Record]):
    assert name in {finding.lint for finding in lint(records)}


@pytest.mark.parametrize("file", committed_results(), ids=lambda file: file.stem)
def test_committed_results_are_clean(file: Path):
    assert lint(read_file(file)) == ()


def test_the_command_exits_1_with_what_it_found(tmp_path: Path, run_bench: RunBench):
    right, wrong = tmp_path / "right.jsonl", tmp_path / "wrong.jsonl"
    right.write_bytes(committed_results()[0].read_bytes())
    wrong.write_bytes(msgspec.json.encode(replace(first(Training), wall_seconds=0.001)) + b"\n")
    assert run_bench("lint", str(right)).returncode == 0
    found = run_bench("lint", str(wrong))
    assert found.returncode == 1
    assert "timed work in a job of 0.0 s" in found.stdout
