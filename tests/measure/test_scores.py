"""Scores agree with scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import log_loss, top_k_accuracy_score

from bench.measure.scores import cross_entropy, top_k


@pytest.fixture
def answers() -> tuple[np.ndarray, np.ndarray]:
    source = np.random.default_rng(0)
    return source.normal(size=(500, 10)).astype(np.float32), source.integers(0, 10, 500)


@pytest.mark.parametrize("k", [1, 5])
def test_top_k(answers: tuple[np.ndarray, np.ndarray], k: int):
    logits, labels = answers
    assert top_k(logits, labels, k) == pytest.approx(top_k_accuracy_score(labels, logits, k=k))


def test_cross_entropy(answers: tuple[np.ndarray, np.ndarray]):
    logits, labels = answers
    shares = np.exp(logits.astype(np.float64))
    shares /= shares.sum(axis=1, keepdims=True)
    assert cross_entropy(logits, labels) == pytest.approx(log_loss(labels, shares))


def test_logits_that_are_not_finite_are_wrong():
    assert top_k(np.full((4, 10), np.nan, np.float32), np.zeros(4, np.int64), 1) == 0


def test_equal_logits_do_not_count_as_right_for_every_label():
    constant = np.zeros((10, 10), np.float32)
    assert top_k(constant, np.arange(10), 1) == pytest.approx(0.1)
