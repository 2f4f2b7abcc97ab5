"""Handwritten digits: the 1,797 real images that come with scikit-learn."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from bench.data.dataset import Dataset, Split


def read(image_size: int) -> Dataset:
    """Return digits scaled up to `image_size`, grey in three channels: 1,077 for training, 180 validation, 540 test.

    The splits are stratified and always the same. The 8×8 originals have 17 levels; they become 0 to 255.
    """
    digits = load_digits()
    labels = digits.target.astype(np.int64)
    rest, test = train_test_split(np.arange(len(labels)), test_size=540, stratify=labels, random_state=0)
    training, validation = train_test_split(rest, test_size=180, stratify=labels[rest], random_state=0)
    splits = [_Scaled(digits.images[chosen], labels[chosen], image_size) for chosen in (training, validation, test)]
    return Dataset(
        classes=tuple(str(digit) for digit in range(10)), training=splits[0], validation=splits[1], test=splits[2]
    )


class _Scaled(Split):
    """Digits that are scaled when first asked for: a measurement seldom looks at every split."""

    def __init__(self, originals: NDArray[np.float64], labels: NDArray[np.int64], image_size: int) -> None:
        self.originals = originals
        self.labels = labels
        self.image_size = image_size

    @cached_property
    def images(self) -> NDArray[np.uint8]:  # type: ignore[override]
        return np.stack([_scale(image, self.image_size) for image in self.originals])


def _scale(image: NDArray[np.float64], image_size: int) -> NDArray[np.uint8]:
    grey = Image.fromarray(np.round(image * (255 / 16)).astype(np.uint8))
    scaled = grey.resize((image_size, image_size), Image.Resampling.BILINEAR).convert("RGB")
    return np.asarray(scaled, dtype=np.uint8)
