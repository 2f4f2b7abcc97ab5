"""Canvases of several digits: always the same, never empty, no handwriting in two splits."""

import numpy as np
import pytest

from bench.data.digits import load, split_numbers
from bench.data.digits_multilabel import _compose, _draw, _weights
from bench.data.read import read_dataset

BOTH = ("digits-multilabel", "digits-multilabel-imbalanced")


@pytest.mark.parametrize("name", BOTH)
def test_canvases_are_the_same_every_time_and_show_one_to_four_different_digits(name: str):
    dataset, again = read_dataset(name, 16), read_dataset(name, 16)
    splits = (dataset.training, dataset.validation, dataset.test)
    assert [len(split) for split in splits] == [2000, 400, 1000]
    assert dataset.several_labels
    for split, second in zip(splits, (again.training, again.validation, again.test), strict=True):
        assert split.hash() == second.hash()
        assert split.labels.dtype == np.int64
        assert set(np.unique(split.labels)) == {0, 1}
        counts = np.bincount(split.labels.sum(axis=1), minlength=5) / len(split)
        assert counts[0] == 0
        assert (abs(counts[1:] - 0.25) < 0.07).all()
        assert (split.images.max(axis=(1, 2, 3)) > 100).all(), "no canvas is empty"
    seen = [{image.tobytes() for image in split.images} for split in splits]
    assert not seen[0] & seen[1] | seen[0] & seen[2] | seen[1] & seen[2]


def test_every_digit_of_a_canvas_is_an_original_of_its_split_drawn_where_no_other_is():
    images, labels = load()
    weights = _weights(0.25)
    for part, numbers in split_numbers(labels).items():
        of_class = [numbers[labels[numbers] == digit] for digit in range(10)]
        source = np.random.default_rng(1)
        for _ in range(50):
            canvas = _compose(source, of_class, weights)
            assert {placed.original for placed in canvas} <= set(numbers), part
            shown = [labels[placed.original] for placed in canvas]
            assert len(set(shown)) == len(shown)
            alone = [_draw([placed], images, 64) > 0 for placed in canvas]
            assert (np.sum(alone, axis=0) <= 1).all()


def test_all_digits_are_equally_frequent_or_fall_to_two_percent():
    even, falling = (read_dataset(name, 8).training.labels.mean(axis=0) for name in BOTH)
    assert (abs(even - 0.25) < 0.03).all()
    assert (np.diff(falling) < 0).all()
    assert falling[0] > 0.6
    assert falling[-1] == pytest.approx(0.02, abs=0.006)


@pytest.mark.parametrize("image_size", [8, 33, 224])
def test_every_size_is_drawn(image_size: int):
    images, labels = load()
    of_class = [np.flatnonzero(labels == digit) for digit in range(10)]
    canvas = _compose(np.random.default_rng(0), of_class, _weights(0.25))
    drawn = _draw(canvas, images, image_size)
    assert drawn.shape == (image_size, image_size)
    assert drawn.max() > 150
