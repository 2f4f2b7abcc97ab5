"""Digits are the real images, split once and for all."""

import numpy as np
from sklearn.datasets import load_digits

from bench.data.digits import load
from bench.data.read import read_dataset


def test_they_are_scikit_learns_image_for_image():
    images, labels = load()
    expected = load_digits()
    assert np.array_equal(images, expected.images)
    assert np.array_equal(labels, expected.target)


def test_the_splits_are_fixed_stratified_and_disjoint():
    digits = read_dataset("digits", 32)
    splits = (digits.training, digits.validation, digits.test)
    assert [len(split) for split in splits] == [1077, 180, 540]
    for split in splits:
        shares = np.bincount(split.labels) / len(split)
        assert (abs(shares - 0.1) < 0.007).all()
    again = read_dataset("digits", 32)
    assert [split.hash() for split in splits] == [
        split.hash() for split in (again.training, again.validation, again.test)
    ]
    seen = [{image.tobytes() for image in split.images} for split in splits]
    assert not seen[0] & seen[2]
    assert not seen[0] & seen[1]
    assert not seen[1] & seen[2]


def test_images_are_grey_levels_in_three_channels_at_the_size_asked_for():
    images = read_dataset("digits", 48).test.images
    assert images.shape == (540, 48, 48, 3)
    assert images.dtype == np.uint8
    assert (images[..., 0] == images[..., 2]).all()
    assert images.max() == 255
