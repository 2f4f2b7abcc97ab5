"""How good predictions are."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]


def top_k(logits: Floats, labels: Labels, k: int) -> float:
    """Return the share of images, in [0, 1], whose label is among the `k` largest of their logits in [n, classes].

    Among equal logits the one of the lower class comes first, so that a constant answer is right for one class only.
    Logits that are not finite count as wrong. With `k` at least the number of classes the answer is 1, and says nothing.
    """
    own = np.take_along_axis(logits, labels[:, None], axis=1)
    earlier = np.arange(logits.shape[1]) < labels[:, None]
    before = ((logits > own) | ((logits == own) & earlier)).sum(axis=1)
    finite = np.isfinite(logits).all(axis=1)
    return float(np.mean((before < k) & finite))


def confusion(logits: Floats, labels: Labels) -> tuple[tuple[int, ...], ...]:
    """Return how many images of each true class, a row, were said to be of each class, a column."""
    counts = np.zeros((logits.shape[1],) * 2, np.int64)
    np.add.at(counts, (labels, logits.argmax(axis=1)), 1)
    return tuple(tuple(int(count) for count in row) for row in counts)


def cross_entropy(logits: Floats, labels: Labels) -> float:
    """Return the mean of −log softmax(logits)[label], in nats an image."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1))
    return float(np.mean(log_sum - shifted[np.arange(len(labels)), labels]))
