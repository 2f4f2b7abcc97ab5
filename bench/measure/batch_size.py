"""A probe for `batch = "auto"`: whether one batch size fits, tried in a process of its own."""

from bench.measure.context import Context
from bench.measure.training import BATCHES_IN_ROTATION
from bench.records.record import BatchSize


def measure(context: Context) -> BatchSize:
    """Train for a few steps at the cell's batch size; what does not fit raises the framework's out-of-memory error.

    As many batches lie on the device as while training is timed, and one more, which the loader would bring.
    """
    batches = context.batches(context.dataset.training, context.batch_size, BATCHES_IN_ROTATION + 1)
    for batch in batches:
        context.trial.train_step(batch)
    context.trial.synchronize()
    return BatchSize(fits=context.batch_size)
