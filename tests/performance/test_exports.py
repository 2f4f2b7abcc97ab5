"""What the harness adds to an artifact's latency. Run with `make benchmark-exports`; a quarter of an hour."""

import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from pytest_benchmark.fixture import BenchmarkFixture
from test_speed import told

from bench.export import tfjs_environment
from bench.export.find import find
from bench.export.format import Wanted
from bench.export.make import Made
from bench.frameworks.trial import Source
from bench.measure.statistics import median_interval

PAIRS, REQUESTS, SIZE, THREADS = 10, 1000, 64, 2
BY_HAND = Path(__file__).parent / "artifact_by_hand"
FROM_TORCH = ("onnx", "openvino", "torchscript", "torch-export", "aotinductor")
FROM_KERAS = ("litert", "savedmodel", "tfjs")


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


@pytest.mark.parametrize("name", [*FROM_TORCH, *FROM_KERAS])
def test_a_loop_by_hand_has_the_same_latency(benchmark: BenchmarkFixture, tmp_path: Path, name: str):
    """One artifact of MobileNetV3-Small, asked by the harness and by a script without it, a fresh process each, in turn.

    Two processes of the same script differ by several percent, so the interval of the pairs' ratios is shown, and must not
    lie outside the limits.
    """
    chosen = find(name)
    chosen.prepare(print)
    artifact = tmp_path / f"model{chosen.suffix}"
    chosen.exporters[(model := source(name)).kind].export(model, Wanted(artifact, 1 if chosen.static else None))
    made = Made(format=name, chosen=chosen, artifacts={1: artifact}, export_seconds=0, artifact_bytes=0, method="")
    image = (3, SIZE, SIZE) if name in FROM_TORCH else (SIZE, SIZE, 3)
    pixels = np.random.default_rng(0).normal(size=(8, *image)).astype(np.float32)
    np.save(tmp_path / "pixels.npy", pixels)
    np.save(tmp_path / "batches.npy", pixels[:, None])
    pixels.tofile(tmp_path / "pixels.raw")

    def ours() -> float:
        asked = made.ask(tmp_path / "pixels.npy", 1, THREADS, requests=REQUESTS, seconds=60.0)
        return statistics.median(asked.latency_seconds)

    def hand() -> float:
        arguments = [name, artifact, tmp_path / "batches.npy", THREADS, REQUESTS]
        command = [sys.executable, BY_HAND.with_suffix(".py"), *arguments]
        if name == "tfjs":
            arguments = [tfjs_environment.modules(), artifact, tmp_path / "pixels.raw", SIZE, REQUESTS]
            command = ["node", BY_HAND.with_suffix(".cjs"), *arguments]
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
        return float(done.stdout.split()[-1])

    ratios = []
    for pair in range(PAIRS + 1):
        found = {who.__name__: who() for who in ((hand, ours) if pair % 2 else (ours, hand))}
        ratios.append(found["ours"] / found["hand"])
    within = median_interval(ratios[1:])  # The first pair still feels the export, whose threads have not ended.
    told(
        benchmark,
        f"MobileNetV3-Small at {SIZE} px, {name}: p50 as `bench` has it, over a script by hand",
        f"{within.median:.3f} ({within.low:.3f} to {within.high:.3f})",
        "0.98 to 1.02, by its interval",
    )
    benchmark.extra_info["compared"] = f"{PAIRS} pairs of processes, in turn, {REQUESTS:,} requests each"
    assert within.low <= 1.02
    assert within.high >= 0.98
