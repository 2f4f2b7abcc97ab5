"""What one export costs: written, loaded and asked, in the order a user would, and held against its source."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from bench.data.dataset import ArraySplit
from bench.errors import Disagrees
from bench.export.find import Floats, Run, find
from bench.measure.context import Context
from bench.measure.timing import Requests, rotating, time_requests
from bench.records.record import Export

T = TypeVar("T")
WARMUP_REQUESTS = 10
# Some libraries start the last normalisation of each residual block at zero. Left so, half of the network could be wrong
# without a difference, and an exporter may fold it away: the artifact would be smaller and faster than a trained one.
TRAINING_STEPS = 8
# Sums taken in another order differ by about 1e-7 of a value; through 50 layers that grows to some 1e-5 of the largest logit.
TOLERANCE = 1e-4


def measure(context: Context) -> Export:
    """Export, load and time one format; raise `Disagrees` before any latency where it answers unlike its source."""
    name = context.job.measurement.partition(":")[2]
    protocol, threads = context.job.protocol, context.threads
    chosen, exporter = find(name, context.trial.source().kind)
    for batch in context.batches(context.dataset.training, context.batch_size, TRAINING_STEPS):
        context.trial.train_step(batch)
    source = context.trial.source()  # Once more: training has left the model in its training mode.
    test = context.dataset.test
    compared = np.arange(min(len(test), protocol.compared_images))
    images = test.batch(compared)
    sample = ArraySplit(lambda: images, test.labels[compared])
    pixels = context.trial.normalise(images)
    with tempfile.TemporaryDirectory() as folder:
        artifact = Path(folder) / f"model{chosen.SUFFIX}"
        method, export_seconds = _timed(lambda: exporter.export(source.model, source.example, artifact))
        run, load_seconds = _timed(lambda: chosen.load(artifact, threads))
        first, first_seconds = _timed(lambda: run(pixels[:1]))
        found = np.concatenate([first, *(run(pixels[i : i + 1]) for i in range(1, len(pixels)))])
        absolute, relative, top1 = agreement(context.trial.logits(sample), found)
        if not (relative <= TOLERANCE and top1 == 1):
            raise Disagrees(
                f"{name} differs from its source by {relative:.2g} of the largest logit (allowed {TOLERANCE:g}), "
                f"and has the same top-1 for {top1:.1%} of the images"
            )
        latency = _latency(run, pixels, protocol.latency_requests, protocol.latency_seconds)
        return Export(
            export_seconds=export_seconds,
            artifact_bytes=_bytes(Path(folder)),
            load_seconds=load_seconds,
            first_inference_seconds=first_seconds,
            latency_seconds=latency.seconds,
            latency_begun_seconds=latency.begun_seconds,
            latency_group_sizes=latency.group_sizes,
            threads=threads,
            compared_images=len(compared),
            maximum_absolute_error=absolute,
            maximum_relative_error=relative,
            top1_agreement=top1,
            runtime=chosen.RUNTIME,
            method=method,
        )


def _bytes(folder: Path) -> int:
    """Return the size of everything that was written: ONNX may put large weights into a file of their own beside it."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def agreement(expected: Floats, found: Floats) -> tuple[float, float, float]:
    """Return the largest absolute error, the same over the largest absolute expected logit, and the share of equal top-1."""
    absolute = float(np.max(np.abs(expected - found)))
    equal = float(np.mean(expected.argmax(axis=1) == found.argmax(axis=1)))
    return absolute, absolute / float(np.max(np.abs(expected))), equal


def _latency(run: Run, pixels: Floats, requests: int, seconds: float) -> Requests:
    step = rotating([pixels[i : i + 1] for i in range(min(8, len(pixels)))], run)
    time_requests(step, _answered, requests=WARMUP_REQUESTS, seconds=seconds)
    return time_requests(step, _answered, requests=requests, seconds=seconds)


def _answered() -> None:
    """A runtime returns logits in host memory: nothing is left to wait for."""


def _timed(action: Callable[[], T]) -> tuple[T, float]:
    begun = time.perf_counter()
    result = action()
    return result, time.perf_counter() - begun
