"""Scores of several labels an image, and thresholds chosen for them."""

import numpy as np
import pytest
from sklearn import metrics

from bench.measure.multilabel import (
    HALF,
    binary_cross_entropy,
    choose_thresholds,
    mean_average_precision,
    probabilities,
    scores,
)


def drawn(seed: int, images: int = 200, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = (random.random((images, classes)) < (0.5, 0.3, 0.1, 0.05)[:classes]).astype(np.int64)
    logits = (3 * labels - 3.5 + random.normal(0, 1.5, labels.shape)).astype(np.float32)
    return logits, labels


@pytest.mark.parametrize("seed", range(20))
def test_chosen_thresholds_never_lower_macro_f1_where_they_were_chosen(seed: int):
    logits, labels = drawn(seed, images=30)
    half = scores(logits, labels, (HALF,) * 4)
    chosen = scores(logits, labels, choose_thresholds(logits, labels))
    assert chosen.macro_f1 >= half.macro_f1
    assert all(c >= h for c, h in zip(chosen.class_f1, half.class_f1, strict=True))


def test_a_chosen_threshold_is_the_best_there_is():
    logits, labels = drawn(3)
    found = probabilities(logits)
    for number, threshold in enumerate(choose_thresholds(logits, labels)):
        best = max(metrics.f1_score(labels[:, number], found[:, number] >= value) for value in found[:, number])
        assert metrics.f1_score(labels[:, number], found[:, number] >= threshold) == pytest.approx(best)


def test_equal_probabilities_fall_on_one_side_of_a_threshold():
    logits = np.array([[2.0], [0.0], [0.0], [-2.0]], np.float32)
    labels = np.array([[1], [1], [0], [0]])
    (threshold,) = choose_thresholds(logits, labels)
    said = probabilities(logits)[:, 0] >= threshold
    assert said[1] == said[2]


def test_a_class_without_a_positive_keeps_one_half_and_is_left_out_of_mean_average_precision():
    logits, labels = drawn(0)
    labels[:, 3] = 0
    assert choose_thresholds(logits, labels)[3] == HALF
    expected = np.mean([metrics.average_precision_score(labels[:, n], logits[:, n]) for n in range(3)])
    assert mean_average_precision(logits, labels) == pytest.approx(expected)


def test_scores_are_scikit_learns_by_hand_on_a_small_example():
    labels = np.array([[1, 0], [1, 1], [0, 0]])
    logits = np.array([[5.0, 5.0], [5.0, -5.0], [-5.0, -5.0]], np.float32)
    found = scores(logits, labels, (HALF, HALF))
    assert found.hamming_loss == pytest.approx(2 / 6)
    assert found.subset_accuracy == pytest.approx(1 / 3)
    assert found.class_f1 == (1.0, 0.0)
    assert found.macro_f1 == 0.5
    assert found.micro_f1 == pytest.approx(2 * 2 / (3 + 3))


def test_binary_cross_entropy_is_the_formula_and_does_not_overflow():
    logits, labels = drawn(1)
    assert binary_cross_entropy(logits, labels) == pytest.approx(
        metrics.log_loss(labels.ravel(), probabilities(logits).ravel())
    )
    assert binary_cross_entropy(np.array([[1e4, -1e4]], np.float32), np.array([[1, 0]])) == 0
    assert probabilities(np.array([[-1e4, 1e4]], np.float32)).tolist() == [[0.0, 1.0]]


def test_logits_that_are_not_finite_are_worth_nothing():
    logits, labels = drawn(1)
    logits[0, 0] = np.nan
    assert mean_average_precision(logits, labels) == 0.0
