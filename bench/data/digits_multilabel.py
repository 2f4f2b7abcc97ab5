"""Several handwritten digits on one canvas: a multi-label data set made of scikit-learn's 1,797 real images."""

from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.data.dataset import ArraySplit, Dataset
from bench.data.digits import load, split_numbers

_CANVASES = {"training": 2000, "validation": 400, "test": 1000}
_CLASSES = 10
_MOST = 4  # One a quarter of the canvas, so that no digit covers another.


class _Placed(NamedTuple):
    """One digit on a canvas: which original, and where, as shares of the canvas's side."""

    original: int
    top: float
    left: float
    side: float


def read(image_size: int, rarest: float) -> Dataset:
    """Return canvases with one to four different digits each, labels in [n, 10]; always the same.

    `rarest` is the share of the canvases that show a 9, the rarest digit; 0.25 is every digit's where all are equally
    frequent, and below it they fall from 0 to 9 by the same factor each. The originals of a split are those of the same
    split of `digits`, so that no handwriting is in two.
    """
    images, labels = load()
    weights = _weights(rarest)
    splits = {part: _split(number, part, images, labels, weights, image_size) for number, part in enumerate(_CANVASES)}
    return Dataset(classes=tuple(str(digit) for digit in range(_CLASSES)), **splits)


def _split(
    seed: int,
    part: str,
    images: NDArray[np.float64],
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    image_size: int,
) -> ArraySplit:
    source = np.random.default_rng((2005, seed))
    numbers = split_numbers(labels)[part]
    of_class = [numbers[labels[numbers] == digit] for digit in range(_CLASSES)]
    canvases = [_compose(source, of_class, weights) for _ in range(_CANVASES[part])]
    shown = np.zeros((len(canvases), _CLASSES), dtype=np.int64)
    for row, canvas in enumerate(canvases):
        shown[row, [labels[placed.original] for placed in canvas]] = 1
    return ArraySplit(partial(_draw_all, canvases, images, image_size), shown)


def _compose(
    source: np.random.Generator, of_class: list[NDArray[np.int64]], weights: NDArray[np.float64]
) -> list[_Placed]:
    count = int(source.integers(1, _MOST + 1))
    shown = source.choice(_CLASSES, size=count, replace=False, p=weights)
    quarters = source.permutation(_MOST)[:count]
    placed = []
    for digit, quarter in zip(shown, quarters, strict=True):
        side = source.uniform(0.38, 0.5)
        down, right = source.uniform(0, 0.5 - side, 2)
        original = int(source.choice(of_class[digit]))
        placed.append(_Placed(original, quarter // 2 / 2 + down, quarter % 2 / 2 + right, side))
    return placed


def _draw_all(canvases: list[list[_Placed]], images: NDArray[np.float64], image_size: int) -> NDArray[np.uint8]:
    grey = np.stack([_draw(canvas, images, image_size) for canvas in canvases])
    return np.repeat(grey[..., None], 3, axis=-1)


def _draw(canvas: list[_Placed], images: NDArray[np.float64], image_size: int) -> NDArray[np.uint8]:
    drawn = np.zeros((image_size, image_size), dtype=np.uint8)
    for original, top, left, side in canvas:
        pixels = max(1, round(side * image_size))
        digit = Image.fromarray(np.round(images[original] * (255 / 16)).astype(np.uint8))
        scaled = np.asarray(digit.resize((pixels, pixels), Image.Resampling.BILINEAR))
        row, column = (min(int(edge * image_size), image_size - pixels) for edge in (top, left))
        drawn[row : row + pixels, column : column + pixels] = scaled
    return drawn


def _weights(rarest: float) -> NDArray[np.float64]:
    """Return the chances of the first digit drawn, falling by one factor, at which a share `rarest` of canvases shows a 9."""
    low, high = 0.0, 1.0  # Of the factor; halved until it is known to a thousandth.
    while high - low > 1e-3:
        factor = (low + high) / 2
        low, high = (factor, high) if _share_of_last(_falling(factor)) < rarest else (low, factor)
    return _falling(high)


def _falling(factor: float) -> NDArray[np.float64]:
    chances = factor ** np.arange(_CLASSES)
    return np.asarray(chances / chances.sum())


def _share_of_last(weights: NDArray[np.float64]) -> float:
    """Return the share of canvases that show the last class, measured on 4,000 draws of the longest order."""
    source = np.random.default_rng(0)
    # The order in which classes are drawn without replacement is that of exponential waiting times over their weights.
    waits = source.exponential(size=(4000, _CLASSES)) / np.maximum(weights, 1e-12)
    place = (waits < waits[:, -1:]).sum(axis=1)
    return float(np.mean([(place < count).mean() for count in range(1, _MOST + 1)]))
