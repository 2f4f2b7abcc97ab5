"""What the harness adds to an artifact's latency. Run with `make benchmark-exports`; a quarter of an hour."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from conftest import CHECKOUT
from pytest_benchmark.fixture import BenchmarkFixture
from test_speed import told

from bench.export import tfjs, tfjs_environment
from bench.export.find import find
from bench.export.format import Wanted
from bench.frameworks.trial import Source
from bench.measure.statistics import median_interval

PROCESSES, REQUESTS, SIZE, THREADS = 10, 1000, 64, 2
HERE = Path(__file__).parent
FROM_TORCH = ("onnx", "onnx-int8", "openvino", "torchscript", "torch-export", "aotinductor")
FROM_KERAS = ("litert", "litert-int8", "savedmodel")


def source(name: str) -> Source:
    if name in FROM_TORCH:
        model = torchvision.models.mobilenet_v3_small(num_classes=10).eval()
        return Source(kind="torch", model=model, example=torch.zeros(2, 3, SIZE, SIZE))
    import keras

    model = keras.applications.MobileNetV3Small(
        input_shape=(SIZE, SIZE, 3), weights=None, classes=10, include_preprocessing=False, classifier_activation=None
    )
    # Of a batch normalisation that changes nothing TensorFlow's optimiser leaves a bias that WebAssembly has no kernel for.
    random = np.random.default_rng(0)
    model.set_weights([value + random.uniform(0, 0.01, value.shape) for value in model.get_weights()])
    return Source(kind="keras-tensorflow", model=model, example=model.inputs[0])


def made(name: str, folder: Path) -> Path:
    """Return an artifact of MobileNetV3-Small in a folder, which gets images for it too."""
    chosen = find(name)
    chosen.prepare(print)
    artifact = folder / f"model{chosen.suffix}"
    image = (3, SIZE, SIZE) if name in FROM_TORCH else (SIZE, SIZE, 3)
    pixels = np.random.default_rng(0).normal(size=(8, *image)).astype(np.float32)
    np.save(folder / "pixels.npy", pixels)
    wanted = Wanted(artifact, 1 if chosen.static else None, pixels if chosen.precision == "int8" else None)
    chosen.exporters[(model := source(name)).kind].export(model, wanted)
    return artifact


def in_turns(name: str, artifact: Path) -> list[object]:
    """Return the command that asks an artifact by the harness and by hand."""
    pixels = artifact.with_name("pixels.npy")
    if name == "tfjs":
        script = ("node", HERE / "artifact_in_turns.cjs", tfjs_environment.modules(), tfjs.JAVASCRIPT / "answer.js")
        return [*script, artifact, pixels, SIZE, REQUESTS]
    return [sys.executable, HERE / "artifact_in_turns.py", name, artifact, pixels, THREADS, REQUESTS]


def printed(*command: object) -> list[float]:
    """Return the numbers that a command prints."""
    done = subprocess.run(
        [str(part) for part in command],
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(number) for number in done.stdout.split()]


@pytest.mark.parametrize("name", [*FROM_TORCH, *FROM_KERAS, "tfjs"])
def test_a_loop_by_hand_has_the_same_latency(benchmark: BenchmarkFixture, tmp_path: Path, name: str):
    """The harness and a loop without it open one artifact each for itself, in one process, and take turns.

    Where a process has put each of the two in memory makes a percent or two, so the median is over fresh processes.
    """
    command = in_turns(name, made(name, tmp_path))
    ratios = []
    for _ in range(PROCESSES):
        ours, hand = printed(*command)
        ratios.append(ours / hand)
    within = median_interval(ratios)
    told(
        benchmark,
        f"MobileNetV3-Small at {SIZE} px, {name}: p50 as `bench` has it, over a loop by hand in turns with it",
        f"{within.median:.3f} ({within.low:.3f} to {within.high:.3f})",
        "0.98 to 1.02",
    )
    benchmark.extra_info["compared"] = f"{PROCESSES} processes, {REQUESTS:,} requests each"
    assert 0.98 <= within.median <= 1.02
