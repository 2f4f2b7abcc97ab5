"""Food-101: one folder a dish, with the authors' lists as text."""

from pathlib import Path

from bench.data.dataset import Dataset
from bench.data.parts import Labelled, held_out_files, of_classes


def read(folder: Path, image_size: int) -> Dataset:
    """Return the dishes with the authors' test; a tenth of their training images becomes validation."""
    inside = folder / "unpacked" / "food-101"
    classes = (inside / "meta" / "classes.txt").read_text().split()
    kept, held = held_out_files(_listed(inside, "train.txt"))
    parts = {"training": kept, "validation": held, "test": _listed(inside, "test.txt")}
    return of_classes(classes, parts, image_size, folder)


def _listed(inside: Path, name: str) -> Labelled:
    """Return the images of a list, each named as apple_pie/1005649."""
    lines = (inside / "meta" / name).read_text().split()
    return [(inside / "images" / f"{line}.jpg", line.partition("/")[0]) for line in lines]
