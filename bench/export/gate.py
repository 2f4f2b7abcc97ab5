"""The gate: an artifact that answers unlike its source has no other figures."""

import math
from typing import NamedTuple

import numpy as np

from bench.errors import Disagrees
from bench.export.format import Floats, Precision


class Tolerance(NamedTuple):
    """`error`: the largest absolute error allowed, as a share of the largest absolute logit of the source. `decisions`: the
    least share of equal decisions: of images the same top-1, or of images and labels the same side of one half.
    """

    error: float
    decisions: float


# Sums taken in another order differ by about 1e-7 of a value; through 50 layers that grows to some 1e-5 of the largest logit,
# which turns an image in many thousands whose two best classes are as near each other.
# Weights in 16 bits are off by up to 2^-11 each, and such errors add up over the layers. Eight bits have no bound that follows
# from arithmetic: what is asked is that the artifact is still the same classifier, and its own accuracy says what is lost.
TOLERANCES: dict[Precision, Tolerance] = {
    "fp32": Tolerance(1e-4, 0.999),
    "fp16": Tolerance(2e-2, 0.99),
    "int8-weights": Tolerance(0.25, 0.97),
    "int8": Tolerance(0.5, 0.95),
}


class Agreement(NamedTuple):
    """How alike two sets of logits are, over `images` images: the largest absolute error, and that as two shares.

    `relative`: of the largest absolute expected logit. `centred`: of the furthest that an expected logit lies from the mean of
    its class; infinite where an artifact differs from a source that answers the same for every image. What answers the same for
    every image is off by half of it or more: in the middle of a class's logits at best.
    """

    images: int
    absolute: float
    relative: float
    centred: float
    decisions: float


def agreement(expected: Floats, found: Floats, several_labels: bool = False) -> Agreement:
    """Return how far the found logits are from the expected, both in [n, classes]; raise `Disagrees` for another shape."""
    if expected.shape != found.shape:
        raise Disagrees(f"the artifact gives logits in {list(found.shape)}, its source in {list(expected.shape)}")
    absolute = float(np.max(np.abs(expected - found)))
    if several_labels:
        equal = float(np.mean((expected > 0) == (found > 0)))
    else:
        equal = float(np.mean(expected.argmax(axis=1) == found.argmax(axis=1)))
    furthest = float(np.max(np.abs(expected - expected.mean(axis=0))))
    return Agreement(
        images=len(expected),
        absolute=absolute,
        relative=absolute / float(np.max(np.abs(expected))),
        centred=absolute and (absolute / furthest if furthest else math.inf),
        decisions=equal,
    )


def check(name: str, precision: Precision, found: Agreement) -> None:
    """Raise `Disagrees` where an artifact is further from its source than its precision is allowed."""
    allowed = TOLERANCES[precision]
    wrong = []
    if not found.relative <= allowed.error:  # As for what is not a number.
        wrong.append(
            f"differs from its source by {found.relative:.2g} of the largest logit (allowed are {allowed.error:g})"
        )
    if not found.decisions >= allowed.decisions:
        decided = f"{found.decisions:.3%} of {found.images} images (asked are {allowed.decisions:.1%})"
        wrong.append(f"decides as its source for {decided}")
    if wrong:
        raise Disagrees(f"{name} {' and '.join(wrong)}")
