"""What the harness adds to an artifact's latency. Run with `make benchmark-exports`; a quarter of an hour."""

import os
import statistics
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

from bench.export import tfjs_environment
from bench.export.find import find
from bench.export.format import Timed, Wanted
from bench.export.make import Made
from bench.frameworks.trial import Source
from bench.measure.statistics import median_interval

PROCESSES, REQUESTS, SIZE, THREADS = 10, 1000, 64, 2
HERE = Path(__file__).parent
FROM_TORCH = ("onnx", "openvino", "torchscript", "torch-export", "aotinductor")
FROM_KERAS = ("litert", "savedmodel")


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


def made(name: str, folder: Path) -> Made:
    """Return an artifact of MobileNetV3-Small in a folder, which gets images for it too."""
    chosen = find(name)
    chosen.prepare(print)
    artifact = folder / f"model{chosen.suffix}"
    chosen.exporters[(model := source(name)).kind].export(model, Wanted(artifact, 1 if chosen.static else None))
    image = (3, SIZE, SIZE) if name in FROM_TORCH else (SIZE, SIZE, 3)
    pixels = np.random.default_rng(0).normal(size=(8, *image)).astype(np.float32)
    np.save(folder / "pixels.npy", pixels)
    pixels.tofile(folder / "pixels.raw")
    return Made(format=name, chosen=chosen, artifacts={1: artifact}, export_seconds=0, artifact_bytes=0, method="")


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


@pytest.mark.parametrize("name", [*FROM_TORCH, *FROM_KERAS])
def test_a_loop_by_hand_has_the_same_latency(benchmark: BenchmarkFixture, tmp_path: Path, name: str):
    """The harness and a loop without it open one artifact each for itself, in one process, and take turns.

    Where a process has put each of the two in memory makes a percent or two, so the median is over fresh processes.
    """
    artifact = made(name, tmp_path).artifacts[1]
    ratios = []
    for _ in range(PROCESSES):
        ours, hand = printed(
            *(sys.executable, HERE / "artifact_in_turns.py", name, artifact, tmp_path / "pixels.npy", THREADS, REQUESTS)
        )
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


def test_a_script_by_hand_in_node_has_the_same_latency(benchmark: BenchmarkFixture, tmp_path: Path):
    """The harness and a script without it ask one graph model in a process of Node.js each, in turn.

    Two processes of the same script differ by several percent, so the interval of the pairs' ratios must not lie outside the
    limits.
    """
    model = made("tfjs", tmp_path)

    def ours() -> float:
        asked = model.ask(tmp_path / "pixels.npy", 1, THREADS, timed=Timed(REQUESTS, 120.0))
        return statistics.median(asked.latency_seconds)

    def hand() -> float:
        script, modules = HERE / "artifact_by_hand.cjs", tfjs_environment.modules()
        return printed("node", script, modules, model.artifacts[1], tmp_path / "pixels.raw", SIZE, REQUESTS)[0]

    ratios = []
    for pair in range(PROCESSES + 1):
        found = {who.__name__: who() for who in ((hand, ours) if pair % 2 else (ours, hand))}
        ratios.append(found["ours"] / found["hand"])
    within = median_interval(ratios[1:])  # The first pair still feels the export, whose threads have not ended.
    told(
        benchmark,
        f"MobileNetV3-Small at {SIZE} px, tfjs: p50 as `bench` has it, over a script by hand",
        f"{within.median:.3f} ({within.low:.3f} to {within.high:.3f})",
        "0.98 to 1.02, by its interval",
    )
    benchmark.extra_info["compared"] = f"{PROCESSES} pairs of processes, in turn, {REQUESTS:,} requests each"
    assert within.low <= 1.02
    assert within.high >= 0.98
