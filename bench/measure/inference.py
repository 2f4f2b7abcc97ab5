"""Inference: images a second at the cell's batch, and the latency of single images."""

import math

from bench.measure.context import Context
from bench.measure.timing import rotating, time_blocks, time_requests, timed
from bench.records.record import Inference

BATCHES_IN_ROTATION = 4
LATENCY_WARMUP_REQUESTS = 10


def measure(context: Context) -> Inference:
    """Return the timing of forward passes on images that lie on the device already."""
    trial, protocol = context.trial, context.job.protocol
    test = context.dataset.test
    batches = context.batches(test, context.batch_size, BATCHES_IN_ROTATION)
    first_seconds = timed(lambda: trial.predict(batches[0]), trial.synchronize)
    blocks = time_blocks(
        rotating(batches, trial.predict),
        trial.synchronize,
        protocol,
        protocol.inference_block_seconds,
        context.turns.hand_over,
    )
    compile_seconds = trial.compile_seconds()
    request = rotating(context.batches(test, 1, 2 * BATCHES_IN_ROTATION), trial.predict)
    warmup = time_requests(request, trial.synchronize, requests=LATENCY_WARMUP_REQUESTS, seconds=math.inf)
    latency = time_requests(
        request,
        trial.synchronize,
        requests=protocol.latency_requests,
        seconds=protocol.latency_seconds,
        hand_over=context.turns.hand_over,
    )
    return Inference(
        first_batch_seconds=first_seconds,
        compile_seconds=compile_seconds,
        resident=blocks,
        latency_warmup_seconds=warmup.seconds,
        latency_seconds=latency.seconds,
        latency_begun_seconds=latency.begun_seconds,
        latency_group_sizes=latency.group_sizes,
    )
