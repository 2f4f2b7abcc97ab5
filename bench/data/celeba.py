"""CelebA: forty attributes of a face, in two lists as text."""

from pathlib import Path

import numpy as np

from bench.data.dataset import Dataset
from bench.data.parts import file_split
from bench.errors import JobError

_PARTS = {"0": "training", "1": "validation", "2": "test"}


def read(folder: Path, image_size: int) -> Dataset:
    """Return the aligned faces in the authors' three splits, with labels in [n, 40]: 1 where the list says 1, 0 where -1."""
    count, header, *lines = (folder / "list_attr_celeba.txt").read_text().splitlines()
    rows = [line.split() for line in lines if line]
    if len(rows) != int(count):
        raise JobError(f"{folder / 'list_attr_celeba.txt'}: says {int(count):,} images and lists {len(rows):,}")
    labels = np.array([row[1:] for row in rows]).astype(np.int64) == 1
    of_part = dict(line.split() for line in (folder / "list_eval_partition.txt").read_text().splitlines() if line)
    images = folder / "images" / "img_align_celeba"
    splits = {}
    for number, part in _PARTS.items():
        chosen = [row for row, (name, *_) in enumerate(rows) if of_part[name] == number]
        files = [images / rows[row][0] for row in chosen]
        splits[part] = file_split(part, files, labels[chosen].astype(np.int64), image_size, folder)
    return Dataset(classes=tuple(header.split()), **splits)
