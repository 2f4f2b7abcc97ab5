"""Memory: the peak of a forward pass and of a training step, in a process that times nothing."""

import resource
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.data.dataset import RepeatedSplit
from bench.frameworks.trial import Trial
from bench.measure.context import Context
from bench.records.record import Memory, MemoryPeak

STEPS = 3


def measure(context: Context) -> Memory:
    """Return peaks after building and predicting, and after training too.

    The resident peaks only ever grow, so prediction comes first; both stand above what the process held before the
    model was built, with the images already made; the library's own code and workspaces that the
    model is the first to touch count too. On a GPU the allocator's peaks are each counted anew.
    """
    split = RepeatedSplit(context.dataset.training, context.batch_size)
    chosen = np.arange(context.batch_size)
    images, labels = split.batch(chosen), split.labels[chosen]
    baseline = peak_resident_bytes()
    trial = context.trial
    batch = trial.place(images, labels)
    peaks = [_peak(trial, step, batch, baseline) for step in (trial.predict, trial.train_step)]
    return Memory(baseline_resident_bytes=baseline, inference=peaks[0], training=peaks[1])


def _peak(trial: Trial, step: Callable[[Any], Any], batch: Any, baseline: int) -> MemoryPeak:
    trial.reset_peak_memory()
    for _ in range(STEPS):
        step(batch)
    trial.synchronize()
    allocator = trial.peak_memory()
    return MemoryPeak(
        allocated_bytes=allocator.allocated_bytes,
        reserved_bytes=allocator.reserved_bytes,
        resident_bytes=peak_resident_bytes() - baseline,
    )


def peak_resident_bytes() -> int:
    """Return the most memory this process has had resident so far (getrusage counts in KiB, on macOS in bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
