"""What a measurement is given: the job, how to build the trial, and the images."""

import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from bench.data.dataset import Dataset, Split
from bench.frameworks.trial import Trial
from bench.measure.turns import Turns
from bench.plan.cell import Job


class Context:
    """One job in its worker. The trial is built when first asked for, so that a measurement can look before and after."""

    def __init__(self, job: Job, dataset: Dataset, threads: int, build: Callable[[], Trial], turns: Turns) -> None:
        self.job = job
        self.dataset = dataset
        self.threads = threads
        self.turns = turns
        self._build = build
        self.build_seconds = 0.0

    @cached_property
    def trial(self) -> Trial:
        begun = time.perf_counter()
        trial = self._build()
        trial.synchronize()
        self.build_seconds = time.perf_counter() - begun
        return trial

    @property
    def batch_size(self) -> int:
        size = self.job.cell.batch_size
        assert isinstance(size, int), "the runner resolves an automatic batch size before it starts a job"
        return size

    def batches(self, split: Split, size: int, count: int) -> list[Any]:
        """Return `count` batches of `size` images on the device, from the split's beginning, repeated where it is short."""
        indices = np.arange(count * size) % len(split)
        return [self.trial.place(split.batch(chosen), split.labels[chosen]) for chosen in indices.reshape(count, size)]
