"""Exports are made, run and held against their source; one that answers differently has no latency."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.errors import Disagrees
from bench.export import measure, torchscript
from bench.plan.cell import Job
from bench.records.record import Export, Outcome
from bench.run.launcher import Launcher

MakeJob = Callable[..., Job]
Execute = Callable[[Job], Outcome]


@pytest.mark.parametrize("name", ["onnx", "torchscript"])
@pytest.mark.parametrize(
    ("framework", "architecture"),
    [
        ("torchvision", "mobilenet_v3_small"),
        ("torchvision", "swin_t"),
        ("timm", "mobilenet_v3_small"),
        ("timm", "resnet18"),
    ],
)
def test_an_artifact_agrees_with_its_source(
    make_job: MakeJob, execute_here: Execute, name: str, framework: str, architecture: str
):
    job = make_job(f"export:{name}", framework=framework, architecture=architecture, image_size=64)
    outcome = execute_here(job)
    assert outcome.status == "ok", outcome.reason
    figures = outcome.figures
    assert isinstance(figures, Export)
    assert figures.maximum_relative_error < measure.TOLERANCE
    assert figures.top1_agreement == 1
    assert figures.artifact_bytes > 1_000_000
    assert len(figures.latency_seconds) > 1
    assert sum(figures.latency_group_sizes) == len(figures.latency_seconds)
    assert len(figures.latency_begun_seconds) == len(figures.latency_group_sizes)
    assert figures.compared_images == 8


@pytest.mark.parametrize(
    ("framework", "name"),
    [
        ("keras-tensorflow", "onnx"),
        ("keras-tensorflow", "savedmodel"),
        ("keras-tensorflow", "litert"),
        ("keras-jax", "onnx"),
        ("keras-jax", "savedmodel"),
        ("keras-torch", "onnx"),
    ],
)
def test_what_keras_exports_agrees_with_its_source(
    make_job: MakeJob, launcher: Launcher, tmp_path: Path, framework: str, name: str
):
    execution = "eager" if framework == "keras-torch" else "compiled"
    changes = {"framework": framework, "execution": execution, "timeout_seconds": 300.0}
    job = make_job(f"export:{name}", architecture="mobilenet_v3_small", **changes)
    outcome = launcher.launch(job, tmp_path / "log").outcome
    assert outcome.status == "ok", outcome.reason
    assert isinstance(outcome.figures, Export)
    assert outcome.figures.maximum_relative_error < measure.TOLERANCE
    assert outcome.figures.artifact_bytes > 4 * 1_500_000  # Four bytes a parameter, wherever they were written.


def test_an_artifact_that_answers_differently_fails(
    make_job: MakeJob, execute_here: Execute, monkeypatch: pytest.MonkeyPatch
):
    def wrong(artifact: Path, threads: int) -> Any:
        run = real(artifact, threads)
        return lambda pixels: run(pixels) * np.float32(1.01)

    real = torchscript.load
    monkeypatch.setattr(torchscript, "load", wrong)
    outcome = execute_here(make_job("export:torchscript", framework="timm", architecture="resnet18"))
    assert outcome.status == Disagrees.status == "failed"
    assert "differs from its source by 0.01 of the largest logit" in str(outcome.reason)
    assert outcome.figures is None


def test_what_a_format_cannot_be_made_from_is_unsupported(make_job: MakeJob, execute_here: Execute):
    outcome = execute_here(make_job("export:onnx", framework="timm", architecture="resnet18", precision="bf16"))
    assert outcome.status == "unsupported"


def test_agreement_is_of_the_largest_logit():
    expected = np.array([[1.0, -4.0], [2.0, 3.0]], np.float32)
    found = np.array([[1.0, -4.0], [3.1, 3.0]], np.float32)
    absolute, relative, top1 = measure.agreement(expected, found)
    assert absolute == pytest.approx(1.1)
    assert relative == pytest.approx(1.1 / 4)
    assert top1 == 0.5
