"""A folder of images: one folder a class, or train, val and test folders that each hold one folder a class."""

import hashlib
from pathlib import Path

import numpy as np

from bench.data.dataset import Dataset, FileSplit
from bench.errors import JobError

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
PARTS = {"training": ("train", "training"), "validation": ("val", "valid", "validation"), "test": ("test",)}
Labelled = list[tuple[Path, str]]


def read_folder(folder: Path, image_size: int) -> Dataset:
    """Return the images below a folder; raise `JobError` where it holds none, one class only, or an empty split.

    Without train, val and test folders each file falls to training, validation or test (70, 10, 20 %) by a hash of its
    class and name, so that an added file moves no other. Of a train folder with a val but no test folder, as ImageNet
    and Imagenette have it, val is the test and an eighth of train becomes validation; with a test but no val folder too.
    """
    if not folder.is_dir():
        raise JobError(f"{folder}: no such folder")
    parts = _given_parts(folder) or _hashed_parts(folder)
    classes = tuple(sorted({label for files in parts.values() for _, label in files}))
    if len(classes) < 2:
        raise JobError(f"{folder}: needs one sub-folder a class, at least two; found {', '.join(classes) or 'none'}")
    unseen = set(classes) - {label for _, label in parts["training"]}
    if unseen:
        raise JobError(f"{folder}: no image to train on in {', '.join(sorted(unseen))}")
    splits = {part: _split(files, classes, image_size) for part, files in parts.items()}
    for part, split in splits.items():
        if not len(split):
            raise JobError(f"{folder}: the {part} split holds no image ({', '.join(sorted(SUFFIXES))})")
    return Dataset(classes=classes, training=splits["training"], validation=splits["validation"], test=splits["test"])


def _split(files: Labelled, classes: tuple[str, ...], image_size: int) -> FileSplit:
    labels = np.array([classes.index(label) for _, label in files], dtype=np.int64)
    return FileSplit(tuple(file for file, _ in files), labels, image_size)


def _given_parts(folder: Path) -> dict[str, Labelled] | None:
    found = {
        part: next((folder / name for name in names if (folder / name).is_dir()), None) for part, names in PARTS.items()
    }
    if not any(found.values()):
        return None
    if found["test"] is None:
        found |= {"test": found["validation"], "validation": None}
    if found["training"] is None or found["test"] is None:
        there = ", ".join(place.name for place in found.values() if place)
        raise JobError(
            f"{folder}: has {there}, but needs train and test, or train and val, with one sub-folder a class each"
        )
    parts = {part: _labelled(place) for part, place in found.items() if place is not None}
    if "validation" not in parts:
        kept: Labelled = []
        held: Labelled = []
        for file, label in parts["training"]:
            (held if _fraction(file, label) < 0.125 else kept).append((file, label))
        parts |= {"training": kept, "validation": held}
    return parts


def _hashed_parts(folder: Path) -> dict[str, Labelled]:
    parts: dict[str, Labelled] = {"training": [], "validation": [], "test": []}
    for file, label in _labelled(folder):
        fraction = _fraction(file, label)
        parts["training" if fraction < 0.7 else "validation" if fraction < 0.8 else "test"].append((file, label))
    return parts


def _labelled(folder: Path) -> Labelled:
    places = sorted(place for place in folder.iterdir() if place.is_dir())
    return [
        (file, place.name)
        for place in places
        for file in sorted(place.rglob("*"))
        if file.suffix.lower() in SUFFIXES and file.is_file()
    ]


def _fraction(file: Path, label: str) -> float:
    """Return a number in [0, 1) that depends only on the file's class and name."""
    digest = hashlib.sha256(f"{label}/{file.name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
