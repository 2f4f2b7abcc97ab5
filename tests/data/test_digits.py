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


def test_the_lower_half_is_those_digits_in_the_same_splits():
    digits, lower = read_dataset("digits", 16), read_dataset("digits-lower", 16)
    assert lower.classes == ("0", "1", "2", "3", "4")
    for part in ("training", "validation", "test"):
        whole, half = getattr(digits, part), getattr(lower, part)
        chosen = whole.labels < 5
        assert np.array_equal(half.labels, whole.labels[chosen])
        assert np.array_equal(half.images, whole.images[chosen])


def test_of_the_upper_half_five_images_a_class_are_for_training_and_the_rest_is_the_test():
    digits, upper = read_dataset("digits", 16), read_dataset("digits-upper-few", 16)
    assert upper.classes == ("5", "6", "7", "8", "9")
    assert np.bincount(upper.training.labels).tolist() == [5] * 5
    assert np.bincount(upper.validation.labels).tolist() == [5] * 5
    assert len(upper.test) == 896 - 50
    seen = [{image.tobytes() for image in split.images} for split in (upper.training, upper.validation, upper.test)]
    assert not seen[0] & seen[1] | seen[0] & seen[2] | seen[1] & seen[2]
    assert seen[0] <= {image.tobytes() for image in digits.training.images}
