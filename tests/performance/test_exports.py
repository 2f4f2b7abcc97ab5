"""What the harness adds to an artifact's latency. Run with `make benchmark-exports`."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from pytest_benchmark.fixture import BenchmarkFixture
from test_speed import told

from bench.export.find import find
from bench.export.format import Question, Wanted
from bench.frameworks.trial import Source

ROUNDS, REQUESTS, SIZE = 30, 200, 64


@pytest.fixture(scope="module")
def source() -> Source:
    model = torchvision.models.mobilenet_v3_small(num_classes=10).eval()
    return Source(kind="torch", model=model, example=torch.zeros(2, 3, SIZE, SIZE))


def onnx_by_hand(artifact: Path) -> Callable[[Any], Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = 2, 1
    session = onnxruntime.InferenceSession(artifact, options, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(None, {"pixels": pixels})[0]


def openvino_by_hand(artifact: Path) -> Callable[[Any], Any]:
    import openvino

    settings = {"INFERENCE_NUM_THREADS": 2, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = openvino.Core().compile_model(artifact, "CPU", settings).create_infer_request()
    return lambda pixels: request.infer([pixels], share_inputs=True)[0]


def torchscript_by_hand(artifact: Path) -> Callable[[Any], Any]:
    torch.set_num_threads(2)
    module = torch.jit.load(str(artifact))

    def run(pixels: Any) -> Any:
        with torch.inference_mode():
            return module(torch.from_numpy(pixels)).numpy()

    return run


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [("onnx", onnx_by_hand), ("openvino", openvino_by_hand), ("torchscript", torchscript_by_hand)],
    ids=["onnx", "openvino", "torchscript"],
)
def test_a_loop_by_hand_has_the_same_latency(
    benchmark: BenchmarkFixture,
    source: Source,
    tmp_path: Path,
    name: str,
    by_hand: Callable[[Path], Callable[[Any], Any]],
):
    """The same artifact in one process, loaded anew each time by harness and by hand in turn."""
    chosen = find(name)
    artifact = tmp_path / f"model{chosen.suffix}"
    chosen.exporters["torch"].export(source, Wanted(artifact, None))
    images = np.random.default_rng(0).normal(size=(8, 1, 3, SIZE, SIZE)).astype(np.float32)
    np.save(tmp_path / "pixels.npy", images[:, 0])
    question = Question(
        format=name,
        artifact=str(artifact),
        pixels=str(tmp_path / "pixels.npy"),
        batch_size=1,
        threads=2,
        requests=REQUESTS,
        seconds=60.0,
    )

    def hand() -> float:
        run, samples = by_hand(artifact), []
        for number in range(10 + REQUESTS):
            begun = time.perf_counter()
            run(images[number % len(images)])
            samples.append(time.perf_counter() - begun)
        return statistics.median(samples[10:])

    def ours() -> float:
        return statistics.median(chosen.answer(question).latency_seconds)

    ratios = []
    for round_ in range(ROUNDS):
        found = {who.__name__: who() for who in ((hand, ours) if round_ % 2 else (ours, hand))}
        ratios.append(found["ours"] / found["hand"])
    ratio = statistics.median(ratios)
    quarters = statistics.quantiles(ratios, n=4)
    told(
        benchmark,
        f"MobileNetV3-Small at {SIZE} px, {name}: p50 as `bench` times it, over a loop by hand",
        f"{ratio:.3f}",
        "0.98 to 1.02",
    )
    benchmark.extra_info["compared"] = (
        f"{ROUNDS} interleaved pairs, the middle half from {quarters[0]:.3f} to {quarters[2]:.3f}"
    )
    assert 0.98 <= ratio <= 1.02
