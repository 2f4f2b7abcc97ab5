"""Pascal VOC 2007, classification: several of twenty classes an image, one list a class and split."""

from pathlib import Path

import numpy as np

from bench.data.dataset import Dataset, FileSplit
from bench.data.parts import file_split

_SPLITS = {"training": ("trainval", "train"), "validation": ("trainval", "val"), "test": ("test", "test")}


def read(folder: Path, image_size: int) -> Dataset:
    """Return the authors' three splits with labels in [n, 20].

    Their lists say 1 where a class is there, -1 where it is not, and 0 where only objects marked 'difficult' are. A 0
    counts as not there. The challenge's own average precision leaves such images out for that class, so that a figure
    from here is not the challenge's to the last digit.
    """
    lists = _inside(folder, "trainval") / "ImageSets" / "Main"
    classes = sorted(file.stem.removesuffix("_train") for file in lists.glob("*_train.txt"))
    splits = {part: _split(folder, part, classes, image_size) for part in _SPLITS}
    return Dataset(classes=tuple(classes), **splits)


def _inside(folder: Path, archive: str) -> Path:
    return folder / archive / "VOCdevkit" / "VOC2007"


def _split(folder: Path, part: str, classes: list[str], image_size: int) -> FileSplit:
    archive, name = _SPLITS[part]
    inside = _inside(folder, archive)
    stems = (inside / "ImageSets" / "Main" / f"{name}.txt").read_text().split()
    labels = np.zeros((len(stems), len(classes)), dtype=np.int64)
    rows = {stem: row for row, stem in enumerate(stems)}
    for column, label in enumerate(classes):
        for line in (inside / "ImageSets" / "Main" / f"{label}_{name}.txt").read_text().splitlines():
            stem, present = line.split()
            labels[rows[stem], column] = present == "1"
    return file_split(part, [inside / "JPEGImages" / f"{stem}.jpg" for stem in stems], labels, image_size, folder)
