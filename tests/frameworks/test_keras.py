"""Keras on its three backends, each in an interpreter of its own: a backend is chosen once, before Keras is imported."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import CHECKOUT

from bench.frameworks import FRAMEWORKS
from bench.plan.cards import framework_model, model_names
from bench.plan.cell import Job
from bench.records.accuracy import Accuracy
from bench.records.record import Inference, Memory, Training
from bench.run.launcher import Launcher
from bench.run.parity import build_all, differences

MakeJob = Callable[..., Job]
BACKENDS = [name for name, framework in FRAMEWORKS.items() if framework.library == "keras"]
EVERY_BACKEND = pytest.mark.parametrize("framework", BACKENDS)
CHECKS = [str(Path(__file__).with_name(f"keras_{name}checks.py")) for name in ("", "training_")]


@EVERY_BACKEND
def test_the_trial_on_this_backend(framework: str):
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *CHECKS, "-p", "no:cacheprovider"],
        cwd=CHECKOUT,
        env=os.environ | FRAMEWORKS[framework].environment,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout


@EVERY_BACKEND
def test_every_measurement_is_taken_and_nothing_reaches_the_screen(
    framework: str, make_job: MakeJob, launcher: Launcher, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    changes = {
        "framework": framework,
        "architecture": "mobilenet_v3_small",
        "execution": "eager" if framework == "keras-torch" else "compiled",
        "image_size": 40,
        "batch_size": 32,
        "recipe": "baseline",
        "epochs": 3,
        "timeout_seconds": 300.0,
    }
    found = {}
    # On JAX each takes half a minute to begin, so the two that look least alike must do.
    for measurement in ("training", "accuracy", "inference", "memory")[: 2 if framework == "keras-jax" else 4]:
        outcome = launcher.launch(make_job(measurement, **changes), tmp_path / measurement).outcome
        assert outcome.status == "ok", outcome.reason
        found[measurement] = outcome.figures
    assert isinstance(found["training"], Training)
    assert found["training"].last_loss < found["training"].first_loss
    assert isinstance(found["accuracy"], Accuracy)
    assert found["accuracy"].test_top1 > 0.5
    later = found["accuracy"].epochs[1:]
    waited, trained = (sum(getattr(epoch, f"{part}_seconds") for epoch in later) for part in ("wait", "training"))
    assert waited < 0.25 * trained, "the images lie in memory, and waiting for a step is not waiting for data"
    if framework != "keras-jax":
        assert isinstance(found["inference"], Inference)
        assert isinstance(found["memory"], Memory)
        assert found["memory"].training.resident_bytes >= found["memory"].inference.resident_bytes > 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("architecture", model_names())
def test_every_difference_between_the_frameworks_networks_is_declared_and_true(architecture: str, launcher: Launcher):
    built = build_all([architecture], launcher, lambda name, framework: None)
    assert [one.reason for one in built if one.traits is None] == []
    wrong = [(one.built.framework, one.trait, one.values, one.declared) for one in differences(built) if one.wrong]
    assert wrong == []
    assert len(built) == (5 if framework_model(architecture, "keras-jax") else 2)
