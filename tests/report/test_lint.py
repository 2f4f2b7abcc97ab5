"""Lints find each a mistake that was put in, and nothing in results that are right."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from conftest import committed_results

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


@pytest.mark.parametrize(
    ("name", "records"),
    [
        ("tail", [changed(Inference, latency_seconds=(0.001,) * 195 + (1.0,) * 5)]),
        ("time", [replace(first(Training), wall_seconds=0.001)]),
        ("share", [changed(Accuracy, test_top1=0.99, test_top5=0.9)]),
        ("environment", [replace(first(Training), environment=replace(first(Training).environment, packages={}))]),
        ("void", unlearned()),
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
