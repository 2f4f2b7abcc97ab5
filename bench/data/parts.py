"""Parts of a data set: which image falls to training, validation or test where nobody has said so."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.data.dataset import Dataset, FileSplit
from bench.errors import JobError

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
PARTS = {"training": ("train", "training"), "validation": ("val", "valid", "validation"), "test": ("test",)}
HELD_OUT = 0.1  # The share of training that becomes validation, where a data set has none.

T = TypeVar("T")
Labelled = list[tuple[Path, str]]


def fraction(key: str) -> float:
    """Return a number in [0, 1) that depends on the key alone, so that an added image moves no other."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64


def hold_out(items: Iterable[T], key: Callable[[T], str], share: float = HELD_OUT) -> tuple[list[T], list[T]]:
    """Return the items that are kept, and the share of them that is held out by the hash of each one's key."""
    kept: list[T] = []
    held: list[T] = []
    for item in items:
        (held if fraction(key(item)) < share else kept).append(item)
    return kept, held


def deal(items: Iterable[T], key: Callable[[T], str]) -> dict[str, list[T]]:
    """Return 70, 10 and 20 % of the items as training, validation and test, by the hash of each one's key."""
    parts: dict[str, list[T]] = {"training": [], "validation": [], "test": []}
    for item in items:
        found = fraction(key(item))
        parts["training" if found < 0.7 else "validation" if found < 0.8 else "test"].append(item)
    return parts


def labelled(folder: Path) -> Labelled:
    """Return the images below a folder that has one folder a class, each with its class, sorted."""
    places = sorted(place for place in folder.iterdir() if place.is_dir())
    return [
        (file, place.name)
        for place in places
        for file in sorted(place.rglob("*"))
        if file.suffix.lower() in SUFFIXES and file.is_file()
    ]


def held_out_files(files: Labelled, share: float = HELD_OUT) -> tuple[Labelled, Labelled]:
    """Return files that are kept and held out by the hash of each one's class and name."""
    return hold_out(files, lambda item: f"{item[1]}/{item[0].name}", share)


def of_classes(
    classes: Sequence[str], parts: Mapping[str, Sequence[tuple[Path, str]]], image_size: int, where: Path
) -> Dataset:
    """Return a data set of files with one label each; raise `JobError` where a part is empty or a class has no training image."""
    numbers = {name: number for number, name in enumerate(classes)}
    unseen = set(classes) - {label for _, label in parts["training"]}
    if unseen:
        raise JobError(f"{where}: no image to train on in {', '.join(sorted(unseen))}")
    splits = {}
    for part in PARTS:
        labels = np.array([numbers[label] for _, label in parts[part]], dtype=np.int64)
        splits[part] = file_split(part, [file for file, _ in parts[part]], labels, image_size, where)
    return Dataset(classes=tuple(classes), **splits)


def file_split(part: str, files: Sequence[Path], labels: NDArray[np.int64], image_size: int, where: Path) -> FileSplit:
    """Return a split of files; raise `JobError` where there is none."""
    if not files:
        raise JobError(
            f"{where}: the {part} split holds no image: there are too few, or none of {', '.join(sorted(SUFFIXES))}"
        )
    return FileSplit(tuple(files), labels, image_size)
