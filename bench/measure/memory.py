"""Memory: the peak of a forward pass and of a training step, in a process that times nothing."""

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.data.dataset import RepeatedSplit
from bench.errors import Unavailable
from bench.frameworks.trial import Trial
from bench.measure.context import Context
from bench.measure.nvml import DeviceMemory, device_memory
from bench.records.record import Memory, MemoryPeak

STEPS = 3


def measure(context: Context) -> Memory:
    """Return peaks after building and predicting, and after training too.

    The resident peak is counted anew once the images are made, and stands above what the process held then; the library's
    own code and workspaces that the model is the first to touch count too. The training's includes the prediction's. On a
    GPU the allocator's peaks are each counted anew, and what NVML sees is read after each: allocators keep what they had.
    """
    split = RepeatedSplit(context.dataset.training, context.batch_size)
    chosen = np.arange(context.batch_size)
    images, labels = split.batch(chosen), split.labels[chosen]
    device = context.job.cell.device
    before = device_memory(device)
    baseline = reset_resident_peak()
    trial = context.trial
    batch = trial.place(images, labels)
    peaks = []
    for step in (trial.predict, trial.train_step):
        peak = _peak(trial, step, batch, baseline)
        peaks.append(msgspec.structs.replace(peak, device_bytes=_grown(before, device_memory(device))))
    return Memory(baseline_resident_bytes=baseline, inference=peaks[0], training=peaks[1])


def _grown(before: DeviceMemory | None, after: DeviceMemory | None) -> int | None:
    """Return the growth of a device's memory in bytes, if nobody else used it: no process before, and ours alone after.

    A fall tells of somebody whom NVML does not list, as of those outside of a container.
    """
    if before is None or after is None or (before.processes or 0) > 0 or (after.processes or 0) > 1:
        return None
    grown = after.used_bytes - before.used_bytes
    return grown if grown >= 0 else None


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


def reset_resident_peak() -> int:
    """Forget the peak so far and return the bytes resident now; making the images took more than they hold.

    What was freed but is still held by the C library's allocator goes back to the system first: a model that moved into it
    would seem to take nothing.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; musl gives memory back by itself.
    if trim is not None:
        trim(ctypes.c_size_t(0))
    try:
        Path("/proc/self/clear_refs").write_text("5")  # proc(5): 'reset the peak resident set size'.
    except OSError as error:
        raise Unavailable(f"this system does not let a process reset its peak of memory ({error})") from None
    return _status_bytes("VmRSS")


def peak_resident_bytes() -> int:
    """Return the most memory this process has had resident since the peak was reset."""
    return _status_bytes("VmHWM")


def family_peak_resident_bytes(process: int) -> int:
    """Return the sum of the peaks of a process and of all that descend from it; what they share counts in each."""
    try:
        own = _status_bytes("VmHWM", process)
        children = [
            int(child)
            for file in Path(f"/proc/{process}/task").glob("*/children")
            for child in file.read_text().split()
        ]
    except (OSError, StopIteration):  # It has ended meanwhile.
        return 0
    return own + sum(map(family_peak_resident_bytes, children))


def _status_bytes(field: str, process: int | str = "self") -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))
