"""Training: the first step apart, then images a second on the device's own batches and from the real loader."""

import math
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from bench.data.dataset import RepeatedSplit
from bench.errors import Diverged
from bench.frameworks.trial import Trial
from bench.measure.context import Context
from bench.measure.timing import rotating, time_blocks, timed
from bench.records.record import LoaderBlock, LoaderTiming, Training

BATCHES_IN_ROTATION = 4
# On one batch and before anything is timed, until its loss must have fallen. Thousands of timed steps at one learning rate
# may lead anywhere, and loss scaling may skip the first few.
LEARNING_STEPS = 10
# Twenty blocks of twice so many numbers are some 25 kB of a record, however fast the steps are.
LOADER_SAMPLES_PER_BLOCK = 50


def measure(context: Context) -> Training:
    """Return the timing of training steps; raise `Diverged` unless the loss on a fixed batch is finite and falls."""
    trial, protocol = context.trial, context.job.protocol
    batches = context.batches(context.dataset.training, context.batch_size, BATCHES_IN_ROTATION)
    losses: list[Any] = []
    first_step_seconds = timed(lambda: losses.append(trial.train_step(batches[0])), trial.synchronize)
    losses += [trial.train_step(batches[0]) for _ in range(max(LEARNING_STEPS, protocol.warmup_steps))]
    first, last = trial.loss(losses[0]), trial.loss(losses[-1])
    if not (math.isfinite(first) and math.isfinite(last) and last < first):
        raise Diverged(f"the loss on a fixed batch went from {first:.4g} to {last:.4g}")
    blocks = time_blocks(
        rotating(batches, trial.train_step),
        trial.synchronize,
        protocol,
        protocol.training_block_seconds,
        context.turns.hand_over,
    )
    compile_seconds = trial.compile_seconds()
    loader = _time_loader(context, blocks.steps_per_block)
    end = trial.loss(trial.train_step(batches[0]))
    if not math.isfinite(end):
        raise Diverged(f"the loss after the timing is {end}")
    return Training(
        first_step_seconds=first_step_seconds,
        compile_seconds=compile_seconds,
        resident=blocks,
        loader=loader,
        first_loss=first,
        last_loss=last,
        skipped_steps=trial.skipped_steps(),
    )


def _time_loader(context: Context, steps: int) -> LoaderTiming:
    """Train from the real loader in as many blocks as from resident batches, and tell waiting for data from the whole.

    A block has as many `steps` as those, or what a loader that cannot keep up brings in their time: steps are only queued
    where a device works by itself, and without a number far more might be than it does meanwhile.
    Waiting counts what the main process spends until a placed batch is in its hands; work the device does in the
    meantime is not waited for, so on a GPU the share is what the loader alone would cost if it were not hidden. As before
    blocks of resident batches, others may have their turns, and a step that is not timed comes after.
    """
    trial, protocol = context.trial, context.job.protocol
    batches = _endless(context)
    first = _time_loader_block(trial, batches, 1, math.inf)
    blocks = []
    for _ in range(protocol.blocks):
        if context.turns.hand_over():
            trial.train_step(next(batches))
            trial.synchronize()
        blocks.append(_time_loader_block(trial, batches, steps, protocol.training_block_seconds))
    return LoaderTiming(
        first_step_seconds=first.step_seconds[0], first_wait_seconds=first.wait_seconds[0], blocks=tuple(blocks)
    )


def _time_loader_block(trial: Trial, batches: Iterator[Any], steps: int, seconds: float) -> LoaderBlock:
    """Time so many steps, or what begins within so many seconds."""
    ends = [time.perf_counter()]
    waited: list[float] = []
    while len(waited) < steps and ends[-1] - ends[0] < seconds:
        batch = next(batches)
        waited.append(time.perf_counter() - ends[-1])
        trial.train_step(batch)
        ends.append(time.perf_counter())
    trial.synchronize()
    ends[-1] = time.perf_counter()
    return LoaderBlock(
        begun_seconds=round(ends[0], 6),
        steps=len(waited),
        step_seconds=_in_groups([end - begun for begun, end in pairwise(ends)]),
        wait_seconds=_in_groups(waited),
    )


def _in_groups(samples: list[float]) -> tuple[float, ...]:
    """Return samples, or where there are too many the sums of as many neighbours each as make them few; to the nanosecond."""
    size = math.ceil(len(samples) / LOADER_SAMPLES_PER_BLOCK)
    return tuple(round(math.fsum(samples[i : i + size]), 9) for i in range(0, len(samples), size))


def _endless(context: Context) -> Iterator[Any]:
    """Yield batches epoch after epoch; the cost of starting an epoch's workers is part of the loader.

    A training split smaller than one batch is repeated: what is timed does not depend on which images they are.
    """
    split = RepeatedSplit(context.dataset.training, context.batch_size)
    epoch = 0
    while True:
        yield from context.trial.loader(split, seed=epoch)
        epoch += 1
