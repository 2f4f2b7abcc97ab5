"""CelebA: forty attributes of a face, in two lists as text."""

from pathlib import Path

import numpy as np

from bench.data.dataset import Dataset
from bench.data.parts import file_split
from bench.errors import JobError

_PARTS = {"0": "training", "1": "validation", "2": "test"}


def read(folder: Path, image_size: int) -> Dataset:
    """Return the aligned faces in the authors' three splits, with labels in [n, 40]: 1 where the list says 1, 0 where -1.

    Raises `JobError` where a list is cut short.
    """
    attributes, partition = folder / "list_attr_celeba.txt", folder / "list_eval_partition.txt"
    count, header, *lines = [*attributes.read_text().splitlines(), "", ""]
    classes = tuple(header.split())
    rows = [row for line in lines if len(row := line.split()) == 1 + len(classes) > 1]
    if count.strip() != str(len(rows)):
        raise _cut(attributes, f"says {count.strip()[:20] or 0} images and lists {len(rows)} with each attribute")
    labels = np.array([row[1:] for row in rows]).astype(np.int64) == 1
    of_part = dict(pair for line in partition.read_text().splitlines() if len(pair := line.split()) == 2)
    lacking = [name for name, *_ in rows if of_part.get(name) not in _PARTS]
    if lacking:
        raise _cut(partition, f"has no split for {lacking[0]}, one of {len(lacking):,}")
    images = folder / "images" / "img_align_celeba"
    splits = {}
    for number, part in _PARTS.items():
        chosen = [row for row, (name, *_) in enumerate(rows) if of_part[name] == number]
        files = [images / rows[row][0] for row in chosen]
        splits[part] = file_split(part, files, labels[chosen].astype(np.int64), image_size, folder)
    return Dataset(classes=classes, **splits)


def _cut(file: Path, said: str) -> JobError:
    return JobError(f"{file}: {said}: it is cut short; put the whole one there, and type: bench download celeba")
