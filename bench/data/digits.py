"""Handwritten digits: the 1,797 real images that come with scikit-learn."""

import importlib.util
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.data.dataset import ArraySplit, Dataset


def read(image_size: int) -> Dataset:
    """Return digits scaled up to `image_size`, grey in three channels: 1,077 for training, 180 validation, 540 test.

    The splits are stratified and always the same. The 8×8 originals have 17 levels; they become 0 to 255.
    """
    _, labels = load()
    return _dataset(split_numbers(labels), range(10), image_size)


def read_lower(image_size: int) -> Dataset:
    """Return the digits 0 to 4 alone, in the splits of `read`."""
    _, labels = load()
    chosen = {part: numbers[labels[numbers] < 5] for part, numbers in split_numbers(labels).items()}
    return _dataset(chosen, range(5), image_size)


def read_upper_few(image_size: int) -> Dataset:
    """Return the digits 5 to 9: five images of each to train on, five for validation, and all others as the test.

    Those to train on are from the training split of `read`, those for validation from its validation split.
    """
    _, labels = load()
    parts = split_numbers(labels)
    few = {part: _first(parts[part], labels, 5) for part in ("training", "validation")}
    upper = np.concatenate([numbers[labels[numbers] > 4] for numbers in parts.values()])
    rest = upper[~np.isin(upper, np.concatenate(list(few.values())))]
    return _dataset(few | {"test": rest}, range(5, 10), image_size)


def split_numbers(labels: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """Return the numbers of the images in each split: stratified by class, shuffled within it, always the same."""
    order = np.random.default_rng(0).permutation(len(labels))
    dealt = order[np.argsort(labels[order], kind="stable")]  # Class by class, shuffled within each.
    turn = np.arange(len(dealt)) % 10
    return {"training": dealt[turn > 3], "validation": dealt[turn == 3], "test": dealt[turn < 3]}


def _first(numbers: NDArray[np.int64], labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    return np.concatenate([numbers[labels[numbers] == digit][:count] for digit in range(5, 10)])


def _dataset(parts: dict[str, NDArray[np.int64]], digits: range, image_size: int) -> Dataset:
    images, labels = load()

    def split(chosen: NDArray[np.int64]) -> ArraySplit:
        scaled = partial(_scale_all, images[chosen], image_size)
        return ArraySplit(scaled, labels[chosen] - digits.start)

    splits = {part: split(chosen) for part, chosen in parts.items()}
    return Dataset(classes=tuple(str(digit) for digit in digits), **splits)


@cache
def load() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return what scikit-learn's `load_digits` does, [1797, 8, 8] and [1797], without the seconds that importing it takes."""
    found = importlib.util.find_spec("sklearn")
    if found is None or found.origin is None:
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")
    table = np.loadtxt(Path(found.origin).with_name("datasets") / "data" / "digits.csv.gz", delimiter=",")
    return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int64)


def _scale_all(images: NDArray[np.float64], image_size: int) -> NDArray[np.uint8]:
    return np.stack([_scale(image, image_size) for image in images])


def _scale(image: NDArray[np.float64], image_size: int) -> NDArray[np.uint8]:
    grey = Image.fromarray(np.round(image * (255 / 16)).astype(np.uint8))
    scaled = grey.resize((image_size, image_size), Image.Resampling.BILINEAR).convert("RGB")
    return np.asarray(scaled, dtype=np.uint8)
