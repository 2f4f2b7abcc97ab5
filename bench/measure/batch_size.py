"""A probe for `batch = "auto"`: whether one batch size fits, tried in a process of its own."""

from bench.measure.context import Context
from bench.records.record import BatchSize

STEPS = 3


def measure(context: Context) -> BatchSize:
    """Train for a few steps at the cell's batch size; what does not fit raises the framework's out-of-memory error."""
    batch = context.batches(context.dataset.training, context.batch_size, 1)[0]
    for _ in range(STEPS):
        context.trial.train_step(batch)
    context.trial.synchronize()
    return BatchSize(fits=context.batch_size)
