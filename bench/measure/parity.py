"""Traits: what two libraries' versions of one architecture can differ in, read off the network that was built."""

import numpy as np

from bench.measure.context import Context
from bench.records.record import Traits


def measure(context: Context) -> Traits:
    """Return the traits of the cell's network; black and white images tell the normalisation from outside."""
    trial, size = context.trial, context.job.cell.image_size
    images = np.stack([np.full((size, size, 3), value, np.uint8) for value in (0, 255)])
    pixels = trial.normalise(images)
    if pixels.shape[-1] != 3:
        pixels = np.moveaxis(pixels, 1, -1)
    settings = trial.settings()
    return Traits(
        parameters=trial.parameters(),
        flops=trial.flops(),
        outputs=settings.outputs,
        pixels=tuple(round(float(value), 3) for image in pixels for value in image[0, 0]),
        published_pixels=settings.published_pixels,
        batch_norm_epsilon=settings.batch_norm_epsilon,
        batch_norm_momentum=settings.batch_norm_momentum,
        dropout=settings.dropout,
    )
