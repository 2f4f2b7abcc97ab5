"""Build: how large the model is, what one image costs, and how long it takes to make."""

from bench.measure.context import Context
from bench.records.record import Build


def measure(context: Context) -> Build:
    """Return parameters, the forward pass's operations an image, and the seconds to build on the device."""
    trial = context.trial
    return Build(parameters=trial.parameters(), flops_per_image=trial.flops(), build_seconds=context.build_seconds)
