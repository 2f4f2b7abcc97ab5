"""Timing: blocks of steps between two synchronisations, after a warm-up that is kept and marked."""

import itertools
import math
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import msgspec

Step = Callable[[], Any]


class Blocks(msgspec.Struct, frozen=True, kw_only=True):
    """Raw samples in the order taken: the seconds of each warm-up step, then of each block of `steps_per_block` steps."""

    warmup_step_seconds: tuple[float, ...]
    steps_per_block: int
    block_seconds: tuple[float, ...]

    def images_per_second(self, images_per_step: int) -> float:
        """Return all images over all time, never a mean of rates."""
        return images_per_step * self.steps_per_block * len(self.block_seconds) / math.fsum(self.block_seconds)


def timed(step: Step, synchronize: Step, repeats: int = 1) -> float:
    """Return the seconds of `repeats` steps, synchronised before and after but not between."""
    synchronize()
    begun = time.perf_counter()
    for _ in range(repeats):
        step()
    synchronize()
    return time.perf_counter() - begun


def time_blocks(
    step: Step,
    synchronize: Step,
    *,
    warmup_steps: int,
    warmup_seconds: float,
    blocks: int,
    block_seconds: float,
) -> Blocks:
    """Warm up until both `warmup_steps` and `warmup_seconds` are reached, then time `blocks` blocks.

    A block has as many whole steps as last `block_seconds`, found by trying: steps that are not waited for one by one
    can be much faster than the warm-up's, which are.
    """
    warmup: list[float] = []
    while len(warmup) < warmup_steps or math.fsum(warmup) < warmup_seconds:
        warmup.append(timed(step, synchronize))
    repeats = math.ceil(block_seconds / median(warmup[len(warmup) // 2 :]))
    while repeats > 1 and (tried := timed(step, synchronize, repeats)) < 0.8 * block_seconds:
        repeats = math.ceil(repeats * block_seconds / tried)
    samples = tuple(timed(step, synchronize, repeats) for _ in range(blocks))
    return Blocks(warmup_step_seconds=tuple(warmup), steps_per_block=repeats, block_seconds=samples)


def time_requests(step: Step, synchronize: Step, *, requests: int, seconds: float) -> tuple[float, ...]:
    """Return the seconds of single requests, each waited for: `requests` of them, or what `seconds` allow."""
    samples: list[float] = []
    total = 0.0
    while len(samples) < requests and total < seconds:
        samples.append(timed(step, synchronize))
        total += samples[-1]
    return tuple(samples)


def rotating(batches: list[Any], action: Callable[[Any], Any]) -> Step:
    """Return a step that hands `action` one batch after another, round and round."""
    turn: Iterator[Any] = itertools.cycle(batches)
    return lambda: action(next(turn))
