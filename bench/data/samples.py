"""Sample pictures of a data set, to look at and to ask a model of."""

from pathlib import Path

import numpy as np
from PIL import Image

from bench.data.dataset import Dataset, spread


def write_samples(dataset: Dataset, folder: Path, count: int) -> list[Path]:
    """Write images evenly spread over the test split as PNG files, named by their number and labels; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen = spread(dataset.test, count)
    files = []
    for number, image in zip(chosen, dataset.test.batch(chosen), strict=True):
        files.append(folder / f"{number:04d}-{_labels(dataset, int(number))}.png")
        Image.fromarray(image).save(files[-1])
    return files


def _labels(dataset: Dataset, number: int) -> str:
    label = dataset.test.labels[number]
    held = np.flatnonzero(label) if dataset.several_labels else [label]
    return "-".join(dataset.classes[one].replace("/", " ") for one in held)
