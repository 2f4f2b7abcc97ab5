"""How good predictions are where an image may have several labels; scikit-learn's scores."""

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from bench.records.accuracy import LabelScores

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]
HALF = 0.5


def probabilities(logits: Floats) -> NDArray[np.float64]:
    """Return the sigmoid of logits in [n, classes], without overflow."""
    return np.exp(-np.logaddexp(0, -logits.astype(np.float64)))


def binary_cross_entropy(logits: Floats, labels: Labels) -> float:
    """Return the mean over images and classes, in nats."""
    values = logits.astype(np.float64)
    return float(np.mean(np.logaddexp(0, values) - labels * values))


def mean_average_precision(logits: Floats, labels: Labels) -> float:
    """Return the mean of the classes' average precision, in [0, 1], over the classes that some image has."""
    if not np.isfinite(logits).all():
        return 0.0
    there = labels.any(axis=0)
    return float(metrics.average_precision_score(labels[:, there], logits[:, there], average="macro"))


def choose_thresholds(logits: Floats, labels: Labels) -> tuple[float, ...]:
    """Return of each class the threshold on its probability with the highest F1 on these images.

    One half is among the candidates and is kept where none is better, so that macro F1 here is never lower than at one
    half; between two neighbouring probabilities the threshold lies in their middle. A class without a positive keeps it too.
    """
    found = probabilities(logits)
    return tuple(_threshold(found[:, number], labels[:, number]) for number in range(labels.shape[1]))


def _threshold(found: NDArray[np.float64], labels: Labels) -> float:
    """Return the best of one half and the middles between probabilities that follow one another."""
    order = np.argsort(-found, kind="stable")
    ranked, hits = found[order], np.cumsum(labels[order])
    # With the first k images called positive, F1 is 2 hits over k plus the positives there are.
    f1 = 2 * hits / (np.arange(1, len(ranked) + 1) + labels.sum())
    apart = np.append(ranked[:-1] > ranked[1:], True)
    if not labels.any():
        return HALF
    best = int(np.argmax(np.where(apart, f1, -1)))
    following = ranked[best + 1] if best + 1 < len(ranked) else 0.0
    chosen = float((ranked[best] + following) / 2)
    at_half = metrics.f1_score(labels, found >= HALF, zero_division=0.0)
    return chosen if f1[best] > at_half else HALF


def scores(logits: Floats, labels: Labels, thresholds: tuple[float, ...]) -> LabelScores:
    """Return the scores of the labels whose probability reaches their class's threshold. F1 of nothing asked or said is 0."""
    said = (probabilities(logits) >= np.array(thresholds)).astype(np.int64)
    per_class = metrics.f1_score(labels, said, average=None, zero_division=0.0)
    return LabelScores(
        hamming_loss=float(metrics.hamming_loss(labels, said)),
        subset_accuracy=float(metrics.accuracy_score(labels, said)),
        micro_f1=float(metrics.f1_score(labels, said, average="micro", zero_division=0.0)),
        macro_f1=float(np.mean(per_class)),
        class_f1=tuple(float(value) for value in per_class),
    )
