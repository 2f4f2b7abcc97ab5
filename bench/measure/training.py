"""Training: the first step apart, then images a second on the device's own batches and from the real loader."""

import math
import time
from collections.abc import Iterator
from typing import Any

from bench.data.dataset import RepeatedSplit
from bench.errors import Diverged
from bench.measure.context import Context
from bench.measure.timing import rotating, time_blocks, timed
from bench.records.record import LoaderTiming, Training

BATCHES_IN_ROTATION = 4
# On one batch and before anything is timed, until its loss must have fallen. Thousands of timed steps at one learning rate
# may lead anywhere, and loss scaling may skip the first few.
LEARNING_STEPS = 10


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
    loader = _time_loader(context)
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


def _time_loader(context: Context) -> LoaderTiming:
    """Train from the real loader for as long as the blocks lasted, and tell waiting for data from the whole.

    Waiting counts what the main process spends until a placed batch is in its hands; work the device does in the
    meantime is not waited for, so on a GPU the share is what the loader alone would cost if it were not hidden.
    """
    trial, protocol = context.trial, context.job.protocol
    batches = _endless(context)
    trial.train_step(next(batches))
    trial.synchronize()
    steps, waited = 0, 0.0
    begun = time.perf_counter()
    while time.perf_counter() - begun < protocol.blocks * protocol.training_block_seconds:
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        trial.train_step(batch)
        steps += 1
    trial.synchronize()
    return LoaderTiming(steps=steps, total_seconds=time.perf_counter() - begun, wait_seconds=waited)


def _endless(context: Context) -> Iterator[Any]:
    """Yield batches epoch after epoch; the cost of starting an epoch's workers is part of the loader.

    A training split smaller than one batch is repeated: what is timed does not depend on which images they are.
    """
    split = RepeatedSplit(context.dataset.training, context.batch_size)
    epoch = 0
    while True:
        yield from context.trial.loader(split, seed=epoch)
        epoch += 1
