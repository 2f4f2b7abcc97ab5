"""Timing: blocks of steps between two synchronisations, after a warm-up that is kept and marked."""

import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any

import msgspec

from bench.plan.protocol import Protocol

Step = Callable[[], Any]
# How far the medians of two successive parts of a warm-up may lie apart when it ends.
AGREEMENT = 0.01
_QUEUED_STEPS = 20
GROUPS = 20  # Of single requests, so that what went on meanwhile can be told from telemetry.


class Blocks(msgspec.Struct, frozen=True, kw_only=True):
    """Raw samples in the order taken: the seconds of each warm-up step, then of each block of `steps_per_block` steps.

    `queue_seconds`: of the last steps of the warm-up, the part that went by before the step was queued and could be waited
    for. `begun_seconds`: when each block began, on the machine's monotonic clock, which its telemetry shares.
    `tried_block_seconds`: of blocks of `tried_steps` steps each, with which their number was found after the warm-up.
    """

    warmup_step_seconds: tuple[float, ...]
    steps_per_block: int
    block_seconds: tuple[float, ...]
    queue_seconds: tuple[float, ...] = ()
    begun_seconds: tuple[float, ...] = ()
    tried_steps: tuple[int, ...] = ()
    tried_block_seconds: tuple[float, ...] = ()

    def images_per_second(self, images_per_step: int) -> float:
        """Return all images over all time, never a mean of rates."""
        return images_per_step * self.steps_per_block * len(self.block_seconds) / math.fsum(self.block_seconds)

    @property
    def step_seconds(self) -> float:
        """The mean seconds of a step in the blocks."""
        return math.fsum(self.block_seconds) / len(self.block_seconds) / self.steps_per_block


class Requests(msgspec.Struct, frozen=True, kw_only=True):
    """Single requests, each waited for, in the order taken.

    They came in groups of `group_sizes` one right after another, which began at `begun_seconds` on the machine's monotonic
    clock.
    """

    seconds: tuple[float, ...]
    begun_seconds: tuple[float, ...]
    group_sizes: tuple[int, ...]


def timed(step: Step, synchronize: Step, repeats: int = 1) -> float:
    """Return the seconds of `repeats` steps, to the nanosecond, synchronised before and after but not between."""
    synchronize()
    begun = time.perf_counter()
    for _ in range(repeats):
        step()
    synchronize()
    return round(time.perf_counter() - begun, 9)


def time_blocks(
    step: Step,
    synchronize: Step,
    protocol: Protocol,
    block_seconds: float,
    hand_over: Callable[[], bool] = lambda: False,
) -> Blocks:
    """Warm up until the steps have settled, then time the protocol's number of blocks.

    A block has as many whole steps as last `block_seconds`, found by trying: steps that are not waited for one by one
    can be much faster than the warm-up's, which are. Before each block others that it is compared with may `hand_over`
    their turn; a step that is not timed then brings back what they have put out of the caches.
    """
    warmup, queued = _warm_up(step, synchronize, protocol)
    repeats, tried = _try_blocks(step, synchronize, block_seconds, median(warmup[len(warmup) // 2 :]))
    begun, samples = [], []
    for _ in range(protocol.blocks):
        if hand_over():
            step()
        begun.append(round(time.perf_counter(), 6))
        samples.append(timed(step, synchronize, repeats))
    return Blocks(
        warmup_step_seconds=tuple(warmup),
        queue_seconds=tuple(queued),
        steps_per_block=repeats,
        block_seconds=tuple(samples),
        begun_seconds=tuple(begun),
        tried_steps=tuple(steps for steps, _ in tried),
        tried_block_seconds=tuple(seconds for _, seconds in tried),
    )


def _try_blocks(
    step: Step, synchronize: Step, block_seconds: float, step_seconds: float
) -> tuple[int, list[tuple[int, float]]]:
    """Return how many steps make a block, and the blocks that were tried for it: steps and seconds of each."""
    tried: list[tuple[int, float]] = []
    repeats = math.ceil(block_seconds / step_seconds)
    while repeats > 1:
        took = timed(step, synchronize, repeats)
        tried.append((repeats, took))
        if took >= 0.8 * block_seconds:
            break
        repeats = math.ceil(repeats * block_seconds / took)
    return repeats, tried


def settled(seconds: Sequence[float]) -> bool:
    """Return whether a warm-up has ended: the medians of the two halves of its later half agree within 1 %."""
    quarter = len(seconds) // 4
    if quarter == 0:
        return False
    earlier, later = median(seconds[-2 * quarter : -quarter]), median(seconds[-quarter:])
    return abs(later / earlier - 1) <= AGREEMENT


def _warm_up(step: Step, synchronize: Step, protocol: Protocol) -> tuple[list[float], deque[float]]:
    """Run single steps until they have settled, or the protocol's time for it is over; return them and their queueing."""
    samples: list[float] = []
    queued: deque[float] = deque(maxlen=_QUEUED_STEPS)
    total, look = 0.0, protocol.warmup_steps
    while True:
        synchronize()
        begun = time.perf_counter()
        step()
        queued.append(round(time.perf_counter() - begun, 9))
        synchronize()
        samples.append(round(time.perf_counter() - begun, 9))
        total += samples[-1]
        if len(samples) < look or total < protocol.warmup_seconds:
            continue
        if settled(samples) or total >= protocol.warmup_at_most_seconds:
            return samples, queued
        look = math.ceil(1.1 * len(samples))  # Looking costs as many comparisons as there are steps.


def time_requests(
    step: Step, synchronize: Step, *, requests: int, seconds: float, hand_over: Callable[[], bool] = lambda: False
) -> Requests:
    """Time single requests, each waited for: `requests` of them, or what `seconds` allow.

    Whoever it is compared with has a turn before each of a few groups.
    """
    samples: list[float] = []
    begun: list[float] = []
    sizes: list[int] = []
    total = 0.0
    while len(samples) < requests and total < seconds:
        if max(len(samples) / requests, total / seconds) * GROUPS >= len(sizes):
            if hand_over():
                step()
            begun.append(round(time.perf_counter(), 6))
            sizes.append(0)
        samples.append(timed(step, synchronize))
        sizes[-1] += 1
        total += samples[-1]
    return Requests(seconds=tuple(samples), begun_seconds=tuple(begun), group_sizes=tuple(sizes))


def rotating(batches: list[Any], action: Callable[[Any], Any]) -> Step:
    """Return a step that hands `action` one batch after another, round and round."""
    turn: Iterator[Any] = itertools.cycle(batches)
    return lambda: action(next(turn))
