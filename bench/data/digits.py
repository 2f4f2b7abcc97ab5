"""Handwritten digits: the 1,797 real images that come with scikit-learn."""

import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.data.dataset import ArraySplit, Dataset


def read(image_size: int) -> Dataset:
    """Return digits scaled up to `image_size`, grey in three channels: 1,077 for training, 180 validation, 540 test.

    The splits are stratified and always the same. The 8×8 originals have 17 levels; they become 0 to 255.
    """
    images, labels = load()
    order = np.random.default_rng(0).permutation(len(labels))
    dealt = order[np.argsort(labels[order], kind="stable")]  # Class by class, shuffled within each.
    turn = np.arange(len(dealt)) % 10

    def split(chosen: NDArray[np.int64]) -> ArraySplit:
        return ArraySplit(lambda: np.stack([_scale(i, image_size) for i in images[chosen]]), labels[chosen])

    return Dataset(
        classes=tuple(str(digit) for digit in range(10)),
        training=split(dealt[turn > 3]),
        validation=split(dealt[turn == 3]),
        test=split(dealt[turn < 3]),
    )


def load() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return what scikit-learn's `load_digits` does, [1797, 8, 8] and [1797], without the seconds that importing it takes."""
    found = importlib.util.find_spec("sklearn")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")
    table = np.loadtxt(Path(found.origin).with_name("datasets") / "data" / "digits.csv.gz", delimiter=",")
    return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int64)


def _scale(image: NDArray[np.float64], image_size: int) -> NDArray[np.uint8]:
    grey = Image.fromarray(np.round(image * (255 / 16)).astype(np.uint8))
    scaled = grey.resize((image_size, image_size), Image.Resampling.BILINEAR).convert("RGB")
    return np.asarray(scaled, dtype=np.uint8)
