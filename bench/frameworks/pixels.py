"""Normalisations: what is done to pixels before a network gets them."""

from collections.abc import Sequence

import numpy as np

from bench.plan.cards import Pixels


def of_unit(mean: Sequence[float], std: Sequence[float]) -> Pixels:
    """Return a normalisation that is given for pixels in [0, 1], red first, as one of pixels in [0, 255]."""
    red, green, blue = ((255 * m, 255 * s) for m, s in zip(mean, std, strict=True))
    return Pixels(mean=(red[0], green[0], blue[0]), std=(red[1], green[1], blue[1]))


def black_and_white(pixels: Pixels) -> tuple[float, ...]:
    """Return what pixels of 0 and of 255 become in each channel, in the order of the network's channels."""
    return tuple(np.divide(np.subtract([[0.0], [255.0]], pixels.mean), pixels.std).round(3).ravel().tolist())


# torchvision's, of ImageNet's training images. Every library's untrained model gets it, so that all see the same.
IMAGENET = of_unit((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
