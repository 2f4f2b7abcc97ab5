"""Oxford 102 Flowers: images by number, with labels and splits in MATLAB files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.data.dataset import Dataset
from bench.data.matlab import load
from bench.data.parts import of_classes

_SPLITS = {"training": "trnid", "validation": "valid", "test": "tstid"}


def read(folder: Path, image_size: int, classes: Sequence[str]) -> Dataset:
    """Return the flowers in the authors' own three splits; their labels count from 1."""
    labels = load(folder / "imagelabels.mat")["labels"]
    chosen = load(folder / "setid.mat")
    images = folder / "images" / "jpg"
    parts = {
        part: [
            (images / f"image_{number:05d}.jpg", classes[labels[number - 1] - 1]) for number in np.ravel(chosen[key])
        ]
        for part, key in _SPLITS.items()
    }
    return of_classes(classes, parts, image_size, folder)
