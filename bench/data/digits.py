"""Handwritten digits: the 1,797 real images that come with scikit-learn."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from bench.data.dataset import ArraySplit, Dataset


def read(image_size: int) -> Dataset:
    """Return digits scaled up to `image_size`, grey in three channels: 1,077 for training, 180 validation, 540 test.

    The splits are stratified and always the same. The 8×8 originals have 17 levels; they become 0 to 255.
    """
    digits = load_digits()
    labels = digits.target.astype(np.int64)
    rest, test = train_test_split(np.arange(len(labels)), test_size=540, stratify=labels, random_state=0)
    training, validation = train_test_split(rest, test_size=180, stratify=labels[rest], random_state=0)

    def split(chosen: NDArray[np.int64]) -> ArraySplit:
        return ArraySplit(lambda: np.stack([_scale(i, image_size) for i in digits.images[chosen]]), labels[chosen])

    return Dataset(
        classes=tuple(str(digit) for digit in range(10)),
        training=split(training),
        validation=split(validation),
        test=split(test),
    )


def _scale(image: NDArray[np.float64], image_size: int) -> NDArray[np.uint8]:
    grey = Image.fromarray(np.round(image * (255 / 16)).astype(np.uint8))
    scaled = grey.resize((image_size, image_size), Image.Resampling.BILINEAR).convert("RGB")
    return np.asarray(scaled, dtype=np.uint8)
